"""A ciped that is replaced by another: the next one has sessions, counters and descriptors."""

import contextlib
import functools
import json
import os
import re
import socket
import struct

import lab as labs
from classic_hosts import KEY, two_hosts
from service_manager import Manager
from sites import TRAFFIC, TUNNEL, drops, expect, make_pair

RATE, SECONDS = 1000, 6


class Streams:
    """Numbered datagrams through the tunnel, both ways at once."""

    def __init__(self, pair):
        self.pair = pair
        self.sinks = {}
        for site in pair.both:
            sink = site.start(*TRAFFIC, "udp-numbers-sink", pair.inner(site), 7200, SECONDS + 5)
            expect(sink.stdout.readline().strip() == "ready", "the sink did not start")
            self.sinks[site.name] = sink
        self.senders = {site.name: pair.other(site).start(
            *TRAFFIC, "udp-numbers-send", pair.inner(site), 7200, RATE, SECONDS)
            for site in pair.both}

    def check(self, lost_at_most, silence=1.0):
        for name, sink in self.sinks.items():
            sent = json.loads(self.senders[name].communicate(timeout=30)[0])
            got = json.loads(sink.communicate(timeout=30)[0].strip().splitlines()[-1])
            lost = sent["sent"] - got["received"]
            self.pair.lab.echo(f"  to {name}: {sent['sent']} sent, {lost} lost, longest silence "
                               f"{got['longest_silence'] * 1000:.0f} ms")
            expect(sent["sent"] > RATE * SECONDS / 2, f"the sender was too slow: {sent}")
            expect(lost <= lost_at_most, f"{lost} of {sent['sent']} datagrams to {name} were lost")
            expect(got["longest_silence"] < silence, f"{name}: silence of {got}")
            expect(got["repeated"] == 0, f"{name}: datagrams arrived twice: {got}")


def sessions(site):
    document = json.loads(site.cipectl("-j", "show", "sessions", echo=False).stdout)
    return sorted(entry["local_index"] for entry in document["sessions"])


def state(pair):
    return [(site.peer()["latest_handshake"], sessions(site)) for site in pair.both]


def replace(site, *arguments, **options):
    return site.run(labs.BIN / "ciped", *site.options(), "--replace", "--daemon", *arguments,
                    timeout=60, **options)


def expect_taken_over(pair, before, counted):
    """The same sessions, counters above what they were, and nothing that was seen twice."""
    expect(state(pair) == before, f"sessions changed from {before} to {state(pair)}")
    for site in pair.both:
        bytes_now = site.peer()["rx_bytes"]
        expect(bytes_now >= counted[site.name], f"{site.name}: rx_bytes fell to {bytes_now}")
        # Nothing on a veth is doubled: a counter seen twice was used twice.
        expect("rx_replayed" not in drops(site), f"counters were used twice: {drops(site)}")


def replaced(lab, datapath):
    """Under traffic: no handshake, no counter twice, hardly a packet lost; three times in a row."""
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": datapath})
    pair.up()
    pair.transfer(pair.a, octets=2_000_000)
    pair.transfer(pair.b, octets=2_000_000)
    before, rung = state(pair), pair.a.peer()["rung"]
    counted = {site.name: site.peer()["rx_bytes"] for site in pair.both}
    for _ in range(2):
        old = pair.a.daemons()
        streams = Streams(pair)
        replace(pair.a)
        new = pair.a.daemons()
        expect(all(new) and not set(new) & set(old), f"processes were {old} and are {new}")
        streams.check(lost_at_most=100)
        expect_taken_over(pair, before, counted)
        expect(pair.a.peer()["rung"] == rung, f"rung was {rung}, is {pair.a.peer()['rung']}")
    pair.ping_all()
    pair.transfer(pair.a, octets=2_000_000)
    pair.transfer(pair.b, octets=2_000_000)
    pair.down()


