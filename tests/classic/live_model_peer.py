"""The Python model of protocol 3 as a live peer over UDP, told what to do on standard input.

  live_model_peer.py --bind ADDRESS:PORT --peer ADDRESS:PORT --key HEX [--cipher NAME] ...

Each line of input is a JSON object {"do": COMMAND, ...}; each is answered with one line, the state as
a JSON object. It answers echo requests to its inner address as a host behind it would. Commands:

  state                               nothing else
  ping count size interval            echo requests to the other inner address
  start | request                     offers a key (NK_IND) | asks for one (NK_REQ)
  block kind text age count           any block by its name, e.g. CT_PING
  lose way kind count                 the next `count` messages of a kind do not travel; way in | out
  hostile what                        datagrams of classic_hostile.ATTACKS
  send octets                         a datagram given in hex digits
  rebind address                      goes on from another carrier address
  set name value                      a Settings field, e.g. tokxts
  quit

Run it in a network namespace; only an attack from source port 0 needs root there.
"""

import argparse
import collections
import ipaddress
import json
import os
import pathlib
import select
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import classic_ciphers  # noqa: E402
import classic_hostile  # noqa: E402
import classic_link  # noqa: E402
import classic_wire as wire  # noqa: E402

SO_NO_CHECK = 11
SOCKS_VERSION, UDP_ASSOCIATE = 5, 3


def endpoint(text):
    address, _, port = text.rpartition(":")
    return str(ipaddress.IPv4Address(address)), int(port)


class Carrier:
    """The UDP socket, through a SOCKS5 server if there is one."""

    def __init__(self, bind, socks=None, checksum=False):
        self._checksum, self._relay, self._control = checksum, None, None
        self.open(bind)
        if socks:
            self._associate(socks)

    def open(self, bind):
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, int(not self._checksum))
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for option in (socket.IP_RECVTTL if hasattr(socket, "IP_RECVTTL") else 12,
                       socket.IP_RECVTOS):
            self.udp.setsockopt(socket.IPPROTO_IP, option, 1)
        self.udp.bind(bind)

    def rebind(self, bind):
        self.udp.close()
        self.open(bind)

    def _associate(self, server):
        """RFC 1928; with a name and a password also RFC 1929."""
        self._control = socket.create_connection(server[:2], timeout=10)
        method = 2 if server[2:] else 0
        self._control.sendall(bytes([SOCKS_VERSION, 1, method]))
        if self._control.recv(2) != bytes([SOCKS_VERSION, method]):
            sys.exit(f"live_model_peer: the SOCKS server refuses method {method}")
        if method:
            name, password = (word.encode() for word in server[2:])
            self._control.sendall(bytes([1, len(name)]) + name + bytes([len(password)]) + password)
            if self._control.recv(2) != bytes([1, 0]):
                sys.exit("live_model_peer: the SOCKS server refuses name or password")
        self._control.sendall(bytes([SOCKS_VERSION, UDP_ASSOCIATE, 0, 1]) + bytes(6))
        answer = self._control.recv(10)
        if len(answer) != 10 or answer[1] or answer[3] != 1:
            sys.exit(f"live_model_peer: UDP ASSOCIATE was answered with {answer.hex()}")
        address = str(ipaddress.IPv4Address(answer[4:8]))
        self._relay = (address if address != "0.0.0.0" else server[0],
                       int.from_bytes(answer[8:10], "big"))

    def send(self, datagram, peer):
        if self._relay:
            datagram, peer = wire.socks_header(*peer) + datagram, self._relay
        self.udp.sendto(datagram, peer)

    def receive(self):
        """(datagram, source, {"ttl", "tos"}); Drop for a bad SOCKS header."""
        datagram, extra, _, source = self.udp.recvmsg(65535, 256)
        outer = {}
        for _, kind, data in extra:
            if kind == socket.IP_TTL:
                outer["ttl"] = struct.unpack("=i", data[:4])[0]
            elif kind == socket.IP_TOS:
                outer["tos"] = data[0]
        if self._relay:
            source, datagram = wire.split_socks(datagram)
        return datagram, source, outer

    def send_from_port_zero(self, datagram, peer):
        source = self.udp.getsockname()[0]
        header = struct.pack(">HHHH", 0, peer[1], 8 + len(datagram), 0)
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
            raw.bind((source, 0))
            raw.sendto(header + datagram, (peer[0], 0))


