"""A DNS server for tests: dns_server.py ADDRESS ZONE.json LOG

The zone is {"ttl": seconds, "names": {name: [addresses of both families]}}, read for each question,
so that a test changes it by renaming another file over it. Questions go to the log, one a line. A
and AAAA over UDP are all it knows (RFC 1035, RFC 3596); unknown names are NXDOMAIN.
"""

import ipaddress
import json
import socket
import struct
import sys

TYPES = {1: 4, 28: 6}  # A, AAAA


def read_question(packet):
    """(name, type, end of the question)."""
    labels, at = [], 12
    while packet[at]:
        length = packet[at]
        if length > 63:
            raise ValueError("a compressed question")
        labels.append(packet[at + 1:at + 1 + length].decode("ascii"))
        at += 1 + length
    kind, _ = struct.unpack_from("!HH", packet, at + 1)
    return ".".join(labels).lower(), kind, at + 5


def answer(packet, zone):
    name, kind, end = read_question(packet)
    addresses = zone["names"].get(name)
    records = [ipaddress.ip_address(a) for a in addresses or []]
    records = [a for a in records if a.version == TYPES.get(kind)]
    flags = 0x8580 | (3 if addresses is None else 0)  # answer, authoritative, recursion both
    head = packet[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
    body = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, zone["ttl"], len(a.packed)) + a.packed
                    for a in records)
    return name, kind, head + packet[12:end] + body


def main():
    address, zone, log = sys.argv[1:]
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    print("ready", flush=True)
    while True:
        packet, client = server.recvfrom(4096)
        try:
            with open(zone) as file:
                name, kind, reply = answer(packet, json.load(file))
        except (ValueError, IndexError, struct.error):
            continue
        with open(log, "a") as file:
            file.write(f"{name} {kind}\n")
        server.sendto(reply, client)


if __name__ == "__main__":
    main()
