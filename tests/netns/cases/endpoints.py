"""Endpoints as names and in several lines: DNS that moves, is late or lies, failover and the way
back, and peers that die."""

import re
import time

import lab as labs
from routed import NAME, PORT, endpoint, make_routed_pair
from sites import TUNNEL, expect

SECOND = "198.51.100.3"  # of site-b, beside its own


def endpoints(pair, *lines, peer=None, interface=None):
    """site-a has these Endpoint lines for site-b, which has none."""
    pair.configure(interface=interface,
                   only_here={"site-b": ({}, {"Endpoint": None}), "site-a": ({}, peer or {})})
    path = pair.a.config / f"{TUNNEL}.conf"
    text = "\n".join(f"Endpoint = {line}" for line in lines)
    path.write_text(re.sub(r"(?m)^Endpoint = .*$", text, path.read_text()))


def second_address(pair):
    pair.b.run("ip", "address", "add", f"{SECOND}/24", "dev", "eth0")


def dns_moves(lab):
    """The name of a peer that moved is asked for again when the old address is silent."""
    pair = make_routed_pair(lab)
    pair.serve_names({NAME: [pair.carrier_address(pair.b)]})
    endpoints(pair, f"{NAME}:{PORT}", peer={"Ping": 1, "PingTimeout": 1})
    pair.b.up(TUNNEL, "--no-wait")
    pair.up_with_names(pair.a)
    pair.ping_all(families=(4,))
    # Nothing may come from site-b by itself, or its new address would be learned without DNS.
    pair.lose(f"ip saddr {SECOND} ip daddr 192.0.2.1 udp sport {PORT} ct state new")
    first = pair.carrier_address(pair.b)
    second_address(pair)
    pair.b.run("ip", "address", "delete", f"{first}/24", "dev", "eth0")
    pair.b.run("ip", "address", "replace", f"{SECOND}/24", "dev", "eth0")
    pair.b.run("ip", "route", "replace", "default", "via", "198.51.100.254")
    pair.serve_names({NAME: [SECOND]})
    pair.wait_endpoint(pair.a, endpoint(SECOND), 60)
    pair.ping_all(families=(4,))
    expect(len(pair.queries()) >= 4, f"only {pair.queries()} was asked")
    pair.down()


def dns_ttl(lab):
    """A name is asked for again when its TTL is over, and a session that works stays where it is."""
    pair = make_routed_pair(lab)
    pair.serve_names({NAME: [pair.carrier_address(pair.b)]}, ttl=31)
    endpoints(pair, f"{NAME}:{PORT}")
    pair.b.up(TUNNEL, "--no-wait")
    pair.up_with_names(pair.a)
    asked = len(pair.queries())
    pair.serve_names({NAME: ["198.51.100.99"]}, ttl=31)
    time.sleep(20)
    expect(len(pair.queries()) == asked, "asked for again before the TTL was over")
    labs.wait_for("the name to be asked for again", lambda: len(pair.queries()) > asked, 20)
    time.sleep(1)
    pair.ping_all(families=(4,))
    expect(pair.a.peer()["endpoint"] == pair.endpoint(pair.b), "a working session was moved")
    pair.down()


def dns_down_at_start(lab):
    """As at boot, before the network: `up` ends, says why, and the tunnel comes up by itself."""
    pair = make_routed_pair(lab)
    endpoints(pair, f"{NAME}:{PORT}")
    pair.b.up(TUNNEL, "--no-wait")
    result = pair.up_with_names(pair.a, check={labs.EXIT_DEGRADED})
    text = result.stdout + result.stderr
    expect(NAME in text, f"up does not name it: {text}")
    labs.wait_for("the reason to be shown", lambda: "cannot resolve" in (pair.a.peer()["why"] or ""),
                  20)
    expect(pair.a.peer()["status"] == "no_endpoint", f"status {pair.a.peer()['status']}")
    pair.serve_names({NAME: [pair.carrier_address(pair.b)]})
    pair.wait_status(pair.a, "connected", 45)
    pair.ping_all(families=(4,))
    pair.down()


