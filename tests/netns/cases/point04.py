"""Point 4: a route's MTU is used to the last octet: nothing is padded over it."""

import functools

import lab as labs
from sites import PORT, expect, make_pair

ROUTE = 1400


def exact(lab, outer, datapath):
    """Packets of just the size pass a filter for length; the next octet is answered, not sent."""
    pair = make_pair(lab, outer)
    own = {site.name: pair.carrier_address(site) for site in pair.both}
    bits = 32 if outer == 4 else 128
    for site in pair.both:
        site.run("ip", f"-{outer}", "route", "add", f"{own[pair.other(site).name]}/{bits}",
                 "dev", "eth0", "mtu", ROUTE)
        # XDP and AF_XDP pass by nftables on receipt and sending: what goes that way is measured by
        # its answers alone.
        rule = f"udp dport {PORT} meta length > {ROUTE} counter drop"
        site.run("nft", "-f", "-", stdin="table inet length {\n" + "".join(
            f"chain {name} {{\n type filter hook {name} priority 0;\n {rule}\n}}\n"
            for name in ("input", "output")) + "}\n")
    pair.configure(interface={"Datapath": datapath, "MTU": 1420})
    pair.up()
    overhead = 60 if outer == 4 else 80
    fits = ROUTE - overhead
    for site in pair.both:
        labs.ping(site, pair.inner(pair.other(site)), count=1)
        labs.wait_for("the route's MTU to be known",
                      lambda s=site: s.peer()["path_mtu"] == min(fits, 1420))
        source = site.peer()["path_mtu_source"]
        expect(source == "route", f"source is {source}")
    for family, headers in ((4, 28), (6, 48)):
        address = pair.inner(pair.b, family)
        for size in range(fits - headers - 3, fits - headers + 1):
            labs.ping(pair.a, address, count=1, size=size)
        result = pair.a.run("ping", "-n", "-M", "do", "-c", 1, "-W", 2, "-s", fits - headers + 1,
                            address, check={1})
        # 1: sent, and answered by the tunnel with "too big".
        expect(str(fits) in result.stdout + result.stderr, f"ping says: {result.stdout}")
    for site in pair.both:
        counted = site.run("nft", "list", "table", "inet", "length", echo=False).stdout
        expect(counted.count("packets 0 bytes 0") == 2, f"{site.name} sent too long ones: {counted}")
    pair.down()


CASES = {f"exact-v{outer}-{datapath}": functools.partial(exact, outer=outer, datapath=datapath)
         for outer in (4, 6) for datapath in ("xdp", "afxdp", "socket")}
