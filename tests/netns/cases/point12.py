"""ICMP errors come back along the right path, through NAT, and say what is wrong."""

import functools

import lab as labs
from routed import make_routed_pair
from sites import expect


def port_unreachable(lab, outer):
    """Nobody listens at the other end: its host says so, through the NAT, and `show` does too."""
    pair = make_routed_pair(lab, outer)
    pair.nat()
    pair.configure()
    pair.a.up("tun", "--no-wait")
    labs.wait_for("the reason to be shown",
                  lambda: "nobody listens on that port" in (pair.a.peer()["why"] or ""), 15)
    expect(pair.endpoint(pair.b) in pair.a.peer()["why"], f"why: {pair.a.peer()['why']}")
    # It is no verdict: whoever may forge ICMP cannot keep a tunnel from coming up.
    pair.b.up("tun", "--no-wait")
    pair.wait_status(pair.a, "connected", 15)
    expect(pair.a.peer()["why"] is None, f"why: {pair.a.peer()['why']}")
    pair.ping_all()
    pair.down()


def prohibited(lab, outer):
    """A router on the way forbids it."""
    pair = make_routed_pair(lab, outer)
    pair.nft("table inet f {", "chain way { type filter hook forward priority 0;",
             'iifname "to-a" meta l4proto udp reject with icmpx admin-prohibited', "}", "}")
    pair.configure()
    pair.a.up("tun", "--no-wait")
    labs.wait_for("the reason to be shown",
                  lambda: "the network answered" in (pair.a.peer()["why"] or ""), 15)
    expect("nobody listens" not in pair.a.peer()["why"], f"why: {pair.a.peer()['why']}")
    pair.nft()
    pair.b.up("tun", "--no-wait")
    pair.wait_status(pair.a, "connected", 15)
    pair.ping_all()
    pair.down()


CASES = {
    **{f"port-unreachable-through-nat-v{outer}": functools.partial(port_unreachable, outer=outer)
       for outer in (4, 6)},
    **{f"prohibited-v{outer}": functools.partial(prohibited, outer=outer) for outer in (4, 6)},
}
