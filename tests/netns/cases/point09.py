"""A NAT that forgets after 2 s, and a persistent keepalive every second that keeps it from it."""

import functools
import time

import lab as labs
from routed import make_routed_pair
from sites import expect


def nat(lab, outer):
    pair = make_routed_pair(lab, outer)
    pair.nat(udp_timeout=2)
    hidden = {"site-b": ({}, {"Endpoint": None})}
    # Without keepalive the hole is closed: else the case would show nothing.
    pair.configure(only_here=hidden)
    pair.b.up("tun", "--no-wait")
    pair.a.up("tun")
    pair.wait_handshake()
    pair.ping_all(families=(4,))
    time.sleep(5)
    expect(not labs.ping(pair.b, pair.inner(pair.a), count=1, check=False),
           "the NAT forgets nothing: nothing is tested here")
    for site in pair.both:
        site.down("tun")
    pair.configure(only_here={**hidden, "site-a": ({}, {"PersistentKeepalive": 1})})
    pair.b.up("tun", "--no-wait")
    pair.a.up("tun")
    pair.wait_handshake()
    for _ in range(2):
        time.sleep(5)
        pair.ping_all()
    pair.down()


CASES = {f"nat-v{outer}": functools.partial(nat, outer=outer) for outer in (4, 6)}
