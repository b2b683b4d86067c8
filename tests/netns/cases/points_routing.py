"""Points of docs/testing.md, "The sixteen points", that are about routing."""

import json
import os
import re
import signal
import time

import lab as labs
import measure
from side_by_side import Alone
from sites import TUNNEL, drops, expect, make_pair


def sent_octets(site, device="eth0"):
    links = json.loads(site.run("ip", "-j", "-s", "link", "show", device, echo=False).stdout)
    return links[0]["stats64"]["tx"]["bytes"]


def engine_alive(pair):
    for site in pair.both:
        broker, engine = site.daemons()
        expect(broker and engine, f"{site.name}: ciped is gone")


def second_tunnel(pair, name, port, endpoints, interface=None, allowed=None):
    """Another tunnel between the same sites: 10.8.0.1 and 10.8.0.2."""
    keys = {site.name: labs.key_pair(site, name)[1] for site in pair.both}
    for site in pair.both:
        peer, number = pair.other(site), pair.number(site)
        site.write(f"{name}.conf", labs.tunnel_config(
            {"Address": f"10.8.0.{number}/32", "ListenPort": port,
             "PrivateKeyFile": site.config / f"{name}.key", **(interface or {})},
            {"Name": peer.name, "PublicKey": keys[peer.name], "Endpoint": endpoints[site.name],
             "AllowedIPs": (allowed or {}).get(site.name, f"10.8.0.{3 - number}/32")}))