class LivePeer:
    def __init__(self, options):
        self.options = options
        self.link = classic_link.Link(classic_link.Settings(
            bytes.fromhex(options.key), options.cipher, options.tokxc, options.tokey,
            options.tokxts, hold_data=not options.static_data))
        login = tuple(options.socks_login.split(":", 1)) if options.socks_login else ()
        self.carrier = Carrier(endpoint(options.bind),
                               options.socks and endpoint(options.socks) + login,
                               options.checksum)
        self.peer = endpoint(options.peer)
        self.losing = collections.Counter()
        self.echoes, self.answered, self.outer = [], set(), {}
        self.sequence = 0

    # -- carrier --

    def send(self, datagrams):
        for datagram in datagrams:
            if self._loses_outgoing(datagram):
                continue
            self.carrier.send(datagram, self.peer)

    def _loses_outgoing(self, datagram):
        for name, sent in self.link.recorded.items():
            if self.losing[name] > 0 and sent and sent[-1] == datagram:
                self.losing[name] -= 1
                self.link.events[f"lost {name}"] += 1
                return True
        return False

    def _loses_incoming(self, name):
        self.losing[f"in {name}"] -= 1
        return self.losing[f"in {name}"] >= 0

    def receive(self):
        try:
            datagram, source, outer = self.carrier.receive()
        except wire.Drop as drop:
            self.link.events[f"drop {drop}"] += 1
            return
        good = self.link.events.total()
        drops = self._drops()
        packets, answers = self.link.receive(datagram, time.monotonic(), time.time(),
                                             self._loses_incoming)
        if self._drops() == drops and self.link.events.total() > good:
            self.peer, self.outer = source, outer
        self.send(answers)
        for packet in packets:
            self.take_inner(packet)

    def _drops(self):
        return sum(count for name, count in self.link.events.items()
                   if name.startswith(("drop ", "lost ")))

    # -- inside --

    def take_inner(self, packet):
        echo = wire.read_echo(packet)
        if echo is None or echo.destination != self.options.inner:
            self.link.events["other inner packet"] += 1
        elif echo.reply:
            self.answered.add(echo.sequence)
        else:
            self.send_inner(wire.icmp_echo(echo.destination, echo.source, True, echo.identifier,
                                           echo.sequence, echo.data))

    def send_inner(self, packet):
        self.send(self.link.send_data(packet, time.monotonic(), time.time()))

    def send_due_echoes(self):
        while self.echoes and self.echoes[0][0] <= time.monotonic():
            _, sequence, size = self.echoes.pop(0)
            self.send_inner(wire.icmp_echo(self.options.inner, self.options.other, False,
                                           os.getpid() & 0xFFFF, sequence, bytes(size)))

    # -- commands --

    def do_state(self):
        pass

    def do_ping(self, count=1, size=56, interval=0.05):
        start = time.monotonic()
        for number in range(count):
            self.sequence += 1
            self.echoes.append((start + number * interval, self.sequence, size))
        self.send_due_echoes()

    def do_start(self):
        self.send(self.link.start_exchange(time.monotonic(), time.time()))

    def do_request(self):
        self.send(self.link.request_key(time.monotonic(), time.time()))

    def do_block(self, kind, text="", age=0, count=1):
        number = next(number for number, name in wire.KIND_NAMES.items() if name == kind)
        for _ in range(count):
            self.send(self.link.send_block(number, text.encode("latin-1"), time.monotonic(),
                                           time.time() - age))

    def do_lose(self, way, kind, count=1):
        self.losing[f"{way} {kind}"] = count

    def do_hostile(self, what):
        made = classic_hostile.ATTACKS[what](self.link, time.time())
        send = (self.carrier.send_from_port_zero if what in classic_hostile.PORT_ZERO
                else self.carrier.send)
        for number, datagram in enumerate(made, 1):
            send(datagram, self.peer)
            if number % 4 == 0:
                time.sleep(0.005)  # each is to be counted, not lost in a full socket
        self.link.events[f"hostile {what}"] += len(made)

    def do_send(self, octets):
        self.carrier.send(bytes.fromhex(octets), self.peer)

    def do_rebind(self, address):
        self.carrier.rebind(endpoint(address))

    def do_set(self, name, value):
        if not hasattr(self.link.settings, name):
            raise ValueError(f"no setting {name}")
        setattr(self.link.settings, name, value)

    def state(self):
        link = self.link
        return {"events": dict(link.events), "complaints": link.complaints,
                "texts": [text.decode("latin-1") for text in link.texts[-20:]],
                "peer": "%s:%d" % self.peer, "sending": link.sending.key is not None,
                "receiving": link.receiving.key is not None, "outer": self.outer,
                "echo": {"sent": self.sequence - len(self.echoes), "answered": len(self.answered)}}

    def run(self):
        """Until `quit` or the end of standard input."""
        unread = b""
        print(json.dumps(self.state()), flush=True)
        while True:
            wait = max(0, self.echoes[0][0] - time.monotonic()) if self.echoes else None
            ready, _, _ = select.select([self.carrier.udp, sys.stdin.fileno()], [], [], wait)
            self.send_due_echoes()
            if self.carrier.udp in ready:
                self.receive()
            if sys.stdin.fileno() not in ready:
                continue
            data = os.read(sys.stdin.fileno(), 65536)
            if not data:
                return
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                arguments = json.loads(line)
                command = arguments.pop("do")
                if command == "quit":
                    return
                getattr(self, f"do_{command}")(**arguments)
                print(json.dumps(self.state()), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bind", required=True)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--key", required=True, help="32 hex digits; a test's key, never a real one")
    parser.add_argument("--cipher", choices=classic_ciphers.MAKERS, default="blowfish")
    parser.add_argument("--inner", default="10.0.1.2")
    parser.add_argument("--other", default="10.0.1.1")
    parser.add_argument("--tokxc", type=float, default=1)
    parser.add_argument("--tokey", type=float, default=600)
    parser.add_argument("--tokxts", type=float, default=0)
    parser.add_argument("--static-data", action="store_true",
                        help="data under the static key while there is no other, as in 1999")
    parser.add_argument("--checksum", action="store_true", help="send UDP checksums, unlike 1999")
    parser.add_argument("--socks", help="ADDRESS:PORT of a SOCKS5 server")
    parser.add_argument("--socks-login", help="NAME:PASSWORD there; a test's, never real ones")
    LivePeer(parser.parse_args()).run()


if __name__ == "__main__":
    main()
