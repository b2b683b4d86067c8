"""In one process, because starting Python is slow on emulated processors: TCP both ways with every peer
at once, and datagrams that hold a marker.

  exchange.py PORT OCTETS DATAGRAMS MARKER SECONDS OWN,OWN... PEER,PEER...

Listens on the OWN addresses, and sends to each PEER: OCTETS by TCP (tried again until somebody listens),
then DATAGRAMS, as many a second as ten. Ends when everything was sent and from as many peers as there
are OWN addresses everything came, and prints one JSON object:
  {"sent": {PEER: [octets, SHA-256]}, "received": {OWN: [octets, SHA-256]}, "datagrams": {OWN: count}}
"""

import hashlib
import json
import os
import socket
import sys
import threading
import time


def make_socket(address, kind):
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


class Exchange:
    def __init__(self, port, octets, datagrams, marker, seconds):
        self.port, self.octets, self.wanted, self.marker = port, octets, datagrams, marker.encode()
        self.deadline = time.monotonic() + seconds
        self.sent, self.received, self.datagrams, self.errors = {}, {}, {}, []

    def left(self):
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no time left")
        return left

    def listen(self, address):
        self.datagrams[address] = 0
        listener = make_socket(address, socket.SOCK_STREAM)
        listener.bind((address, self.port))
        listener.listen(1)
        sink = make_socket(address, socket.SOCK_DGRAM)
        sink.bind((address, self.port))
        return [(self.take_stream, (address, listener)), (self.take_datagrams, (address, sink))]

    def take_stream(self, address, listener):
        listener.settimeout(self.left())
        connection, _ = listener.accept()
        digest, octets = hashlib.sha256(), 0
        while True:
            connection.settimeout(self.left())
            data = connection.recv(1 << 16)
            if not data:
                break
            digest.update(data)
            octets += len(data)
        self.received[address] = (octets, digest.hexdigest())

    def take_datagrams(self, address, sink):
        while self.datagrams[address] < self.wanted:
            sink.settimeout(self.left())
            self.datagrams[address] += self.marker in sink.recv(65535)

    def send(self, address):
        while True:
            source = make_socket(address, socket.SOCK_STREAM)
            source.settimeout(min(self.left(), 3))
            try:
                source.connect((address, self.port))
                break
            except OSError:  # not there yet
                source.close()
                time.sleep(0.2)
        data = os.urandom(self.octets)
        source.settimeout(self.left())
        source.sendall(data)
        source.shutdown(socket.SHUT_WR)
        self.sent[address] = (len(data), hashlib.sha256(data).hexdigest())
        # Some more than wanted, as the first may be lost on resolving a neighbour's address.
        source = make_socket(address, socket.SOCK_DGRAM)
        for number in range(self.wanted + 5):
            source.sendto(b"%08d %s" % (number, self.marker), (address, self.port))
            time.sleep(0.1)

    def guarded(self, function, arguments):
        try:
            function(*arguments)
        except OSError as error:
            self.errors.append(f"{function.__name__} {arguments[0]}: {error}")


def main():
    port, octets, datagrams, marker, seconds, own, peers = sys.argv[1:]
    exchange = Exchange(int(port), int(octets), int(datagrams), marker, float(seconds))
    jobs = []
    for address in own.split(","):
        jobs += exchange.listen(address)
    jobs += [(exchange.send, (address,)) for address in peers.split(",")]
    threads = [threading.Thread(target=exchange.guarded, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"sent": exchange.sent, "received": exchange.received,
                      "datagrams": exchange.datagrams, "errors": exchange.errors}))


main()
