"""Numbered datagrams out and in, on one UDP socket, until told to end.

  stream.py OWN-ADDRESS PEER-ADDRESS PORT RATE

Sends RATE a second; keeps /run/stream.received at how many different numbers have come. SIGUSR1: sends no
more. SIGTERM: when nothing has come for 2 s, prints one JSON object and ends.
"""

import json
import os
import select
import signal
import socket
import sys
import time

STATUS = "/run/stream.received"
QUIET = 2.0
told = set()


def note(received):
    with open(STATUS + ".new", "w", encoding="ascii") as file:
        file.write(f"{received}\n")
    os.rename(STATUS + ".new", STATUS)


def missing(seen, most=6):
    """The first ranges that are not in `seen`, between its least and its greatest: [[first, how many]...]."""
    gaps, before = [], min(seen, default=0) - 1
    for number in sorted(seen):
        if number != before + 1:
            gaps.append([before + 1, number - before - 1])
        before = number
    return gaps[:most]


def main():
    own, peer, port, rate = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    made = socket.socket(socket.AF_INET6 if ":" in own else socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE, socket(7)
    made.bind((own, port))
    made.setblocking(False)
    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, lambda which, _: told.add(which))
    note(0)
    sent = refused = repeated = noted = 0
    seen, start, last, longest = set(), time.monotonic(), None, 0.0
    while True:
        now = time.monotonic()
        while not told and sent < (now - start) * rate:
            try:
                made.sendto(b"%d" % sent, (peer, port))
            except OSError:  # no route, no buffer: what is not sent is not lost
                refused += 1
            sent += 1
        ready, _, _ = select.select([made], [], [], 0.005)
        for _ in range(1000 if ready else 0):
            try:
                number = int(made.recv(100))
            except BlockingIOError:
                break
            except OSError:
                continue
            now = time.monotonic()
            longest, last = max(longest, now - (last or now)), now
            repeated += number in seen
            seen.add(number)
        if len(seen) != noted and len(seen) % 5 == 0:
            noted = len(seen)
            note(noted)
        if signal.SIGTERM in told and now - max(last or 0, start) > QUIET:
            break
    print(json.dumps({"sent": sent, "refused": refused, "first": min(seen, default=0),
                      "received": len(seen), "repeated": repeated,
                      "longest_silence": longest, "missing": missing(seen)}))


main()