def replaced_default_route(lab):
    """Table, mark, rules and reject routes are the successor's as they were; and it takes them away
    in the end."""
    pair = make_pair(lab)
    pair.configure(only_here={"site-a": (
        {"RejectWhenDown": "yes"}, {"AllowedIPs": "0.0.0.0/0, ::/0"})})
    pair.up()
    pair.ping_all()

    def routing():
        return [lab.quiet("ip", "-n", pair.a.namespace, family, *words)
                for family in ("-4", "-6") for words in (("rule",), ("route", "show", "table", "all",
                                                                    "proto", "205"))]

    before, was = state(pair), routing()
    expect(any("fwmark" in text for text in was), f"no rule with a mark: {was}")
    replace(pair.a)
    expect(routing() == was, f"routes and rules were {was}, are {routing()}")
    pair.ping_all()
    expect(state(pair) == before, f"sessions changed from {before} to {state(pair)}")
    pair.a.run("ip", "rule", "del", "table", "main", "suppress_prefixlength", "0")
    labs.wait_for("the rule to be put back", lambda: routing() == was)
    pair.ping_all()
    pair.down()


def replaced_classic(lab):
    """Protocol 3 agrees on new keys, keeps its netdev, and runs no script again."""
    pair = two_hosts(lab)
    for host in pair.both:
        host.write("options", f"key {KEY}\n")
    pair.a.script("ip-up")
    pair.a.script("ip-down")
    pair.a.type("ciped-cb me=10.0.0.1:6789 peer=10.0.0.2:6543 ipaddr=10.0.1.1 ptpaddr=10.0.1.2")
    pair.b.type("ciped-cb me=10.0.0.2:6543 peer=10.0.0.1:6789 ipaddr=10.0.1.2 ptpaddr=10.0.1.1")
    labs.ping(pair.a, "10.0.1.2")
    index = pair.a.run("cat", "/sys/class/net/cipcb0/ifindex").stdout
    pair.a.run(labs.BIN / "ciped", "--replace", "--daemon", timeout=60)
    expect(pair.a.run("cat", "/sys/class/net/cipcb0/ifindex").stdout == index, "another netdev")
    labs.wait_for("a ping again", lambda: labs.ping(pair.a, "10.0.1.2", count=1, check=False), 15)
    labs.ping(pair.b, "10.0.1.1")
    pair.down()
    pair.a.wait_call("ip-down")
    expect(len(pair.a.calls("ip-up")) == 1, f"ip-up ran {len(pair.a.calls('ip-up'))} times")


def nobody_to_replace(lab):
    """`ciped --replace` is an ordinary start where none runs."""
    pair = make_pair(lab)
    pair.configure()
    replace(pair.a)
    pair.up()
    pair.ping_all()
    pair.b.down(TUNNEL)
    pair.a.down(TUNNEL)
    pair.a.stop_daemon()
    pair.expect_nothing_left()


HELLO = 1
FORMAT = int(re.search(r"kHandoverVersion = (\d+)",
                       (labs.ROOT / "controller/broker/handover.h").read_text())[1])


def ask_as_successor(site, version, abi=2):
    """A connection on which a successor of that data format has asked for everything."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(20)
    connection.connect(str(site.directory / "run/handover.sock"))
    texts = b"".join(struct.pack("<I", len(text)) + text for text in (
        os.fsencode(site.config), os.fsencode(site.directory / "state")))
    connection.send(struct.pack("<BII", HELLO, version, abi) + texts)
    return connection


def successor_dies(lab):
    """One that asks and ends half way changes nothing: the old one goes on, sessions included."""
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": "xdp"})
    pair.up()
    before, old = state(pair), pair.a.daemons()
    streams = Streams(pair)
    connection = ask_as_successor(pair.a, FORMAT)
    _, fds, _, _ = socket.recv_fds(connection, 65536, 253)
    expect(len(fds) > 10, f"only {len(fds)} descriptors were given")
    for fd in fds:
        os.close(fd)
    connection.close()
    streams.check(lost_at_most=100)
    expect(pair.a.daemons()[0] == old[0], "the old ciped ended")
    expect(state(pair) == before, f"sessions changed from {before} to {state(pair)}")
    pair.expect_rung({2})
    pair.ping_all()
    replace(pair.a)  # and a proper one is served after that
    expect(state(pair) == before, f"sessions changed from {before} to {state(pair)}")
    pair.down()


def refused(lab):
    """Other directories, or words that make no sense: refused, and nothing happens."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    before = state(pair)
    result = pair.a.run(labs.BIN / "ciped", "--replace", "--daemon", "--runtime-dir",
                        pair.a.directory / "run", "--config-dir", lab.directory, "--state-dir",
                        pair.a.directory / "state", check={1})
    expect("uses config directory" in result.stderr, f"the reason is missing: {result.stderr}")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as connection:
        connection.settimeout(10)
        connection.connect(str(pair.a.directory / "run/handover.sock"))
        connection.send(b"\1\2\3")
        expect(b"makes no sense" in connection.recv(1000), "nonsense was not refused")
    mode = os.stat(pair.a.directory / "run/handover.sock").st_mode & 0o777
    expect(mode == 0o600, f"handover.sock has mode {mode:o}")
    expect(state(pair) == before, "sessions changed")
    pair.down()


