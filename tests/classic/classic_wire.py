"""Octets of protocol 3: packets, key-exchange and control blocks, the SOCKS header.

For tests, and no part of the product. No I/O, no clock, no randomness: what varies is an argument.
What cannot be accepted raises Drop with a name; nothing else has happened then.
"""

import dataclasses
import ipaddress
import struct
import zlib

import classic_ciphers

DATA, NEWKEY, CTRL, RESERVED = 0, 2, 4, 6
NK_REQ, NK_IND, NK_ACK = 1, 2, 3
CT_DUMMY, CT_DEBUG, CT_PING, CT_PONG, CT_KILL = range(0x70, 0x75)
KIND_NAMES = {NK_REQ: "NK_REQ", NK_IND: "NK_IND", NK_ACK: "NK_ACK", CT_DUMMY: "CT_DUMMY",
              CT_DEBUG: "CT_DEBUG", CT_PING: "CT_PING", CT_PONG: "CT_PONG", CT_KILL: "CT_KILL"}
KEY_FLAG = 0x80
TEXT_AT, TIME_AT, BLOCK_OCTETS = 1, 48, 56
MAX_FILLER = 255
SOCKS_OCTETS = 10


class Drop(Exception):
    """A datagram that must be dropped; str() is the reason's name."""


def crc(data):
    """The reflected polynomial EDB88320 with a register of 0 and no inversion at the end."""
    return zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF


# -- packets ----------------------------------------------------------------------------------------


def padding_octets(payload_octets):
    return (3 - payload_octets) % 8


def packet_text(payload, kind, padding):
    """What is encrypted: payload, padding, trailer octet, CRC. `padding` is cut to what is needed."""
    count = padding_octets(len(payload))
    text = payload + padding[:count] + bytes([count << 4 | kind])
    return text + crc(text).to_bytes(4, "big")


def seal_text(cipher, text, iv, dynamic):
    """Any text of whole blocks, also a wrong one, behind its IV with the key flag in it."""
    first = iv[0] & ~KEY_FLAG | (KEY_FLAG if dynamic else 0)
    iv = bytes([first]) + iv[1:]
    return iv + classic_ciphers.cbc_encrypt(cipher, iv, text)


def seal(cipher, payload, kind, iv, padding, dynamic):
    return seal_text(cipher, packet_text(payload, kind, padding), iv, dynamic)


@dataclasses.dataclass(frozen=True)
class Packet:
    payload: bytes  # without padding and trailer
    kind: int       # DATA, NEWKEY or CTRL
    dynamic: bool   # the sender's dynamic key was used
    trailer: int


def uses_dynamic_key(datagram):
    return bool(datagram[0] & KEY_FLAG)


def check_length(datagram):
    if len(datagram) < 16:
        raise Drop("short")
    if len(datagram) % 8:
        raise Drop("odd_length")


def open_packet(cipher, datagram):
    """The Packet in a datagram that passed check_length, under the key its flag asks for."""
    text = classic_ciphers.cbc_decrypt(cipher, datagram[:8], datagram[8:])
    if crc(text[:-4]) != int.from_bytes(text[-4:], "big"):
        raise Drop("bad_crc")
    trailer = text[-5]
    if trailer & 6 == RESERVED:
        raise Drop("reserved_type")
    count = trailer >> 4 & 7
    if count + 5 > len(text):
        raise Drop("bad_padding")
    return Packet(text[:-5 - count], trailer & 6, uses_dynamic_key(datagram), trailer)


# -- blocks -----------------------------------------------------------------------------------------


def block(kind, body, seconds, filler):
    """A key-exchange or control block as long as `filler`, which shows where nothing else is said."""
    if not BLOCK_OCTETS <= len(filler) <= BLOCK_OCTETS + MAX_FILLER:
        raise ValueError(f"a block has 56 to 311 octets, not {len(filler)}")
    octets = bytearray(filler)
    octets[0] = kind
    if kind == CT_DEBUG:
        body = body[:TIME_AT - 2] + b"\0"
    octets[1:1 + len(body)] = body
    if kind >= CT_DUMMY:
        octets[TIME_AT - 1] = 0
    octets[TIME_AT:TIME_AT + 4] = struct.pack(">I", seconds & 0xFFFFFFFF)
    return bytes(octets)


