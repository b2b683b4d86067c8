"""Datagrams that nobody should be sent, by name, made from what an end of a link knows.

ATTACKS[name](link, unix) gives a list of UDP payloads. Those that need no key could come from any
stranger, those made with the keys of the link from somebody who has them or who recorded them.
OUTSIDERS names the ones that must have no effect whatever beyond a counter, not even an answer.
"""

import os

import classic_ciphers
import classic_wire as wire

DAY = 86400
CONTROL_TEXT = b"\x1b[2J\x1b]0;owned\x07a\r\nb\tc\x7f\x9b31m%s%n\\"


def _ciphers(link):
    """[(cipher, dynamic)] of the keys that are there."""
    both = [(link.static, False)]
    if link.sending.cipher:
        both.append((link.sending.cipher, True))
    return both


def _sealed(link, payload, kind):
    return [wire.seal(cipher, payload, kind, os.urandom(8), os.urandom(7), dynamic)
            for cipher, dynamic in _ciphers(link)]


def _sealed_text(link, text):
    return [wire.seal_text(cipher, text, os.urandom(8), dynamic)
            for cipher, dynamic in _ciphers(link)]


def _block(link, kind, body, unix, octets=wire.BLOCK_OCTETS):
    return _sealed(link, wire.block(kind, body, int(unix), os.urandom(octets)), wire.NEWKEY)


def short(_link, _unix):
    return [os.urandom(octets) for octets in (0, 1, 4, 7, 8, 15)]


def odd_length(_link, _unix):
    return [os.urandom(octets) for octets in (17, 23, 33, 250, 1401)]


def wrong_crc(link, _unix):
    packets = _sealed(link, os.urandom(60), wire.DATA)
    packets += _sealed(link, os.urandom(wire.BLOCK_OCTETS), wire.NEWKEY)
    changed = [packet[:-1] + bytes([packet[-1] ^ 1]) for packet in packets]
    return changed + [bytes(64), b"\xff" * 64, b"\x7f" + os.urandom(63), b"\x80" + os.urandom(63)]


def all_zero(link, _unix):
    return [packet for octets in (8, 24, 64, 1024) for packet in _sealed_text(link, bytes(octets))]


def bad_padding(link, _unix):
    text = b"abc\x70"
    return _sealed_text(link, text + wire.crc(text).to_bytes(4, "big"))


def reserved_type(link, _unix):
    return _sealed(link, os.urandom(60), wire.RESERVED)


def ctrl_type(link, _unix):
    """1999 handed these to the daemon like NEWKEY: this one is a block of no known kind."""
    return _sealed(link, b"\xee" + os.urandom(59), wire.CTRL)


def oversized(link, _unix):
    return [os.urandom(octets) for octets in (4096, 9000, 65000)] + _sealed(
        link, b"\x45\x00\xff\xff" + os.urandom(9996), wire.DATA)  # claims more than there is


def bad_inner(link, _unix):
    """Well sealed, but no IP packet, a cut one, one that claims too much, and other versions."""
    echo = wire.icmp_echo("10.0.1.2", "10.0.1.1", False, 1, 1, b"x" * 64)
    packets = [os.urandom(1) + bytes(40), echo[:19], echo[:40], b"\x44" + echo[1:],
               echo[:2] + b"\xff\xff" + echo[4:], b"\x60" + bytes(60), b"\xf5" + echo[1:]]
    return [sealed for packet in packets for sealed in _sealed(link, packet, wire.DATA)]


def unknown_kind(link, unix):
    packets = []
    for kind in (0, 4, 0x6f, 0x75, 0xff):
        packets += _block(link, kind, b"", unix)
    return packets


def short_block(link, _unix):
    return [packet for octets in (0, 1, 20, 51)
            for packet in _sealed(link, bytes([wire.NK_IND] * octets), wire.NEWKEY)]


def forged_indication(link, unix):
    """An NK_IND whose CRC does not fit its key: what cutting and joining of packets would give."""
    return _block(link, wire.NK_IND, os.urandom(20), unix)


def wrong_acknowledgement(link, unix):
    return _block(link, wire.NK_ACK, os.urandom(4), unix)


def replayed_indication(link, _unix):
    """Every NK_IND we ever sent but the last: each holds a good key of former times."""
    return list(link.recorded["out NK_IND"])[:-1]


def replayed_acknowledgement(link, _unix):
    return list(link.recorded["out NK_ACK"])


def replayed_static(link, unix):
    """What was sent under the static key before there was another: data is taken no more."""
    echo = wire.icmp_echo("10.0.1.2", "10.0.1.1", False, 0xBAD, 1, b"x" * 64)
    return [wire.seal(link.static, echo, wire.DATA, os.urandom(8), os.urandom(7), False)]


def reflected(link, _unix):
    """The peer's own datagrams: under the static key they decrypt at either end."""
    return [link.recorded[name][-1] for name in ("in NK_IND", "in NK_ACK", "in DATA")
            if link.recorded[name]]


def old_time(link, unix):
    packets = []
    for age in (DAY, 33, -33, -DAY):  # of a window of 30 seconds
        for kind, body in ((wire.NK_IND, wire.indication_body(os.urandom(16))),
                           (wire.NK_REQ, b""), (wire.CT_PING, b"")):
            packets += _block(link, kind, body, unix - age)
    return packets


def kill(link, unix):
    return _block(link, wire.CT_KILL, b"", unix) + _block(link, wire.CT_KILL, b"", unix, 311)


def debug(link, unix):
    return (_block(link, wire.CT_DEBUG, CONTROL_TEXT, unix)
            + _block(link, wire.CT_DEBUG, b"\xff" * 46, unix))


def dummy(link, unix):
    return _block(link, wire.CT_DUMMY, b"", unix)


def foreign_key(link, _unix):
    cipher = classic_ciphers.make(link.settings.cipher, os.urandom(16))
    return [wire.seal(cipher, os.urandom(60), wire.DATA, os.urandom(8), os.urandom(7), dynamic)
            for dynamic in (False, True)]


def junk(_link, _unix):
    return [os.urandom(8 * octets) for octets in range(2, 180)]


def from_the_kernel(link, unix):
    """What 1999 took for its own kernel's word when the source port was 0, plain and sealed."""
    plain = [bytes([kind]) for kind in (0, wire.NK_REQ)]
    plain += [wire.block(kind, body, int(unix), os.urandom(wire.BLOCK_OCTETS))
              for kind, body in ((wire.NK_IND, wire.indication_body(os.urandom(16))),
                                 (wire.CT_KILL, b""))]
    return plain + _block(link, wire.CT_KILL, b"", unix)


ATTACKS = {function.__name__: function for function in (
    short, odd_length, wrong_crc, all_zero, bad_padding, reserved_type, ctrl_type, oversized,
    bad_inner, unknown_kind, short_block, forged_indication, wrong_acknowledgement,
    replayed_indication, replayed_acknowledgement, replayed_static, reflected, old_time, kill, debug,
    dummy, foreign_key, junk, from_the_kernel)}
PORT_ZERO = {"from_the_kernel"}
OUTSIDERS = {"short", "odd_length", "wrong_crc", "foreign_key", "junk", "oversized"}
