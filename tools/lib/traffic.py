"""Traffic whose content can be checked, run inside namespaces by tools/demo and tests/netns.

  traffic.py udp-sink ADDRESS PORT COUNT SECONDS        counts datagrams that hold the marker
  traffic.py udp-send ADDRESS PORT COUNT INTERVAL_MS MARKER
  traffic.py tcp-sink ADDRESS PORT SECONDS              prints octets and SHA-256 of one connection
  traffic.py tcp-send ADDRESS PORT OCTETS SEED          the same of what it sent
  traffic.py udp-echo ADDRESS PORT SECONDS              answers every datagram
  traffic.py udp-drip ADDRESS PORT SECONDS              asks it every 10 ms: longest silence
  traffic.py udp-numbers-sink ADDRESS PORT SECONDS      which numbers arrive, until time is up
  traffic.py udp-numbers-send ADDRESS PORT RATE SECONDS numbered datagrams, RATE a second

Each prints "ready" when it listens and one JSON object at its end; udp-drip says "flowing" between
the two, after its hundredth answer.
"""

import hashlib
import json
import random
import socket
import sys
import time

SO_RCVBUFFORCE = 33  # socket(7); Python has no name for it
MARKER = b"CIPE-demo-marker-7f3a91c2"


def make_socket(address, kind):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def hold_much(sink):
    """What comes while this program gets no CPU must not count as lost on the way."""
    octets = 64 << 20
    try:
        sink.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, octets)
    except OSError:  # not root
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)


def report(**values):
    print(json.dumps(values), flush=True)


def accept_one(address, port, seconds):
    listener = make_socket(address, socket.SOCK_STREAM)
    listener.bind((address, port))
    listener.listen(1)
    listener.settimeout(seconds)
    print("ready", flush=True)
    connection, _ = listener.accept()
    connection.settimeout(seconds)
    return connection


def udp_sink(address, port, count, seconds):
    sink = make_socket(address, socket.SOCK_DGRAM)
    hold_much(sink)
    sink.bind((address, port))
    print("ready", flush=True)
    deadline, received = time.monotonic() + seconds, 0
    while received < count and (left := deadline - time.monotonic()) > 0:
        sink.settimeout(left)
        try:
            received += MARKER in sink.recv(65535)
        except TimeoutError:
            break
    report(received=received)


def udp_send(address, port, count, interval_ms, marker):
    if marker.encode() != MARKER:
        sys.exit("traffic.py: unknown marker")
    source = make_socket(address, socket.SOCK_DGRAM)
    for number in range(count):
        source.sendto(b"%08d %s %08d" % (number, MARKER, number), (address, port))
        time.sleep(interval_ms / 1000)
    report(sent=count)


def tcp_sink(address, port, seconds):
    connection = accept_one(address, port, seconds)
    digest, octets = hashlib.sha256(), 0
    while data := connection.recv(1 << 18):
        digest.update(data)
        octets += len(data)
    report(octets=octets, sha256=digest.hexdigest())


def tcp_send(address, port, octets, seed):
    source = make_socket(address, socket.SOCK_STREAM)
    source.settimeout(30)
    source.connect((address, port))
    generator, digest, left = random.Random(seed), hashlib.sha256(), octets
    while left:
        data = generator.randbytes(min(left, 1 << 16))
        digest.update(data)
        source.sendall(data)
        left -= len(data)
    source.shutdown(socket.SHUT_WR)
    report(octets=octets, sha256=digest.hexdigest())


def udp_echo(address, port, seconds):
    """Answers every datagram until time is up."""
    sink = make_socket(address, socket.SOCK_DGRAM)
    sink.bind((address, port))
    print("ready", flush=True)
    deadline, received = time.monotonic() + seconds, 0
    while (left := deadline - time.monotonic()) > 0:
        sink.settimeout(left)
        try:
            data, source = sink.recvfrom(65535)
        except TimeoutError:
            break
        sink.sendto(data, source)
        received += 1
    report(received=received)


def udp_drip(address, port, seconds):
    """A request every 10 ms; the longest time without an answer and how many were answered.

    UDP, because a lost TCP segment waits for its retransmission and hides how soon the road is
    open again.
    """
    source = make_socket(address, socket.SOCK_DGRAM)
    source.connect((address, port))
    print("ready", flush=True)
    start = last = time.monotonic()
    longest, sent, answered = 0.0, 0, 0
    while (now := time.monotonic()) < start + seconds:
        source.send(b"%d" % sent)
        sent += 1
        until = now + 0.01
        while (left := until - time.monotonic()) > 0:
            source.settimeout(left)
            try:
                source.recv(2048)
            except TimeoutError:
                break
            except ConnectionRefusedError:
                continue
            answered += 1
            if answered == 100:
                print("flowing", flush=True)
            longest = max(longest, time.monotonic() - last)
            last = time.monotonic()
    longest = max(longest, time.monotonic() - last)
    report(sent=sent, answered=answered, longest_silence=longest)


def udp_numbers_sink(address, port, seconds):
    """Distinct numbers, repeated ones, the greatest, and the longest silence between two."""
    sink = make_socket(address, socket.SOCK_DGRAM)
    hold_much(sink)
    sink.bind((address, port))
    print("ready", flush=True)
    deadline, seen, repeated, last, longest = time.monotonic() + seconds, set(), 0, None, 0.0
    while (left := deadline - time.monotonic()) > 0:
        sink.settimeout(left)
        try:
            number = int(sink.recv(2048))
        except TimeoutError:
            break
        if number < 0:  # the sender has ended
            break
        now = time.monotonic()
        longest, last = max(longest, now - (last or now)), now
        repeated += number in seen
        seen.add(number)
    report(received=len(seen), repeated=repeated, longest_silence=longest)


def udp_numbers_send(address, port, rate, seconds):
    source = make_socket(address, socket.SOCK_DGRAM)
    start, number, refused = time.monotonic(), 0, 0
    while (now := time.monotonic()) < start + seconds:
        while number < (now - start) * rate:
            try:
                source.sendto(b"%d" % number, (address, port))
            except OSError:
                refused += 1
            number += 1
        time.sleep(0.0005)
    for _ in range(5):
        time.sleep(0.05)
        source.sendto(b"-1", (address, port))
    report(sent=number, refused=refused)


COMMANDS = {
    "udp-numbers-sink": (udp_numbers_sink, (str, int, float)),
    "udp-numbers-send": (udp_numbers_send, (str, int, int, float)),
    "udp-sink": (udp_sink, (str, int, int, float)),
    "udp-send": (udp_send, (str, int, int, float, str)),
    "tcp-sink": (tcp_sink, (str, int, float)),
    "tcp-send": (tcp_send, (str, int, int, int)),
    "udp-echo": (udp_echo, (str, int, float)),
    "udp-drip": (udp_drip, (str, int, float)),
}


def main():
    function, kinds = COMMANDS[sys.argv[1]]
    function(*(kind(word) for kind, word in zip(kinds, sys.argv[2:], strict=True)))


if __name__ == "__main__":
    main()
