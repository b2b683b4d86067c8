"""Numbered datagrams to and from a peer, both families in one process.

  numbers.py PORT RATE SIZE SECONDS OWN,OWN... PEER,PEER...

Makes a file "ready" when it listens on the OWN addresses, and waits for one named "start". Then it sends RATE
datagrams a second to each PEER, as IP packets of SIZE octets, and notes what comes, until there is a file
"stop"; listens on until nothing came for 3 s, and prints one JSON object:
  {"sent": {PEER: count}, "refused": count of sends that failed,
   "received": {OWN: {"distinct": N, "repeated": N, "behind": N, "silence": S, "missing": [first ones]}}}
"behind": those that came after a greater number; "silence": the longest time between two, in seconds.
"""

import json
import os
import selectors
import socket
import sys
import time

QUIET = 3
SO_RCVBUFFORCE = 33  # socket(7); Python has no name for it


class Arrivals:
    def __init__(self):
        self.seen, self.repeated, self.behind, self.greatest = set(), 0, 0, -1
        self.last, self.silence = None, 0.0

    def take(self, number, now):
        self.repeated += number in self.seen
        self.behind += number < self.greatest
        self.seen.add(number)
        self.greatest = max(self.greatest, number)
        self.silence = max(self.silence, now - (self.last or now))
        self.last = now

    def report(self):
        missing = [number for number in range(self.greatest) if number not in self.seen]
        return {"distinct": len(self.seen), "repeated": self.repeated, "behind": self.behind,
                "silence": round(self.silence, 3), "missing": missing[:10]}


def socket_of(address):
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


def main():
    port, rate, size, seconds, own, peers = sys.argv[1:]
    port, rate, size, seconds = int(port), float(rate), int(size), float(seconds)
    selector, received = selectors.DefaultSelector(), {}
    for address in own.split(","):
        sink = socket_of(address)
        # What comes while this program gets no processor must not count as lost on the way.
        sink.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        sink.bind((address, port))
        received[address] = Arrivals()
        selector.register(sink, selectors.EVENT_READ, received[address])
    sources = {address: socket_of(address) for address in peers.split(",")}
    sent, refused, sending = dict.fromkeys(sources, 0), 0, True
    open("ready", "x").close()
    deadline = time.monotonic() + seconds
    while not os.path.exists("start"):
        if time.monotonic() > deadline:
            sys.exit("nobody said start")
        time.sleep(0.02)
    start = last = looked = time.monotonic()
    while (now := time.monotonic()) < deadline and (sending or now < last + QUIET):
        if sending and now > looked + 0.2:
            looked = last = now
            sending = not os.path.exists("stop")
        # After a pause it is not made up for: that would be a burst, which nobody asked for.
        due = int((now - start) * rate)
        if sending and due > max(sent.values()):
            number = max(sent.values())
            if due > number + rate / 2:
                start += (due - number - 1) / rate
            for address, source in sources.items():
                room = size - (48 if ":" in address else 28)
                try:
                    source.sendto(b"%d" % number + b" " * (room - len(str(number))), (address, port))
                except OSError:
                    refused += 1
                sent[address] = number + 1
        for key, _ in selector.select(0.002 if sending else 0.2):
            try:
                while True:
                    key.data.take(int(key.fileobj.recv(65535)), time.monotonic())
                    last = time.monotonic()
            except BlockingIOError:
                pass
    print(json.dumps({"sent": sent, "refused": refused,
                      "received": {address: come.report() for address, come in received.items()}}))


main()
