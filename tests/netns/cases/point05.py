"""Roaming: the address or the port that packets come from changes, and the tunnel goes on."""

import functools
import time

import lab as labs
from routed import PORT, ROUTER, endpoint, make_routed_pair
from sites import expect


def handshakes(pair):
    return [site.peer()["latest_handshake"] for site in pair.both]


def other_address(pair, family):
    return {4: "192.0.2.77", 6: "2001:db8:1::77"}[family]


def move(pair, family):
    """site-a has another address of that family from now on."""
    length = {4: 24, 6: 64}[family]
    old, new = pair.carrier_address(pair.a, family), other_address(pair, family)
    nodad = ["nodad"] if family == 6 else []
    pair.a.run("ip", "address", "add", f"{new}/{length}", "dev", "eth0", *nodad)
    pair.a.run("ip", "address", "delete", f"{old}/{length}", "dev", "eth0")
    # Others of the same network may have gone with the first, and the route with them.
    pair.a.run("ip", "address", "replace", f"{new}/{length}", "dev", "eth0", *nodad)
    pair.a.run("ip", f"-{family}", "route", "replace", "default", "via", ROUTER[family][0])


def reach_again(pair):
    """What site-b answers before it knows where site-a is now, is lost: once, and no more."""
    labs.wait_for("site-a to reach site-b again",
                  lambda: labs.ping(pair.a, pair.inner(pair.b), count=1, check=False), 20)


def roaming(lab, outer, datapath="auto"):
    """By source address: site-a's is replaced, site-b follows with the next packet."""
    pair = make_routed_pair(lab, outer)
    pair.configure(interface={"Datapath": datapath}, only_here={"site-b": ({}, {"Endpoint": None})})
    pair.b.up("tun", "--no-wait")
    pair.a.up("tun")
    pair.wait_handshake()
    pair.ping_all(families=(4,))
    before = handshakes(pair)
    move(pair, outer)
    reach_again(pair)
    pair.ping_all()
    pair.wait_endpoint(pair.b, endpoint(other_address(pair, outer)), 5)
    expect(handshakes(pair) == before, "it took a new handshake")
    pair.down()


def port(lab, outer):
    """By source port, as behind a NAT that forgot and chose another one."""
    pair = make_routed_pair(lab, outer)
    outside = ROUTER[outer][1]
    saddr = f"{'ip' if outer == 4 else 'ip6'} saddr {pair.carrier_address(pair.a)}"

    def translate(to):
        pair.nat(f"{saddr} udp sport {PORT} snat {'ip' if outer == 4 else 'ip6'} to "
                 f"{endpoint(outside, to)}", udp_timeout=4)
    translate(7001)
    pair.configure(only_here={"site-b": ({}, {"Endpoint": None})})
    pair.b.up("tun", "--no-wait")
    pair.a.up("tun")
    pair.wait_handshake()
    pair.wait_endpoint(pair.b, endpoint(outside, 7001), 5)
    before = handshakes(pair)
    for to in (7002, 7003):
        translate(to)
        time.sleep(6)  # nothing goes through, and the router forgets
        reach_again(pair)
        pair.wait_endpoint(pair.b, endpoint(outside, to), 5)
        pair.ping_all()
    expect(handshakes(pair) == before, "it took a new handshake")
    pair.down()


def families(lab):
    """From IPv4 to IPv6 and back: site-a loses one of the two, and site-b follows."""
    pair = make_routed_pair(lab)
    pair.configure(peer={"Ping": 1, "PingTimeout": 1},
                   only_here={"site-b": ({}, {"Endpoint": None}), "site-a": ({}, {})})
    path = pair.a.config / "tun.conf"
    text = path.read_text()
    path.write_text(text.replace("Endpoint = ", f"Endpoint = {pair.endpoint(pair.b, 4)}\n"
                                 f"Endpoint = {pair.endpoint(pair.b, 6)}\n#", 1))
    pair.b.up("tun", "--no-wait")
    pair.a.up("tun")
    pair.wait_handshake()
    pair.wait_endpoint(pair.a, pair.endpoint(pair.b, 4), 5)
    own = f"{pair.carrier_address(pair.a, 4)}/24"
    pair.a.run("ip", "address", "delete", own, "dev", "eth0")
    pair.wait_endpoint(pair.a, pair.endpoint(pair.b, 6), 30)
    pair.wait_endpoint(pair.b, pair.endpoint(pair.a, 6), 5)
    pair.ping_all()
    # And back, once IPv6 is what is missing.
    pair.a.run("ip", "address", "add", own, "dev", "eth0")
    pair.a.run("ip", "route", "replace", "default", "via", ROUTER[4][0])
    pair.lose("ip6 nexthdr udp")
    pair.wait_endpoint(pair.a, pair.endpoint(pair.b, 4), 40)
    pair.wait_endpoint(pair.b, pair.endpoint(pair.a, 4), 5)
    pair.ping_all()
    pair.down()


CASES = {
    "roaming-v4": functools.partial(roaming, outer=4),
    "roaming-v6": functools.partial(roaming, outer=6),
    "roaming-v4-afxdp": functools.partial(roaming, outer=4, datapath="afxdp"),
    "roaming-v4-socket": functools.partial(roaming, outer=4, datapath="socket"),
    "port-v4": functools.partial(port, outer=4), "port-v6": functools.partial(port, outer=6),
    "v4-to-v6-and-back": families,
}
