"""What administrators do to tunnels that run, and what ends agree on by themselves."""

import hashlib
import json
import os
import pathlib
import re
import signal
import time

import lab as labs
from sites import TUNNEL, drops, expect, make_pair, wait_drop


def link_mtu(site):
    return json.loads(site.run("ip", "-j", "link", "show", TUNNEL).stdout)[0]["mtu"]


def mtu_smaller_of_both(lab):
    """MTU = auto follows the peer down; a configured one stays and what is too big is dropped."""
    pair = make_pair(lab)
    pair.configure(only_here={"site-b": ({"MTU": 1300}, {})})
    pair.up()
    labs.wait_for("site-a to take site-b's MTU", lambda: link_mtu(pair.a) == 1300)
    expect(link_mtu(pair.b) == 1300, f"site-b changed its own MTU: {link_mtu(pair.b)}")
    tunnel = json.loads(pair.a.cipectl("-j", "show", "tunnels").stdout)["tunnels"][0]
    expect(tunnel["mtu"] == 1300, f"show says MTU {tunnel['mtu']}")
    expect(pair.a.peer()["path_mtu"] == 1300, f"path_mtu is {pair.a.peer()['path_mtu']}")
    addresses = pair.a.run("ip", "-6", "address", "show", TUNNEL).stdout
    expect(pair.inner(pair.a, 6) in addresses, "IPv6 is gone from the interface")
    pair.ping_all(sizes=(1272 - 20, 2000))  # whole, and split by the kernel
    pair.transfer(pair.a, octets=2_000_000)
    pair.transfer(pair.b, octets=2_000_000)
    pair.down()


def mtu_configured(lab):
    pair = make_pair(lab)
    pair.configure(only_here={"site-a": ({"MTU": 1400}, {}), "site-b": ({"MTU": 1300}, {})})
    pair.up()
    labs.ping(pair.a, pair.inner(pair.b), size=1300 - 28)
    expect(link_mtu(pair.a) == 1400, f"a configured MTU was changed to {link_mtu(pair.a)}")
    expect(not labs.ping(pair.a, pair.inner(pair.b), count=1, size=1400 - 28, check=False),
           "a packet that is too big for site-b went through")
    wait_drop([pair.a], {"tx_too_big_told"})
    pair.down()


