"""A link in the middle of the carrier that takes less than both ends know of, with and without ICMP."""

import functools
import time

from evidence import exchange, together
from routed import NET4, NET6, endpoint_of, routed
from sites import TUNNEL, expect, up

NARROW, OWN = 1400, 1420
OVERHEAD = {4: 60, 6: 80}
PROBE_STEP = 8  # how near to the truth a search without ICMP comes
MOST_SECONDS = 60  # for a transfer that is cut off at first, on a busy machine
# The router becomes two with a narrow link between them: the one to site-b in a namespace.
SPLIT = f"""set -e
ip netns add far
ip link set eth1 netns far
ip link add to-far mtu {NARROW} type veth peer name to-near mtu {NARROW}
ip link set to-near netns far
ip address add 203.0.113.1/24 dev to-far
ip address add 2001:db8:3::1/64 dev to-far nodad
ip link set to-far up
ip -n far address add 203.0.113.2/24 dev to-near
ip -n far address add 2001:db8:3::2/64 dev to-near nodad
ip -n far address add {NET4[2]}.254/24 dev eth1
ip -n far address add {NET6[2]}:ffff/64 dev eth1 nodad
ip -n far link set lo up
ip -n far link set to-near up
ip -n far link set eth1 up
ip route add {NET4[2]}.0/24 via 203.0.113.2
ip route add {NET6[2]}:/64 via 2001:db8:3::2
ip -n far route add {NET4[1]}.0/24 via 203.0.113.1
ip -n far route add {NET6[1]}:/64 via 2001:db8:3::1
ip netns exec far sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
"""
SILENT = """table inet silent {
  chain output {
    type filter hook output priority 0
    icmp type destination-unreachable counter drop
    icmpv6 type packet-too-big counter drop
  }
}
"""


def narrow(lab, silent):
    """Over both outer families: transfers both ways arrive whole, and `show peers` knows why."""
    a, b, router = routed(lab)
    router.put("/root/split.sh", SPLIT)
    router.run("sh /root/split.sh")
    if silent:
        router.put("/root/silent.nft", SILENT)
        router.run("nft -f /root/silent.nft && ip netns exec far nft -f /root/silent.nft")
    for outer in (4, 6):
        for site in (a, b):
            site.endpoint = endpoint_of(site.number, outer)
        a.configure(b)
        b.configure(a)
        up(a, b)
        a.ping(b.inner4)
        started = time.monotonic()
        exchange((a.host, (a.inner4, a.inner6)), (b.host, (b.inner4, b.inner6)))
        took = time.monotonic() - started
        expect(took < MOST_SECONDS, f"the transfers over IPv{outer} took {took:.0f} s")
        for site in (a, b):
            knows(site, outer, silent)
        large_pings(a, b)
        if outer == 4:
            together([(site.host, f"systemctl stop cipe@{TUNNEL}") for site in (a, b)], 100)
    if silent:
        for namespace in ("", "ip netns exec far "):
            counted = router.run(f"{namespace}nft list ruleset")
            expect(counted.count("counter packets 0 ") == 0,
                   f"the router had nothing to hold back: {counted}")


def knows(site, outer, silent):
    peer, fits = site.peer(), NARROW - OVERHEAD[outer]
    said = f"{site.host.name} over IPv{outer}: path_mtu {peer['path_mtu']} by {peer['path_mtu_source']}"
    if silent:
        expect(fits - PROBE_STEP <= peer["path_mtu"] <= fits, f"{said}, expected {fits} or little less")
        expect(peer["path_mtu_source"] == "probe", f"{said}, expected by probe")
    else:
        expect(peer["path_mtu"] == fits, f"{said}, expected {fits}")
        expect(peer["path_mtu_source"] == "icmp", f"{said}, expected by icmp")
    link = site.host.run(f"cat /sys/class/net/{TUNNEL}/mtu")
    expect(int(link) == OWN, f"{site.host.name}: the tunnel's MTU is {link}: nothing was tested")


def large_pings(a, b):
    """What fits to the octet, what is one too many, and what must be cut."""
    ways = [(site.host, address, site.peer()["path_mtu"], headers)
            for site, other in ((a, b), (b, a))
            for address, headers in ((other.inner4, 28), (other.inner6, 48))]
    tries = "for i in 1 2 3 4 5 6; do ping -n -q -c 1 -W 2 {} && exit; done; exit 1"
    together([(host, tries.format(f"-M do -s {most - headers} {address}"))
              for host, address, most, headers in ways])
    # The first ones are what learns, on the way there and on the way back.
    together([(host, tries.format(f"-M dont -s 4000 {address}")) for host, address, _, _ in ways])
    said = together([(host, f"! ping -n -M do -c 1 -W 2 -s {most - headers + 1} {address} 2>&1")
                     for host, address, most, headers in ways])
    for (host, address, most, _), text in zip(ways, said):
        expect(f"{most}" in text, f"{host.name}: {address}: one octet more than {most}: {text}")


CASES = {"told": functools.partial(narrow, silent=False),
         "silent": functools.partial(narrow, silent=True)}
