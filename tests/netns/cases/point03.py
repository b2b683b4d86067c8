"""Point 3: counters are exact at both ends, the netdev's and the tool's; handshakes have a time."""

import functools
import json
import time

import lab as labs
from sites import TUNNEL, expect, make_pair

SIZE, COUNT = 400, 50


def netdev(site):
    link = json.loads(site.run("ip", "-j", "-s", "link", "show", TUNNEL, echo=False).stdout)[0]
    return {f"{way}_{what}": link["stats64"][way][what]
            for way in ("rx", "tx") for what in ("bytes", "packets")}


def tool(site):
    peer = site.peer()
    return {name: peer[name] for name in ("rx_bytes", "rx_packets", "tx_bytes", "tx_packets")}


def counters(lab, datapath):
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": datapath})
    started = int(time.time())
    pair.up()
    for site in pair.both:  # what the kernel says by itself on a new netdev (MLD, for example)
        expect(tool(site)["rx_bytes"] == 0, f"{site.name} counts a handshake as traffic")
        stamp = site.peer()["latest_handshake"]
        expect(started - 1 <= stamp <= time.time() + 1, f"latest_handshake is {stamp}")
    before = {site.name: (netdev(site), tool(site)) for site in pair.both}
    for family in (4, 6):
        labs.ping(pair.a, pair.inner(pair.b, family), count=COUNT, size=SIZE)
    # Probes and keepalives go beside it, and are no traffic.
    octets = COUNT * (SIZE + 28) + COUNT * (SIZE + 48)
    for site in pair.both:
        labs.wait_for("the counters", lambda s=site: tool(s)["rx_packets"] >= 2 * COUNT)
        for kind, (was, now) in enumerate(zip(before[site.name], (netdev(site), tool(site)))):
            grown = {name: now[name] - was[name] for name in now}
            wanted = {"rx_bytes": octets, "tx_bytes": octets, "rx_packets": 2 * COUNT,
                      "tx_packets": 2 * COUNT}
            expect(grown == wanted, f"{site.name}, {('netdev', 'tool')[kind]}: {grown}, expected "
                   f"{wanted}")
    expect(tool(pair.a)["tx_bytes"] == tool(pair.b)["rx_bytes"], "the ends differ")
    expect(tool(pair.b)["tx_bytes"] == tool(pair.a)["rx_bytes"], "the ends differ")
    pair.down()


CASES = {f"counters-{datapath}": functools.partial(counters, datapath=datapath)
         for datapath in ("xdp", "afxdp", "socket")}