def up_again(lab):
    """`up` of a running tunnel: nothing when its file is the same, a refusal when it is not."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    handshake = pair.a.peer()["latest_handshake"]
    pair.a.up(TUNNEL, check={0})
    path = pair.a.config / f"{TUNNEL}.conf"
    text = path.read_text()

    def refused(*patterns):
        result = pair.a.up(TUNNEL, check={1})
        for pattern in patterns:
            expect(re.search(pattern, result.stderr), f"no {pattern!r} in: {result.stderr.strip()}")

    pair.a.write(f"{TUNNEL}.conf", text.replace("[Peer]", "Rekey = 60\n[Peer]"))
    refused("another configuration", f"cipectl reload {TUNNEL}")
    pair.a.write(f"{TUNNEL}.conf", text + "AllowedIPs = 10.77.0.0/16\n")
    refused("another configuration")
    pair.a.write(f"{TUNNEL}.conf", "# a comment is no difference\n" + text)
    pair.a.up(TUNNEL, check={0})
    # Another secret in the same key file is another configuration, too.
    key = pair.a.config / f"{TUNNEL}.key"
    old = key.read_text()
    pair.a.write(f"{TUNNEL}.key", pair.a.cipectl("genkey").stdout)
    refused("another configuration")
    pair.a.write(f"{TUNNEL}.key", old)
    pair.a.write(f"{TUNNEL}.conf", text + "Nonsense = 1\n")
    refused("is up", rf"{TUNNEL}\.conf:\d+:\d+")
    pair.a.write(f"{TUNNEL}.conf", text)
    expect(pair.a.peer()["latest_handshake"] == handshake, "the session was touched")
    pair.ping_all()
    pair.down()


def forget_clock(lab):
    """A peer whose clock was far ahead once is refused until forget-clock; that outlives restarts."""
    pair = make_pair(lab)
    pair.configure(only_here={"site-b": ({}, {"Endpoint": None})})
    pair.up()
    for site in pair.both:
        site.down(TUNNEL)
    # As if site-a's clock had been wrong: its floor in site-b's state directory.
    state = pair.b.directory / "state" / "floors"

    def received():
        lines = state.read_text().splitlines() if state.exists() else []
        return [line for line in lines if line.startswith("received ")]

    labs.wait_for("the floor to be on disk", received)  # lazily, within a second
    # The daemon has what the file says: it reads it once, when it starts.
    pair.b.stop_daemon()
    far = "400000008000000000000000"  # TAI64N, in the year 2038
    line = received()[0].rsplit(" ", 1)[0] + f" {far}\n"
    state.write_text(f"{line}sha256 {hashlib.sha256(line.encode()).hexdigest()}\n")
    for site in pair.both:
        site.up(TUNNEL, "--no-wait")
    wait_drop([pair.b], {"hs_clock_behind"}, timeout=30)
    why = pair.b.peer()["why"]
    expect(f"cipectl forget-clock {TUNNEL} site-a" in why, f"why names no way out: {why}")
    result = pair.b.cipectl("forget-clock", TUNNEL, "nobody", check={1})
    expect("nobody" in result.stderr, f"which peer? {result.stderr}")
    pair.b.cipectl("forget-clock", "other", "site-a", check={1})
    pair.b.cipectl("forget-clock", TUNNEL, check={2})
    shown = pair.b.cipectl("forget-clock", TUNNEL, "site-a").stdout
    expect("site-a" in shown, f"it says {shown!r}")
    floors = state.read_text()
    expect(far not in floors, f"the floor is still on disk: {floors}")
    labs.wait_for("a session", lambda: pair.b.peer()["latest_handshake"], 15)
    pair.ping_all()
    pair.down()


def stamps(lab):
    """Time stamps stay at the clock however often a tunnel starts, and follow the key, not a name."""
    pair = make_pair(lab)
    pair.configure(only_here={"site-b": ({}, {"Endpoint": None})})
    pair.b.up(TUNNEL, "--no-wait")
    floors = pair.a.directory / "state" / "floors"

    def ahead():
        words = [line.split(" ") for line in floors.read_text().splitlines()]
        sent = [int(w[2][:16], 16) for w in words if w[0] == "sent"]
        expect(len(sent) == 1, f"one identity, these stamps: {words}")
        return sent[0] - (2**62 + 10) - time.time()

    for i in range(12):
        pair.a.up(TUNNEL, check={0})
        expect(ahead() < 11, f"up {i}: {ahead()} s ahead of the clock")
        if i % 3 == 2:
            pair.a.stop_daemon()  # which would bring the tunnel up again
            expect(ahead() <= 0, f"after a stop: {ahead()} s ahead of the clock")
        else:
            pair.a.down(TUNNEL)
            labs.wait_for("what was really sent to be on disk", lambda: ahead() <= 0, 5)
    pair.a.up(TUNNEL, check={0})
    pair.a.down(TUNNEL)
    (pair.a.config / f"{TUNNEL}.conf").rename(pair.a.config / "renamed.conf")
    pair.a.up("renamed", check={0})
    expect(not {"hs_replayed", "hs_clock_behind"} & set(drops(pair.b)), "refused by its stamps")
    pair.a.down("renamed")
    pair.b.down(TUNNEL)


def one_daemon_per_state(lab):
    pair = make_pair(lab)
    pair.configure()
    pair.b.up(TUNNEL, "--no-wait")
    result = pair.b.run(labs.BIN / "ciped", "--config-dir", pair.b.config, "--runtime-dir",
                        pair.b.directory / "second", "--state-dir", pair.b.directory / "state",
                        check={1})
    expect("another ciped (process" in result.stderr, f"it says {result.stderr}")
    pair.b.down(TUNNEL)


def close(lab):
    """A site that ends tells its peer: who could only wait for calls is called anew at once."""
    pair = make_pair(lab)
    pair.configure(only_here={"site-a": ({}, {"Endpoint": None})})
    pair.up()

    for end in (lambda: pair.a.down(TUNNEL), pair.a.stop_daemon):
        labs.ping(pair.b, pair.inner(pair.a))
        end()
        labs.wait_for("site-b to know", lambda: pair.b.peer()["status"] != "connected", 3)
        pair.a.up(TUNNEL, "--no-wait")
        labs.ping(pair.b, pair.inner(pair.a))
    pair.down()


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def netdev_deleted(lab):
    """No worker spins on what is left of it, and it comes back as soon as it can."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    broker, engine = pair.a.daemons()

    def missing():
        return pair.a.run("ip", "link", "show", TUNNEL, check=None, echo=False).returncode != 0

    os.kill(broker, signal.SIGSTOP)  # so that nobody makes it anew
    try:
        pair.a.run("ip", "link", "delete", TUNNEL)
        used = cpu_seconds(engine)
        time.sleep(1.5)
        used = cpu_seconds(engine) - used
        expect(used < 0.3, f"the engine used {used:.2f} s of CPU within 1.5 s")
        # In its way for a while: the address on another interface.
        pair.a.run("ip", "address", "add", pair.inner(pair.a) + "/32", "dev", "lo")
    finally:
        os.kill(broker, signal.SIGCONT)
    labs.wait_for("the remains to be gone", lambda: not json.loads(
        pair.a.cipectl("-j", "show", "tunnels", echo=False).stdout)["tunnels"])
    # While that is tried there is an interface for a moment; the next try is ten seconds later.
    labs.wait_for("the try to fail", lambda: "cannot be made anew" in pair.a.daemon_log)
    expect(missing(), "the interface came back with an address that is taken")
    pair.a.run("ip", "address", "delete", pair.inner(pair.a) + "/32", "dev", "lo")
    labs.wait_for("the interface", lambda: not missing(), 15)
    pair.wait_handshake()
    pair.ping_all()
    pair.a.run("ip", "link", "delete", TUNNEL)
    labs.wait_for("the interface", lambda: not missing())
    pair.wait_handshake()
    pair.ping_all()
    expect(pair.a.daemons() == (broker, engine), "a process was lost over it")
    pair.transfer(pair.a, octets=2_000_000)
    pair.down()


CASES = {
    "close": close, "netdev-deleted": netdev_deleted,
    "mtu-smaller-of-both": mtu_smaller_of_both, "mtu-configured": mtu_configured,
    "up-again": up_again, "forget-clock": forget_clock,
    "stamps": stamps, "one-daemon-per-state": one_daemon_per_state,
}
