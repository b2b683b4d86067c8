"""Reads a capture file of Ethernet frames (libpcap format of tcpdump -w) with nothing but Python.

Format: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html
"""

import collections
import struct

Datagram = collections.namedtuple("Datagram", "source destination source_port port payload frame")

_MAGIC = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">",
          b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\x3c\x4d": ">"}
_ETHERNET = 1


def frames(path):
    """Every captured frame as octets; ValueError when the file is no Ethernet capture."""
    with open(path, "rb") as file:
        head = file.read(24)
        order = _MAGIC.get(head[:4])
        if order is None or len(head) < 24:
            raise ValueError(f"{path}: no pcap file")
        link = struct.unpack(order + "I", head[20:24])[0] & 0x0FFFFFFF
        if link != _ETHERNET:
            raise ValueError(f"{path}: link type {link}, expected Ethernet")
        while len(record := file.read(16)) == 16:
            captured = struct.unpack(order + "4I", record)[2]
            data = file.read(captured)
            if len(data) < captured:
                return  # tcpdump was stopped in the middle of a write
            yield data


def datagram(frame):
    """The UDP datagram of a frame (IPv4 with options, IPv6 without extension headers), or None."""
    kind, offset = frame[12:14], 14
    if kind == b"\x81\x00":
        kind, offset = frame[16:18], 18
    if kind == b"\x08\x00" and len(frame) >= offset + 20:
        size = (frame[offset] & 15) * 4
        if frame[offset + 9] != 17 or struct.unpack_from(">H", frame, offset + 6)[0] & 0x1FFF:
            return None
        source, destination = frame[offset + 12:offset + 16], frame[offset + 16:offset + 20]
    elif kind == b"\x86\xdd" and len(frame) >= offset + 40:
        size = 40
        if frame[offset + 6] != 17:
            return None
        source, destination = frame[offset + 8:offset + 24], frame[offset + 24:offset + 40]
    else:
        return None
    start = offset + size
    if len(frame) < start + 8:
        return None
    source_port, port = struct.unpack_from(">HH", frame, start)
    return Datagram(source, destination, source_port, port, frame[start + 8:], frame)
