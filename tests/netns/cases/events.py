"""cipectl monitor: what happens, as it happens."""

import json
import os
import selectors
import signal
import socket
import time

import lab as labs
from sites import PORT, TUNNEL, expect, make_pair


class Watcher:
    """cipectl -j monitor at one site."""

    def __init__(self, site, *arguments, json_lines=True):
        self.process = site.start(labs.BIN / "cipectl", *(["-j"] if json_lines else []),
                                  *site.options(), "monitor", *arguments)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        self.text, self.seen = "", []

    def _read(self, patience):
        if not self.selector.select(patience):
            return
        self.text += os.read(self.process.stdout.fileno(), 65536).decode()
        *whole, self.text = self.text.split("\n")
        self.seen += whole

    def wait(self, condition, what, timeout=40):
        """The first line (parsed) that fulfils the condition; lines before it are dropped."""
        deadline = time.monotonic() + timeout
        while True:
            while self.seen:
                line = self.seen.pop(0)
                event = json.loads(line) if line.startswith("{") else line
                if condition(event):
                    return event
            left = deadline - time.monotonic()
            expect(left > 0, f"no event: {what}")
            self._read(left)

    def event(self, kind, **fields):
        return self.wait(lambda e: e["event"] == kind and all(
            e.get(name) == value for name, value in fields.items()), f"{kind} {fields}")

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)


def idle_daemon(site):
    """A ciped without tunnels, so that a watcher sees the first one come."""
    site.start_daemon()


def life(lab):
    """up, handshake, rekeyed, roamed, closed, down; and over a replacement of ciped."""
    pair = make_pair(lab)
    pair.configure(interface={"Rekey": 15}, only_here={"site-b": ({}, {"PersistentKeepalive": 1})})
    idle_daemon(pair.a)
    watcher, people = Watcher(pair.a), Watcher(pair.a, json_lines=False)
    other = Watcher(pair.a, "elsewhere")
    time_before = time.time()
    pair.up()
    up = watcher.event("up", tunnel=TUNNEL, peer=None)
    expect(up["rung"] == 2 and up["version"] == 1 and abs(up["time"] - time_before) < 30,
           f"up: {up}")
    first = watcher.event("handshake", tunnel=TUNNEL, peer="site-b")
    expect(first["endpoint"] == pair.endpoint(pair.b), f"handshake: {first}")
    people.wait(lambda line: f"{TUNNEL} peer site-b: handshake, endpoint" in line, "handshake line")
    # The peer's packets come from another address now, which it keeps.
    pair.b.run("ip", "address", "del", "192.0.2.2/24", "dev", "eth0")
    pair.b.run("ip", "address", "add", "192.0.2.77/24", "dev", "eth0")
    roamed = watcher.event("roamed", peer="site-b", endpoint=f"192.0.2.77:{PORT}")
    expect(roamed["before"] == f"192.0.2.2:{PORT}", f"roamed: {roamed}")
    pair.a.run(labs.BIN / "ciped", *pair.a.options(), "--replace", "--daemon", timeout=60)
    traffic = pair.b.start("ping", "-n", "-i", "0.5", "-w", "60", pair.inner(pair.a))
    watcher.event("rekeyed", peer="site-b")
    traffic.terminate()
    pair.b.down(TUNNEL)
    watcher.event("closed", peer="site-b")
    pair.a.down(TUNNEL)
    watcher.event("down", tunnel=TUNNEL, peer=None)
    expect(not other.seen and not other.text, f"events of another tunnel: {other.seen}")
    pair.a.stop_daemon()
    expect(watcher.process.wait(timeout=30) == labs.EXIT_NOT_RUNNING, "monitor outlives ciped")
    pair.expect_nothing_left()


def rung(lab):
    """A carrier that goes and comes back is told."""
    pair = make_pair(lab)
    pair.configure(only_here={"site-a": ({"Carrier": "eth0"}, {})})
    pair.up()
    watcher = Watcher(pair.a)
    watcher_ready(pair.a, watcher)
    aside = lab.namespace("aside")
    pair.a.run("ip", "link", "set", "eth0", "netns", aside)
    gone = watcher.event("rung_changed", rung=3)
    expect(gone["before"] == 2 and gone["reason"], f"rung_changed: {gone}")
    lab.run("ip", "-n", aside, "link", "set", "eth0", "netns", pair.a.namespace)
    pair.a.run("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
    pair.a.run("ip", "link", "set", "eth0", "up")
    back = watcher.event("rung_changed", rung=2)
    expect(back["before"] == 3, f"rung_changed: {back}")
    watcher.stop()
    pair.a.down(TUNNEL)
    pair.b.down(TUNNEL)


def watcher_ready(site, watcher):
    """`monitor` has been answered: something that is an event has come. A peer without an answer
    will do: a second tunnel to nowhere."""
    site.write("nowhere.conf", labs.tunnel_config(
        {"Address": "10.66.0.1/32"},
        {"SharedKey": "00112233445566778899aabbccddee00", "AllowedIPs": "10.66.0.2/32"}))
    labs.wait_for("the watcher's connection", lambda: connections(site) >= 1)
    site.up("nowhere", "--no-wait")
    watcher.event("up", tunnel="nowhere")
    site.down("nowhere")


def connections(site):
    listed = site.run("ss", "-Hxn", "state", "connected", "src",
                      site.directory / "run/ciped.sock", echo=False).stdout
    return len(listed.strip().splitlines())


def bursts(lab):
    """Many drops within a second are told, and not every second again."""
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": "socket"})
    pair.up()
    watcher = Watcher(pair.a)
    watcher_ready(pair.a, watcher)
    flood = ("import socket,sys,time\n"
             "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
             "end=time.monotonic()+6\n"
             "while time.monotonic()<end:\n"
             "  for i in range(200): s.sendto(b'\\x54'+bytes(63),('192.0.2.1',6789))\n"
             "  time.sleep(0.02)\n")
    sender = pair.b.start("python3", "-c", flood)
    burst = watcher.event("drop_burst", tunnel=TUNNEL)
    expect(burst["count"] >= 1000 and burst["reason"] and burst["sentence"], f"{burst}")
    sender.wait(timeout=30)
    watcher._read(0.5)
    again = [line for line in watcher.seen if burst["reason"] in line]
    expect(len(again) <= 1, f"told again and again: {again}")
    watcher.stop()
    pair.down()


def slow_reader(lab):
    """Who does not read is disconnected, and nobody waits for him."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    reader = socket.socket(socket.AF_UNIX)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    reader.connect(str(pair.a.directory / "run/ciped.sock"))
    reader.sendall(b'{"version": 1, "verb": "monitor"}\0')
    expect(b'"ok":true' in reader.recv(1000), "monitor was refused")
    # Each failed bring-up writes up and down; names are short, so it takes many.
    before = pair.a.daemons()
    for _ in range(20):
        pair.a.cipectl("-j", "show", echo=False)
    reader.shutdown(socket.SHUT_RDWR)
    reader.close()
    labs.wait_for("the connection to go", lambda: connections(pair.a) == 0)
    expect(pair.a.daemons() == before, "a process ended")
    pair.ping_all()
    pair.down()


CASES = {"life": life, "rung": rung, "bursts": bursts, "reader-goes": slow_reader}
