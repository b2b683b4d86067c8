"""Virtual ethernet: a switch in user space that needs no privilege (`-netdev dgram`), and one of taps
on bridges inside a network namespace, which needs root and gives NICs with several queues."""

import collections
import os
import pathlib
import selectors
import socket
import struct
import subprocess
import threading
import time

from channel import VmError

QUEUE = 4096  # frames that may wait for a VM


class Port:
    """One NIC of a VM as the switch sees it."""

    def __init__(self, directory, name):
        self.name = name
        self.near, self.far = str(directory / f"{name}.switch"), str(directory / f"{name}.vm")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(self.near)
        self.waiting = collections.deque()
        self.lan = None
        self.overflowed = 0

    def netdev(self):
        """As an argument of QEMU's -netdev, without its id."""
        return (f"dgram,local.type=unix,local.path={self.far},"
                f"remote.type=unix,remote.path={self.near}")


class Lan:
    """A broadcast domain: frames go to where their address was last seen, or to everybody."""

    def __init__(self, name):
        self.name, self.ports, self.seen = name, [], {}
        self.frames = 0
        self.capture = None  # a file that takes pcap records

    def targets(self, frame, source):
        self.seen[frame[6:12]] = source
        if not frame[0] & 1:
            known = self.seen.get(frame[:6])
            if known is not None:
                return [] if known is source else [known]
        return [port for port in self.ports if port is not source]


class Switch:
    """All LANs of one case, in a thread."""

    def __init__(self, directory):
        self._directory = directory
        self._lock = threading.Lock()
        self._ports, self._lans = [], {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = os.pipe()
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def port(self, name):
        port = Port(self._directory, name)
        with self._lock:
            self._ports.append(port)
        self._selector.register(port.socket, selectors.EVENT_READ, port)
        os.write(self._woken, b"x")
        return port

    def attach(self, port, lan):
        """Puts the port into the LAN of that name (None: nowhere)."""
        with self._lock:
            if port.lan is not None:
                port.lan.ports.remove(port)
                port.lan.seen = {a: p for a, p in port.lan.seen.items() if p is not port}
            port.lan = None if lan is None else self._lans.setdefault(lan, Lan(lan))
            if port.lan is not None:
                port.lan.ports.append(port)

    def frames(self, lan):
        """How many the LAN has carried."""
        return self._lans[lan].frames

    def overflowed(self):
        """Frames thrown away because a VM did not take them."""
        return sum(port.overflowed for port in self._ports)

    def capture(self, lan, path):
        """Writes what the LAN carries from now on, as pcap; None ends it."""
        with self._lock:
            here = self._lans[lan]
            if here.capture is not None:
                here.capture.close()
            here.capture = None if path is None else open(path, "wb")  # noqa: SIM115
            if here.capture is not None:
                here.capture.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))

    def close(self):
        self._stopped = True
        os.write(self._woken, b"x")
        self._thread.join(timeout=10)
        for port in self._ports:
            port.socket.close()
            pathlib.Path(port.near).unlink(missing_ok=True)
        for lan in self._lans:
            self.capture(lan, None)
        os.close(self._wake)
        os.close(self._woken)

    def _run(self):
        while not self._stopped:
            for key, events in self._selector.select():
                if key.data is None:
                    os.read(self._wake, 4096)
                    continue
                if events & selectors.EVENT_READ:
                    self._read(key.data)
                if events & selectors.EVENT_WRITE:
                    self._flush(key.data)

    def _read(self, port):
        for _ in range(64):
            try:
                frame = port.socket.recv(65536)
            except (BlockingIOError, ConnectionRefusedError):
                return
            if len(frame) < 14 or port.lan is None:
                continue
            with self._lock:
                lan = port.lan
                if lan is None:
                    continue
                lan.frames += 1
                if lan.capture is not None:
                    now = time.time()
                    lan.capture.write(struct.pack("<IIII", int(now), int(now % 1 * 1e6),
                                                  len(frame), len(frame)) + frame)
                targets = lan.targets(frame, port)
            for target in targets:
                if len(target.waiting) >= QUEUE:
                    target.overflowed += 1
                else:
                    target.waiting.append(frame)
                    if len(target.waiting) == 1:
                        self._flush(target)

    def _flush(self, port):
        while port.waiting:
            try:
                port.socket.sendto(port.waiting[0], port.far)
            except BlockingIOError:
                self._selector.modify(port.socket,
                                      selectors.EVENT_READ | selectors.EVENT_WRITE, port)
                return
            except OSError:  # the VM is not there (yet): as a cable that is not plugged in
                pass
            port.waiting.popleft()
        self._selector.modify(port.socket, selectors.EVENT_READ, port)


class Bridges:
    """LANs as bridges in a network namespace of their own; QEMU is started in it."""

    def __init__(self, name):
        self.namespace = name
        self._ip("netns", "add", name)

    def tap(self, name, lan, queues):
        """A tap with that many queues on the LAN's bridge, as an argument of -netdev, without its id."""
        if not self._inside("ip", "link", "show", "dev", lan, check=False):
            self._inside("ip", "link", "add", "name", lan, "type", "bridge", "forward_delay", "0")
            self._inside("ip", "link", "set", "dev", lan, "up")
            self._inside("sysctl", "-qw", f"net.ipv6.conf.{lan}.disable_ipv6=1")
        multi = ["multi_queue"] if queues > 1 else []
        self._inside("ip", "tuntap", "add", name, "mode", "tap", "vnet_hdr", *multi)
        self._inside("ip", "link", "set", "dev", name, "master", lan, "up")
        return f"tap,ifname={name},script=no,downscript=no,queues={queues}"

    def close(self):
        self.remove(self.namespace)

    @classmethod
    def remove(cls, name):
        cls._ip("netns", "del", name, check=False)

    def _inside(self, *words, check=True):
        return self._ip("netns", "exec", self.namespace, *words, check=check)

    @staticmethod
    def _ip(*words, check=True):
        done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=20, check=False)
        if check and done.returncode != 0:
            raise VmError(f"ip {' '.join(words)}: {done.stderr.strip()}")
        return done.returncode == 0
