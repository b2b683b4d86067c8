"""Paths that carry less than the interface they start at: all that TCP sends arrives, at speed."""

import functools
import json

import lab as labs
import measure
from narrow_path import make_routed
from sites import DATAPATH_RUNGS, TUNNEL, drops, expect, make_pair

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
        speed = measure.iperf_tcp(client, server, pair.inner(server, families[-1]), 2)
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