def tunnel_in_tunnel(lab):
    """A second tunnel whose endpoints are inside the first, whole packets through both."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    second_tunnel(pair, "inner", 6790, {"site-a": "10.9.0.2:6790", "site-b": "10.9.0.1:6790"})
    pair.a.up("inner", "--no-wait")
    pair.b.up("inner")
    for size in (56, 1000, 1372 - 80, 3000):
        labs.ping(pair.a, "10.8.0.2", size=size)
        labs.ping(pair.b, "10.8.0.1", size=size)
    speed = measure.iperf_tcp(pair.a, pair.b, "10.8.0.2", seconds=2)
    expect(speed > 1, f"{speed} Mbit/s")
    through = pair.a.peers()
    expect(all(peer["tx_bytes"] > 100_000 for peer in through), "not through both tunnels")
    for site in pair.both:
        site.down("inner")
    pair.down()


def loop_in_itself(lab):
    """Routes that lead a tunnel's own packets into it, by somebody's hand: dropped, counted."""
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": "socket"},
                   peer={"AllowedIPs": "10.9.0.0/24, 192.0.2.0/24"}, only_here={
        site: ({"Table": "off"}, {}) for site in ("site-a", "site-b")})
    pair.up()
    for site in pair.both:
        site.run("ip", "route", "add", pair.inner(pair.other(site)), "dev", TUNNEL)
    labs.ping(pair.a, pair.inner(pair.b))
    before = sent_octets(pair.a, TUNNEL)
    pair.a.run("ip", "route", "add", "192.0.2.2", "dev", TUNNEL)
    pair.a.run("ping", "-f", "-c", "200", "-W", "1", "-s", "1300", pair.inner(pair.b), check=None)
    time.sleep(1)
    grown = sent_octets(pair.a, TUNNEL) - before
    expect(grown < 3_000_000, f"{grown} octets went into the tunnel")
    expect("tx_own_frame" in drops(pair.a), f"drops: {drops(pair.a)}")
    engine_alive(pair)
    pair.a.run("ip", "route", "delete", "192.0.2.2", "dev", TUNNEL)
    labs.wait_for("traffic again", lambda: labs.ping(pair.a, pair.inner(pair.b), count=1,
                                                     check=False))
    pair.down()


def loop_between_namespaces(lab):
    """A router that sends the encrypted packets back by the tunnel: nothing is amplified."""
    pair = make_pair(lab)
    router = lab.site("router")
    lab.veth((pair.a.namespace, "r0", ["203.0.113.1/24"]),
             (router.namespace, "r0", ["203.0.113.2/24"]))
    router.run("sysctl", "-w", "net.ipv4.ip_forward=1")
    pair.a.run("sysctl", "-w", "net.ipv4.ip_forward=1")
    router.run("ip", "route", "add", "default", "via", "203.0.113.1")
    pair.configure(interface={"Datapath": "socket"},
                   only_here={"site-a": ({"Table": "off"}, {"AllowedIPs": "0.0.0.0/0"})})
    pair.up()
    pair.a.run("ip", "route", "add", pair.inner(pair.b), "dev", TUNNEL)
    labs.ping(pair.a, pair.inner(pair.b))
    # To the peer by the router, which gives it back; what comes back goes into the tunnel.
    pair.a.run("ip", "route", "add", "192.0.2.2", "via", "203.0.113.2")
    pair.a.run("ip", "rule", "add", "iif", "r0", "lookup", "900", "priority", "100")
    pair.a.run("ip", "route", "add", "default", "dev", TUNNEL, "table", "900")
    for device in ("all", "r0"):
        pair.a.run("sysctl", "-w", f"net.ipv4.conf.{device}.rp_filter=0")
        pair.a.run("sysctl", "-w", f"net.ipv4.conf.{device}.accept_local=1")
    before = sent_octets(pair.a, "r0")
    pair.a.run("ping", "-f", "-c", "100", "-W", "1", "-s", "1300", pair.inner(pair.b), check=None)
    time.sleep(1)
    first = sent_octets(pair.a, "r0")
    time.sleep(2)
    last = sent_octets(pair.a, "r0")
    expect(first - before < 5_000_000, f"{first - before} octets for 100 pings")
    expect(last - first < 200_000, f"{last - first} octets still go round after it")
    engine_alive(pair)
    pair.down()


def onion_loop(lab):
    """Two tunnels, each led into the other: nothing crashes, and it ends with the routes."""
    pair = make_pair(lab)
    pair.configure(interface={"Table": "off"}, peer={"AllowedIPs": "0.0.0.0/0"})
    pair.up()
    second_tunnel(pair, "second", 6790, {"site-a": "192.0.2.2:6790", "site-b": "192.0.2.1:6790"},
                  {"Table": "off"}, {"site-a": "0.0.0.0/0", "site-b": "0.0.0.0/0"})
    pair.b.up("second", "--no-wait")
    pair.a.up("second")
    for site in pair.both:
        site.run("ip", "route", "add", pair.inner(pair.other(site)), "dev", TUNNEL)
    labs.ping(pair.a, pair.inner(pair.b))
    for number, device in ((100, TUNNEL), (101, "second")):
        pair.a.run("ip", "route", "add", "default", "dev", device, "table", number)
    pair.a.run("ip", "rule", "add", "to", "192.0.2.2", "ipproto", "udp", "sport", "6789",
               "lookup", "101", "priority", "101")
    pair.a.run("ip", "rule", "add", "to", "192.0.2.2", "ipproto", "udp", "sport", "6790",
               "lookup", "100", "priority", "100")
    pair.a.run("ping", "-f", "-c", "50", "-W", "1", "-s", "1300", pair.inner(pair.b), check=None)
    time.sleep(1)
    engine_alive(pair)
    for priority in ("100", "101"):
        pair.a.run("ip", "rule", "delete", "priority", priority)
    labs.wait_for("traffic again",
                  lambda: labs.ping(pair.a, pair.inner(pair.b), count=1, check=False), 20)
    before = sent_octets(pair.a)
    time.sleep(1)
    expect(sent_octets(pair.a) - before < 100_000, "packets still go round")
    for site in pair.both:
        site.down("second")
    pair.down()


def fwmark_reroute(lab):
    """The mark chooses another way to the peer, and a change of the rule is followed."""
    pair = make_pair(lab)
    lab.veth((pair.a.namespace, "eth1", ["198.51.100.1/24"]),
             (pair.b.namespace, "eth1", ["198.51.100.2/24"]))
    for site in pair.both:
        for device in ("all", "eth0", "eth1"):
            site.run("sysctl", "-w", f"net.ipv4.conf.{device}.rp_filter=0")
    pair.configure(interface={"Carrier": "auto", "FwMark": "0x77"})
    pair.up()
    labs.ping(pair.a, pair.inner(pair.b))
    pair.a.run("ip", "route", "add", "192.0.2.2", "via", "198.51.100.2", "dev", "eth1", "table",
               "300")
    pair.a.run("ip", "rule", "add", "fwmark", "0x77", "lookup", "300", "priority", "50")
    # A rule alone is no event for the address; a route makes it one.
    pair.a.run("ip", "route", "add", "203.0.113.0/24", "dev", "eth1")
    time.sleep(0.5)
    before = sent_octets(pair.a, "eth1")
    labs.ping(pair.a, pair.inner(pair.b), count=5)
    expect(sent_octets(pair.a, "eth1") > before + 5 * 100, "the mark did not reroute")
    got = json.loads(pair.a.run("ip", "-j", "route", "get", "192.0.2.2").stdout)[0]
    expect(got["dev"] == "eth0", "what has no mark was rerouted too")
    pair.down()


def policy_routing_flood(lab):
    """A default route with its mark and rules under a flood, and answers from the right source."""
    pair = make_pair(lab)
    pair.configure(only_here={"site-a": ({}, {"AllowedIPs": "0.0.0.0/0, ::/0"})})
    pair.a.run("ip", "route", "add", "default", "via", "192.0.2.2")
    pair.b.run("ip", "address", "add", "198.51.100.1/32", "dev", "lo")
    pair.b.run("ip", "address", "add", "198.51.100.9/32", "dev", "lo")
    pair.up()
    flood = pair.a.run("ping", "-f", "-c", "2000", "-W", "2", "198.51.100.1", check=None,
                       timeout=60).stdout
    lost = re.search(r"(\d+) received", flood)
    expect(lost and int(lost.group(1)) >= 1990, f"flood: {flood[-200:]}")
    expect("tx_own_frame" not in drops(pair.a), "a packet of its own came back")
    # Who asks the carrier's address from afar is answered from there, with the rule of the text.
    labs.ping(pair.b, "192.0.2.1")
    pair.a.run("ip", "rule", "add", "from", "192.0.2.1", "lookup", "main", "priority", "100")
    result = pair.b.run("ping", "-n", "-c", "2", "-W", "2", "-I", "198.51.100.9", "192.0.2.1")
    expect("2 received" in result.stdout, result.stdout)
    pair.ping_all()
    pair.down()


def sticky_source(lab, outer):
    """The address a peer was heard at is answered from; it goes, or a better way comes: the session
    goes on from another one at once."""
    pair = make_pair(lab, outer)
    v6 = outer == 6
    family, bits = ("-6", 128) if v6 else ("-4", 32)
    extra = "2001:db8:1::11" if v6 else "192.0.2.11"
    plain = "2001:db8:1::1" if v6 else "192.0.2.1"
    peer = pair.carrier_address(pair.b)
    nodad = ["nodad"] if v6 else []
    length = 64 if v6 else 24
    pair.a.run("ip", family, "address", "add", f"{extra}/{length}", "dev", "eth0", *nodad)
    wrap = (lambda a: f"[{a}]:6789") if v6 else (lambda a: f"{a}:6789")
    # site-b calls the second address; site-a only answers.
    pair.configure(interface={"Carrier": "auto"}, only_here={
        "site-a": ({}, {"Endpoint": None}), "site-b": ({}, {"Endpoint": wrap(extra)})})
    pair.up()
    labs.ping(pair.a, pair.inner(pair.b))

    def seen():
        return pair.b.peer()["endpoint"]

    expect(seen() == wrap(extra), f"answered from {seen()}, called at {extra}")
    handshakes = [site.peer()["latest_handshake"] for site in pair.both]
    # The address is taken away.
    pair.a.run("ip", family, "address", "delete", f"{extra}/{length}", "dev", "eth0")
    started = time.monotonic()
    labs.wait_for("site-b to hear from another address", lambda: seen() != wrap(extra), 3)
    labs.ping(pair.b, pair.inner(pair.a), count=1)
    expect(time.monotonic() - started < 4, "it waited for a timeout")
    # A better way appears, by an interface of its own.
    addresses = ("2001:db8:2::1", "2001:db8:2::2") if v6 else ("198.51.100.1", "198.51.100.2")
    lab.veth((pair.a.namespace, "eth1", [f"{addresses[0]}/{length}"]),
             (pair.b.namespace, "eth1", [f"{addresses[1]}/{length}"]))
    labs.ping(pair.b, pair.inner(pair.a), count=1)
    pair.a.run("ip", family, "route", "add", f"{peer}/{bits}", "via", addresses[1], "dev", "eth1")
    labs.wait_for("site-b to hear from the better way", lambda: seen() == wrap(addresses[0]), 3)
    pair.b.run("ip", family, "route", "add", f"{plain}/{bits}", "dev", "eth0", check=None)
    labs.ping(pair.b, pair.inner(pair.a))
    labs.ping(pair.a, pair.inner(pair.b))
    # And goes again, with its interface.
    pair.a.run("ip", "link", "delete", "eth1")
    labs.wait_for("site-b to hear from the old way", lambda: seen() == wrap(plain), 3)
    labs.ping(pair.b, pair.inner(pair.a))
    expect([site.peer()["latest_handshake"] for site in pair.both] == handshakes,
           "a new session was needed")
    pair.down()


def namespace_deleted(lab):
    """With a namespace goes all that was made in it; the other end goes on."""
    pair = make_pair(lab)
    pair.configure(only_here={"site-a": ({"RejectWhenDown": "yes"},
                                         {"AllowedIPs": "0.0.0.0/0, ::/0"})})
    pair.up()
    programs = len(lab.new_programs())
    expect(programs, "no program of ours to begin with")
    pids = [pid for pid in pair.a.daemons() if pid]
    lab.run("ip", "netns", "delete", pair.a.namespace)
    # Its processes keep the namespace; with them it goes.
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    labs.wait_for("the namespace to take its end of the wire along", lambda: "eth0" not in
                  pair.b.run("ip", "link", echo=False).stdout)
    labs.wait_for("its programs to go", lambda: not lab.new_programs())
    text = lab.quiet("dmesg", check=False)
    expect("waiting for" not in "\n".join(text.splitlines()[-50:]),
           "the kernel waits for a reference")
    expect(pair.b.cipectl("show").returncode == 0, "site-b does not go on")
    pair.a = None
    pair.b.down(TUNNEL)
    expect(not pair.b.leftovers([TUNNEL]), f"left: {pair.b.leftovers([TUNNEL])}")


CASES = {
    "point08.tunnel-in-tunnel": tunnel_in_tunnel,
    "point08.loop-in-itself": loop_in_itself,
    "point08.loop-between-namespaces": loop_between_namespaces,
    "point10.fwmark-reroute": fwmark_reroute,
    "point10.onion-loop": onion_loop,
    "point11.policy-routing-flood": Alone("a flood, whose losses are counted",
                                          policy_routing_flood),
    "point13.sticky-source-v4": lambda lab: sticky_source(lab, 4),
    "point13.sticky-source-v6": lambda lab: sticky_source(lab, 6),
    "point16.namespace-deleted": namespace_deleted,
}