def indication_body(key):
    return key + crc(key).to_bytes(4, "big")


def acknowledgement_body(key):
    return crc(key).to_bytes(4, "big")


@dataclasses.dataclass(frozen=True)
class Block:
    """What a receiver may look at; length and filler are not among it."""

    kind: int
    seconds: int
    key: bytes = b""     # NK_IND
    key_crc: int = 0     # NK_IND and NK_ACK
    text: bytes = b""    # CT_DEBUG

    @property
    def name(self):
        return KIND_NAMES[self.kind]


def read_block(payload):
    if len(payload) < TIME_AT + 4:
        raise Drop("short_block")
    kind = payload[0]
    if kind not in KIND_NAMES:
        raise Drop("unknown_kind")
    seconds = int.from_bytes(payload[TIME_AT:TIME_AT + 4], "big")
    if kind == NK_IND:
        return Block(kind, seconds, payload[1:17], int.from_bytes(payload[17:21], "big"))
    if kind == NK_ACK:
        return Block(kind, seconds, key_crc=int.from_bytes(payload[1:5], "big"))
    if kind == CT_DEBUG:
        return Block(kind, seconds, text=payload[TEXT_AT:TIME_AT].split(b"\0")[0])
    return Block(kind, seconds)


# -- SOCKS ------------------------------------------------------------------------------------------


def socks_header(address, port):
    return b"\0\0\0\1" + ipaddress.IPv4Address(address).packed + port.to_bytes(2, "big")


def split_socks(datagram):
    """((address, port), rest)."""
    if len(datagram) < SOCKS_OCTETS:
        raise Drop("short")
    if datagram[2]:
        raise Drop("socks_fragment")
    if datagram[3] != 1:
        raise Drop("socks_address_type")
    address = str(ipaddress.IPv4Address(datagram[4:8]))
    return (address, int.from_bytes(datagram[8:10], "big")), datagram[SOCKS_OCTETS:]


# -- what travels inside ----------------------------------------------------------------------------


def internet_checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def icmp_echo(source, destination, reply, identifier, sequence, data, ttl=64, tos=0):
    """An IPv4 packet with an ICMP echo request or reply."""
    icmp = struct.pack(">BBHHH", 0 if reply else 8, 0, 0, identifier, sequence) + data
    icmp = icmp[:2] + internet_checksum(icmp).to_bytes(2, "big") + icmp[4:]
    header = struct.pack(">BBHHHBBH4s4s", 0x45, tos, 20 + len(icmp), 1, 0x4000, ttl, 1, 0,
                         ipaddress.IPv4Address(source).packed,
                         ipaddress.IPv4Address(destination).packed)
    header = header[:10] + internet_checksum(header).to_bytes(2, "big") + header[12:]
    return header + icmp


@dataclasses.dataclass(frozen=True)
class Echo:
    source: str
    destination: str
    reply: bool
    identifier: int
    sequence: int
    data: bytes


def read_echo(packet):
    """The Echo in an IPv4 packet, or None. Octets behind the packet's own length are cut off."""
    if len(packet) < 28 or packet[0] != 0x45 or packet[9] != 1:
        return None
    octets = int.from_bytes(packet[2:4], "big")
    if not 28 <= octets <= len(packet) or packet[20] not in (0, 8):
        return None
    icmp = packet[20:octets]
    if internet_checksum(icmp) or internet_checksum(packet[:20]):
        return None
    return Echo(str(ipaddress.IPv4Address(packet[12:16])), str(ipaddress.IPv4Address(packet[16:20])),
                icmp[0] == 0, *struct.unpack(">HH", icmp[4:8]), icmp[8:])
