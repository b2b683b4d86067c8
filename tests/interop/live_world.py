"""One real ciped in a network namespace, and sockets for the Python peer in another one."""

import base64
import collections
import json
import os
import socket
import subprocess
import sys
import threading

import cipe_noise as noise
import cipe_peer as peer
import lab as labs
import live_peer

PORT, TUNNEL = 6789, "tun"
SUITE_NAMES = {noise.AES_GCM: "aes256gcm", noise.CHACHA_POLY: "chacha20poly1305"}
OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8:1::1", "2001:db8:1::2")}
INNER = {4: ("10.9.0.1", "10.9.0.2"), 6: ("fd09::1", "fd09::2")}  # (ciped's, ours)
OPEN_SOCKET = """
import socket, sys
family, address, port, channel = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
opened = socket.socket(family, socket.SOCK_DGRAM)
opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
opened.bind((address, port))
socket.send_fds(socket.socket(fileno=channel), [b"x"], [opened.fileno()])
"""


_worlds, _lock = set(), threading.Lock()


def close_all():
    """Removes the worlds that are still there, for a program that is being ended."""
    for world in list(_worlds):
        world.close()


def require_binaries():
    """Not a skip: when they are missing, what should be tested is."""
    for program in ("ciped", "cipectl"):
        if not (labs.BIN / program).exists():
            sys.exit(f"{labs.BIN / program} is missing; build it with tools/lib/build release")


def base64_text(octets):
    return base64.b64encode(octets).decode() + "\n"


class World:
    """Namespaces, keys and configuration of one test; `with` removes all of it."""

    def __init__(self, pattern=noise.IKPSK2, suite=noise.AES_GCM, outer=4, psk=None):
        self.pattern, self.suite, self.outer = pattern, noise.SUITES[suite], outer
        with _lock:  # a lab's number must be its own
            self.lab = labs.Lab(echo=lambda line: None)
        self._sockets = []
        _worlds.add(self)
        try:
            self.site = self.lab.site("ciped")
            self.ours = self.lab.namespace("peer")
            self.lab.veth((self.site.namespace, "eth0", ["192.0.2.1/24", "2001:db8:1::1/64"]),
                          (self.ours, "eth0", ["192.0.2.2/24", "2001:db8:1::2/64"]))
            self._make_keys(psk)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if exception[0]:
            self._dump()
        self.close()

    def close(self):
        for opened in self._sockets:
            opened.close()
        self.lab.close()
        _worlds.discard(self)

    def _dump(self):
        for words in (("show", "peers"), ("show", "drops")):
            try:
                print(self.site.cipectl(*words, check=None, timeout=10).stdout)
            except labs.LabError as error:
                print(error)

    def _make_keys(self, psk):
        self.interface, self.peer_lines = {}, {}
        if self.pattern == noise.NNPSK0:
            key = os.urandom(32)
            self.identity = peer.shared_key_identity(key)
            self.site.write("shared.key", base64_text(key))
            self.peer_lines["SharedKeyFile"] = "shared.key"
            return
        private, theirs = os.urandom(32), os.urandom(32)
        self.site.write("tun.key", base64_text(theirs))
        self.interface["PrivateKeyFile"] = "tun.key"
        self.peer_lines["PublicKey"] = base64_text(noise.public_key(private)).strip()
        if psk:
            self.site.write("psk.key", base64_text(psk))
            self.peer_lines["PresharedKeyFile"] = "psk.key"
        self.identity = peer.public_keys_identity(private, noise.public_key(theirs),
                                                  psk or bytes(32))

    @property
    def remote(self):
        return OUTER[self.outer][0], PORT

    def up(self, endpoint=False, interface=None, peer_lines=None, wait=False):
        """ciped with the tunnel; it calls us when `endpoint` is set."""
        address = OUTER[self.outer][1]
        text = f"{address}:{PORT}" if self.outer == 4 else f"[{address}]:{PORT}"
        (ours4, theirs4), (ours6, theirs6) = INNER[4], INNER[6]
        self.site.write(f"{TUNNEL}.conf", labs.tunnel_config(
            {"Address": f"{ours4}/32, {ours6}/128", "ListenPort": PORT, "Carrier": "eth0",
             "Suite": SUITE_NAMES[self.suite.number], **self.interface, **(interface or {})},
            {"Name": "python", "Endpoint": text if endpoint else None,
             "AllowedIPs": f"{theirs4}/32, {theirs6}/128", **self.peer_lines,
             **(peer_lines or {})}))
        self.site.up(TUNNEL, *([] if wait else ["--no-wait"]))

    def open_socket(self, port=PORT, address=None):
        """A UDP socket that lives in our namespace, opened there by a short-lived process."""
        address = address or OUTER[self.outer][1]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        near, far = socket.socketpair()
        with near, far:
            result = subprocess.run(
                ["ip", "netns", "exec", self.ours, sys.executable, "-c", OPEN_SOCKET,
                 str(int(family)), address, str(port), str(far.fileno())],
                pass_fds=[far.fileno()], env=labs.command_environment(), timeout=20, check=True)
            assert result.returncode == 0
            _, (descriptor,), _, _ = socket.recv_fds(near, 1, 1)
        opened = socket.socket(fileno=descriptor)
        self._sockets.append(opened)
        return opened

    def peer(self, port=PORT, lanes=1, identity=None, suite=None, node_id=None):
        parameters = peer.Parameters(node_id or os.urandom(16), lanes, 1420, INNER[4][1],
                                     INNER[6][1])
        live = live_peer.LivePeer(self.open_socket(port), identity or self.identity,
                                  suite or self.suite, parameters)
        live.remote = self.remote
        return live

    def drops(self):
        """{reason: count} of what ciped refused; what it could not send is not in it."""
        shown = json.loads(self.site.cipectl("-j", "show", "drops").stdout)["drops"]
        counted = collections.Counter()
        for row in shown:
            if not row["reason"].startswith("tx_"):
                counted[row["reason"]] += row["count"]
        return counted

    def wait_drop(self, *names, timeout=10):
        """One of the named reasons was counted by ciped."""
        try:
            labs.wait_for("a drop", lambda: set(names) & set(self.drops()), timeout)
        except labs.LabError as error:
            raise labs.LabError(f"none of {names} was counted: {self.drops()}") from error

    def kernel_ping(self, family=4, count=1):
        """A ping by ciped's host to us, in the background."""
        return self.site.start("ping", "-n", "-c", count, "-i", "0.2", "-W", "2",
                               INNER[family][1], echo=False)
