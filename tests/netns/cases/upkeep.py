"""What administrators do to tunnels that run, and what ends agree on by themselves."""

import hashlib
import json
import re

import lab as labs
from sites import TUNNEL, expect, make_pair, wait_drop


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
    wait_drop([pair.a], {"tx_too_big"})
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
    refused("another configuration", f"cipectl down {TUNNEL}")
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
    state = pair.b.directory / "state" / f"{TUNNEL}.floors"
    labs.wait_for("the floor to be on disk", state.exists)  # lazily, within a second
    far = "400000008000000000000000"  # TAI64N, in the year 2038
    identity, sent, _ = state.read_text().splitlines()[0].split(" ")
    line = f"{identity} {sent} {far}\n"
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


CASES = {
    "mtu-smaller-of-both": mtu_smaller_of_both, "mtu-configured": mtu_configured,
    "up-again": up_again, "forget-clock": forget_clock,
}
