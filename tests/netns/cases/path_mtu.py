"""Paths that carry less than the interface they start at: all that TCP sends arrives, at speed."""

import functools
import json

import lab as labs
from sites import DATAPATH_RUNGS, TUNNEL, Pair, drops, expect, make_pair

OCTETS = 5_000_000
SECONDS = 25    # for OCTETS, on a busy machine
LEAST_MBIT = 50  # a hundredth of what these paths give; lost runs leave less than 1


def link_mtu(site):
    return json.loads(site.run("ip", "-j", "link", "show", TUNNEL).stdout)[0]["mtu"]


def expect_all_through(pair, families=(4, 6)):
    """Everything arrives in both directions within its bound, and nothing was too big for a socket."""
    for client in pair.both:
        for family in families:
            pair.transfer(client, family, OCTETS, seconds=SECONDS)
        server = pair.other(client)
        speed = labs.iperf_tcp(client, server, pair.inner(server, families[-1]), 2)
        expect(speed > LEAST_MBIT, f"{client.name} -> {server.name}: only {speed:.1f} Mbit/s")
    for site in pair.both:
        counted = drops(site)
        expect("tx_too_big" not in counted and "tx_send_error" not in counted,
               f"{site.name} dropped: {counted}")


def narrow_route(lab, datapath, outer):
    """A route with an MTU: MTU = auto heeds it, and so do tunnels that came up before it."""
    pair = make_pair(lab, outer)
    route = (f"-{outer}", "route", "add", f"{pair.carrier_address(pair.b)}/{32 if outer == 4 else 128}",
             "dev", "eth0", "mtu", 1400)
    pair.configure(interface={"Datapath": datapath})
    pair.up()
    pair.expect_rung(DATAPATH_RUNGS[datapath])
    pair.a.run("ip", *route)
    expect(link_mtu(pair.a) == 1420, f"the MTU is {link_mtu(pair.a)}: nothing is tested here")
    expect_all_through(pair)
    for site in pair.both:
        site.down(TUNNEL)
    pair.up()
    expect(link_mtu(pair.a) == 1320, f"the MTU is {link_mtu(pair.a)} where the route's is 1400")
    expect_all_through(pair)
    pair.down()


class Routed(Pair):
    """Two sites with a router between them."""

    def carrier_address(self, site):
        return (f"198.51.100.{self.number(site)}" if self.outer == 4 and site is self.b
                else f"2001:db8:2::{self.number(site)}" if site is self.b
                else super().carrier_address(site))


def make_routed(lab, outer):
    lab.echo("site-a [eth0] ---- [to-a] router [to-b] ---- [eth0] site-b; the router's MTU to b is 1400")
    a, b, router = lab.site("site-a"), lab.site("site-b"), lab.namespace("router")
    pair = Routed(lab, a, b, outer)
    for site, device, net4, net6 in ((a, "to-a", "192.0.2", "2001:db8:1"),
                                     (b, "to-b", "198.51.100", "2001:db8:2")):
        number = pair.number(site)
        lab.veth((site.namespace, "eth0", [f"{net4}.{number}/24", f"{net6}::{number}/64"]),
                 (router, device, [f"{net4}.254/24", f"{net6}::ffff/64"]))
        site.run("ip", "route", "add", "default", "via", f"{net4}.254")
        site.run("ip", "-6", "route", "add", "default", "via", f"{net6}::ffff")
    for name in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
        lab.run("sysctl", "-qw", name, namespace=router)
    # Not the device's MTU: that would lose what b sends without a word to it.
    lab.run("ip", "route", "add", "198.51.100.2", "dev", "to-b", "mtu", "lock", 1400,
            namespace=router)
    lab.run("ip", "-6", "route", "add", "2001:db8:2::2", "dev", "to-b", "mtu", "lock", 1400,
            namespace=router)
    return pair


def learned(lab, datapath, outer):
    """A router's "too big" is heeded."""
    pair = make_routed(lab, outer)
    pair.configure(interface={"Datapath": datapath})
    pair.up()
    pair.expect_rung(DATAPATH_RUNGS[datapath])
    expect_all_through(pair)
    known = pair.a.run("ip", "route", "get", pair.carrier_address(pair.b)).stdout
    expect("mtu 1400" in known, f"site-a has not learned the path's MTU: {known}")
    pair.down()


def narrow_carrier(lab, datapath, outer):
    """IPv6 inside needs 1280 octets; a carrier of 1280 then takes fragments."""
    pair = make_pair(lab, outer, mtu=1280)
    pair.configure(interface={"Datapath": datapath})
    pair.up()
    pair.expect_rung(DATAPATH_RUNGS[datapath])
    expect(link_mtu(pair.a) == 1280, f"the MTU is {link_mtu(pair.a)}")
    pair.ping_all(sizes=(1232, 4000))
    expect_all_through(pair)
    pair.down()


CASES = {
    f"{name}-v{outer}-{datapath}": functools.partial(case, outer=outer, datapath=datapath)
    for name, case in (("narrow-route", narrow_route), ("learned", learned),
                       ("narrow-carrier", narrow_carrier))
    for outer in (4, 6) for datapath in ("xdp", "afxdp", "socket")
}