def newer_format(lab):
    """A successor with another data format starts clean: a new handshake, nothing misread."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    before = state(pair)
    connection = ask_as_successor(pair.a, 4711)
    answer = connection.recv(1000)
    expect(b"4711" in answer, f"answer to a successor of another format: {answer}")
    connection.close()
    labs.wait_for("the old ciped to end", lambda: pair.a.daemons() == (None, None))
    replace(pair.a)
    pair.wait_handshake()
    labs.wait_for("a new session", lambda: not set(sessions(pair.a)) & set(before[0][1])
                  and sessions(pair.a))
    pair.ping_all()
    pair.b.down(TUNNEL)
    pair.a.down(TUNNEL)
    pair.a.stop_daemon()
    pair.expect_nothing_left()


def up_under_manager(lab):
    """(a pair that is up, the manager of site-a)."""
    pair = make_pair(lab)
    pair.configure()
    pair.b.up(TUNNEL, "--no-wait")
    manager = Manager(pair.a)
    manager.start()
    pair.a.up(TUNNEL)
    return pair, manager


def down_under_manager(pair, manager):
    for site in pair.both:
        site.down(TUNNEL)
    manager.stop()
    for fd in manager.stored.values():  # a plain stop
        os.close(fd)
    pair.expect_nothing_left()


def set_format(fd, number):
    """Writes another version into the document."""
    with open(os.dup(fd), "r+b", buffering=0) as document:
        os.pwrite(document.fileno(), struct.pack("<I", number), 8)


def stored(lab, other_format):
    """Through the descriptor store; what has another format is discarded, not misread."""
    pair, manager = up_under_manager(lab)
    pair.ping_all()
    before = state(pair)
    counted = {site.name: site.peer()["rx_bytes"] for site in pair.both}
    streams = None if other_format else Streams(pair)
    manager.stop()
    expect(len(manager.stored) > 10, f"stored: {sorted(manager.stored)}")
    if other_format:
        set_format(manager.stored["cipe-0"], 4711)
    manager.start()
    if other_format:
        labs.wait_for("a new session", lambda: sessions(pair.a) and
                      not set(sessions(pair.a)) & set(before[0][1]))
        log = manager.log.read_text()
        expect("4711" in log and "discarded" in log, f"the log does not say so: {log[-600:]}")
    else:
        streams.check(lost_at_most=100)
        expect_taken_over(pair, before, counted)
    pair.ping_all()
    down_under_manager(pair, manager)


CASES = {
    **{f"replace-{datapath}": functools.partial(replaced, datapath=datapath)
       for datapath in ("xdp", "afxdp", "socket")},
    "replace-default-route": replaced_default_route,
    "replace-classic": replaced_classic,
    "replace-nobody": nobody_to_replace,
    "replace-dies-half-way": successor_dies,
    "replace-refused": refused,
    "replace-other-format": newer_format,
    "store": functools.partial(stored, other_format=False),
    "store-other-format": functools.partial(stored, other_format=True),
}