def unknown_name(lab):
    """One peer's name that nobody knows, or that is this host itself, keeps no other from working."""
    pair = make_routed_pair(lab)
    pair.serve_names({NAME: [pair.carrier_address(pair.b)], "self.cipe.test": ["192.0.2.1"]})
    endpoints(pair, f"{NAME}:{PORT}")
    path = pair.a.config / f"{TUNNEL}.conf"
    more = []
    for number, name in ((11, "nobody.cipe.test"), (12, "self.cipe.test")):
        _, public = labs.key_pair(pair.a, f"spare{number}")
        more.append(f"[Peer]\nName = p{number}\nPublicKey = {public}\nEndpoint = {name}:{PORT}\n"
                    f"AllowedIPs = 10.9.0.{number}/32\n")
    path.write_text(path.read_text() + "\n".join(more))
    pair.b.up(TUNNEL, "--no-wait")
    pair.up_with_names(pair.a, "--no-wait")

    def why(name):
        return next(p for p in pair.a.peers() if p["name"] == name)["why"] or ""
    labs.wait_for("the unknown name to be shown", lambda: "nobody.cipe.test" in why("p11"), 30)
    labs.wait_for("the own address to be refused", lambda: "itself" in why("p12"), 30)
    labs.wait_for("the good peer", lambda: why("site-b") == "", 15)
    pair.ping_all(families=(4,))
    for site in pair.both:
        site.down(TUNNEL)


def aaaa_unreachable(lab):
    """A name with AAAA and A: without IPv6 route A is taken at once, with a silent one soon."""
    pair = make_routed_pair(lab)
    records = {NAME: [pair.carrier_address(pair.b, family) for family in (6, 4)]}
    pair.serve_names(records)
    endpoints(pair, f"{NAME}:{PORT}")
    pair.b.up(TUNNEL, "--no-wait")
    pair.a.run("ip", "-6", "route", "delete", "default")
    started = time.monotonic()
    pair.up_with_names(pair.a)
    expect(pair.a.peer()["endpoint"] == pair.endpoint(pair.b, 4), f"{pair.a.peer()['endpoint']}")
    expect(time.monotonic() - started < 5, "a family without a route was tried")
    pair.ping_all()
    pair.a.down(TUNNEL)
    pair.a.run("ip", "-6", "route", "add", "default", "via", "2001:db8:1::fe")
    pair.lose("ip6 nexthdr udp")
    pair.up_with_names(pair.a, "--no-wait")
    pair.wait_endpoint(pair.a, pair.endpoint(pair.b, 4), 20)
    pair.ping_all()
    pair.down()


def failover(lab):
    """Two Endpoint lines; the first is silent, then there again."""
    pair = make_routed_pair(lab)
    second_address(pair)
    first, second = pair.endpoint(pair.b), endpoint(SECOND)
    endpoints(pair, first, second, interface={"Rekey": 15})
    pair.lose(f"ip daddr {pair.carrier_address(pair.b)}")
    pair.b.up(TUNNEL, "--no-wait")
    started = time.monotonic()
    pair.a.up(TUNNEL, "--no-wait")
    pair.wait_endpoint(pair.a, second, 20)
    expect(time.monotonic() - started < 16, f"{time.monotonic() - started:.1f} s for the next line")
    pair.ping_all()
    # The first is heard again: with one of the next handshakes the tunnel returns, losing nothing.
    pair.lose()
    ping = pair.a.start("ping", "-n", "-i", "0.2", "-w", "150", pair.inner(pair.b))
    try:
        pair.wait_endpoint(pair.a, first, 120)
        time.sleep(2)
    finally:
        ping.send_signal(2)
        output, _ = ping.communicate(timeout=10)
    expect(" 0% packet loss" in output, f"the way back lost packets: {output[-200:]}")
    pair.ping_all()
    pair.down()


def dead_and_alive(lab):
    """Ping and PingTimeout: silence is noticed, shown and logged, and so is its end."""
    pair = make_routed_pair(lab)
    endpoints(pair, pair.endpoint(pair.b), peer={"Ping": 2, "PingTimeout": 1})
    pair.b.up(TUNNEL, "--no-wait")
    pair.a.up(TUNNEL)
    labs.wait_for("a round-trip time", lambda: pair.a.peer()["rtt_ms"] is not None, 10)
    expect(0 < pair.a.peer()["rtt_ms"] < 2000, f"rtt_ms {pair.a.peer()['rtt_ms']}")
    expect("round trip: " in pair.a.cipectl("show", "peers").stdout, "show tells no round trip")
    pair.lose("meta l4proto udp")
    pair.wait_status(pair.a, "dead", 2 + 3 + 3)
    peer = pair.a.peer()
    expect("3 pings" in peer["why"] and peer["advice"], f"why {peer['why']}, {peer['advice']}")
    expect("site-b: dead" in pair.a.cipectl("show", "peers").stdout, "show does not say dead")
    pair.lose()
    pair.wait_status(pair.a, "connected", 15)
    expect(pair.a.peer()["why"] is None, f"why: {pair.a.peer()['why']}")
    pair.ping_all()
    pair.down()


CASES = {
    "dns-moves": dns_moves, "dns-ttl": dns_ttl, "dns-down-at-start": dns_down_at_start,
    "unknown-name": unknown_name, "aaaa-unreachable": aaaa_unreachable, "failover": failover,
    "dead-and-alive": dead_and_alive,
}
