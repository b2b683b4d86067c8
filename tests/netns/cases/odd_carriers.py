"""Carriers without Ethernet, point-to-point addresses, and more than one way out."""

import functools
import json
import pathlib
import sys

import lab as labs
from sites import TUNNEL, Pair, drops, expect, make_pair

HERE = pathlib.Path(__file__).resolve().parents[1]
MTU = 1492


def tunnel(site):
    return json.loads(site.cipectl("-j", "show", "tunnels", echo=False).stdout)["tunnels"][0]


def make_ppp(lab, outer):
    lab.echo(f"site-a [ppp0] ---- no Ethernet, MTU {MTU} ---- [ppp0] site-b")
    pair = Pair(lab, lab.site("site-a"), lab.site("site-b"), outer)
    wire = lab.start(sys.executable, HERE / "ppp_link.py", "ppp0",
                     *(site.namespace for site in pair.both))
    expect(wire.stdout.readline().strip() == "ready", "the link did not start")
    for site in pair.both:
        other = pair.other(site)
        site.run("ip", "link", "set", "ppp0", "mtu", MTU, "up")
        for own, peer in ((f"192.0.2.{pair.number(site)}", f"192.0.2.{pair.number(other)}"),
                          (f"2001:db8:1::{pair.number(site)}",
                           f"2001:db8:1::{pair.number(other)}")):
            nodad = ["nodad"] if ":" in own else []
            site.run("ip", "address", "add", own, "peer", peer, "dev", "ppp0", *nodad)
    return pair


def ppp(lab, outer, datapath):
    """Rung 3 with the reason, whatever was asked for; traffic flows, and follows a new MTU."""
    pair = make_ppp(lab, outer)
    pair.configure(interface={"Carrier": "auto", "Datapath": datapath})
    if datapath == "auto":
        pair.up()
    else:
        for site in pair.both:
            site.up(TUNNEL, "--no-wait", check={labs.EXIT_DEGRADED})
        pair.wait_handshake()
    for site in pair.both:
        seen = tunnel(site)
        expect(seen["rung"] == 3 and "ppp0" in seen["rung_reason"]
               and "not an Ethernet device" in seen["rung_reason"], f"{site.name}: {seen}")
    pair.ping_all(sizes=(56, 1350, 4000))
    pair.transfer(pair.a, 4, 2_000_000, seconds=40)
    pair.transfer(pair.b, 6, 2_000_000, seconds=40)
    for site in pair.both:
        peer = site.peer()
        expect((peer["path_mtu"], peer["path_mtu_source"]) == (MTU - 80, "interface"), f"{peer}")
        expect(not {"tx_send_error", "tx_too_big"} & set(drops(site)), f"{drops(site)}")
    # The link is dialled again with less.
    for site in pair.both:
        site.run("ip", "link", "set", "ppp0", "mtu", 1400)
    fits = 1400 - (60 if outer == 4 else 80)
    for site in pair.both:
        labs.wait_for("path_mtu to follow", lambda s=site: s.peer()["path_mtu"] <= fits)
    pair.transfer(pair.a, 4, 2_000_000, seconds=40)
    pair.down()


def uplinks(lab, datapath):
    """The route moves from one carrier to the other and back under traffic: next hop, MAC and path
    MTU move with it."""
    pair = make_pair(lab)
    lab.veth(*((site.namespace, "eth1", [f"198.51.100.{number}/24"])
               for number, site in enumerate(pair.both, 1)), mtu=1400)
    for site in pair.both:
        lab.run("ip", "-n", site.namespace, "address", "add", f"203.0.113.{pair.number(site)}/32",
                "dev", "lo")
    pair.configure(interface={"Carrier": "eth0, eth1", "Datapath": datapath, "MTU": 1420},
                   only_here={site.name: ({}, {
                       "Endpoint": f"203.0.113.{pair.number(pair.other(site))}:6789"})
                       for site in pair.both})

    def route(net, device):
        for site in pair.both:
            own, other = pair.number(site), pair.number(pair.other(site))
            lab.run("ip", "-n", site.namespace, "route", "replace", f"203.0.113.{other}/32", "via",
                    f"{net}.{other}", "dev", device, "src", f"203.0.113.{own}")

    def sent(site, device):
        link = json.loads(site.run("ip", "-j", "-s", "link", "show", device, echo=False).stdout)[0]
        return link["stats64"]["tx"]["bytes"]

    route("192.0.2", "eth0")
    pair.up()
    pair.ping_all()
    for net, device, idle, fits in (("198.51.100", "eth1", "eth0", 1340),
                                    ("192.0.2", "eth0", "eth1", 1420)):
        route(net, device)
        for site in pair.both:
            labs.wait_for(f"path_mtu {fits}", lambda s=site: s.peer()["path_mtu"] == fits)
        pair.ping_all()
        before = {site.name: (sent(site, device), sent(site, idle)) for site in pair.both}
        pair.transfer(pair.a, octets=2_000_000)
        pair.transfer(pair.b, 6, octets=2_000_000)
        for site in pair.both:
            used, unused = before[site.name]
            expect(sent(site, device) - used > 2_000_000, f"{site.name}: not by {device}")
            expect(sent(site, idle) - unused < 100_000, f"{site.name}: still by {idle}")
    pair.down()


CASES = {
    **{f"ppp-v{outer}-{datapath}": functools.partial(ppp, outer=outer, datapath=datapath)
       for outer, datapath in ((4, "auto"), (6, "auto"), (4, "afxdp"))},
    **{f"uplinks-{datapath}": functools.partial(uplinks, datapath=datapath)
       for datapath in ("xdp", "afxdp", "socket")},
}
