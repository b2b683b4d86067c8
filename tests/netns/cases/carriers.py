"""Carriers that vanish, come back, are down or were the wrong ones; endpoints that cannot be; an
engine that hangs."""

import functools
import json
import os
import signal
import time

import lab as labs
from sites import TUNNEL, drops, expect, make_pair

NAME = "peer.cipe.test"


def tunnel(site):
    return json.loads(site.cipectl("-j", "show", "tunnels", echo=False).stdout)["tunnels"][0]


def has_program(lab, site, device):
    links = json.loads(lab.quiet("ip", "-n", site.namespace, "-j", "link", "show", device))
    return links[0].get("xdp", {}).get("prog", {}).get("name", "").startswith("cipe_")


def link_mtu(site, device=TUNNEL):
    return json.loads(site.run("ip", "-j", "link", "show", device, echo=False).stdout)[0]["mtu"]


def wire(lab, pair):
    lab.veth(*((site.namespace, "eth0", [f"192.0.2.{number}/24", f"2001:db8:1::{number}/64"])
               for number, site in enumerate(pair.both, 1)))


def expect_gone(pair, degraded):
    """`show` at both ends says rung 3 and which carrier is missing."""
    for site in pair.both:
        labs.wait_for(f"{site.name} to be on rung 3", lambda s=site: tunnel(s)["rung"] == 3)
        seen = tunnel(site)
        expect("eth0" in (seen["rung_reason"] or ""), f"{site.name}: reason {seen['rung_reason']!r}")
        expect(seen["carriers"] == [], f"{site.name} still shows {seen['carriers']}")
        state = "degraded" if degraded else "up"
        expect(seen["state"] == state, f"{site.name} is {seen['state']}, expected {state}")


def expect_back(lab, pair):
    for site in pair.both:
        labs.wait_for(f"{site.name} to be on rung 2 again", lambda s=site: tunnel(s)["rung"] == 2)
        seen = tunnel(site)
        expect([c["name"] for c in seen["carriers"]] == ["eth0"], f"carriers: {seen['carriers']}")
        expect(seen["state"] == "up", f"{site.name} is {seen['state']}: {seen['reason']}")
        expect(has_program(lab, site, "eth0"), f"{site.name}: no program of ours on eth0")
    labs.wait_for("ping to go through again",
                  lambda: labs.ping(pair.a, pair.inner(pair.b), count=1, check=False), 30)
    pair.ping_all()
    pair.transfer(pair.a, octets=2_000_000)


def vanish(lab, datapath):
    """The interface is deleted and made again: another index, the same name."""
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": datapath,
                              "Carrier": "auto" if datapath == "auto" else "eth0"})
    pair.up()
    pair.expect_rung({2})
    lab.run("ip", "-n", pair.a.namespace, "link", "delete", "eth0")
    expect_gone(pair, degraded=datapath != "auto")
    wire(lab, pair)
    expect_back(lab, pair)
    pair.down()


def elsewhere_and_back(lab):
    """The interface leaves for another namespace and comes back, maybe under the same index."""
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": "afxdp"})
    pair.up()
    other = lab.namespace("other")
    lab.run("ip", "-n", pair.a.namespace, "link", "set", "eth0", "netns", other)
    labs.wait_for("site-a to be on rung 3", lambda: tunnel(pair.a)["rung"] == 3)
    lab.run("ip", "-n", other, "link", "set", "eth0", "netns", pair.a.namespace)
    lab.run("ip", "-n", pair.a.namespace, "address", "add", "192.0.2.1/24", "dev", "eth0")
    lab.run("ip", "-n", pair.a.namespace, "link", "set", "eth0", "up")
    expect_back(lab, pair)
    pair.down()


def renamed(lab):
    """`show` follows the name of the interface; its program, sockets and sessions stay."""
    pair = make_pair(lab)
    pair.configure(interface={"Carrier": "auto"})
    pair.up()
    pair.expect_rung({2})
    handshake = pair.a.peer()["latest_handshake"]
    for word in (("down",), ("name", "wan0"), ("up",)):
        lab.run("ip", "-n", pair.a.namespace, "link", "set", "dev",
                "wan0" if word == ("up",) else "eth0", *word)
    # Switching it off took IPv6's address and nothing that the tunnel needs.
    labs.wait_for("`show` to say wan0",
                  lambda: [c["name"] for c in tunnel(pair.a)["carriers"]] == ["wan0"])
    labs.wait_for("site-a to be on rung 2", lambda: tunnel(pair.a)["rung"] == 2)
    expect(has_program(lab, pair.a, "wan0"), "no program of ours on wan0")
    labs.wait_for("ping to go through again",
                  lambda: labs.ping(pair.a, pair.inner(pair.b), count=1, check=False), 30)
    pair.ping_all()
    expect(pair.a.peer()["latest_handshake"] == handshake, "the session was lost")
    pair.down()


def named_endpoint(lab):
    """While the name is unknown the default route stands in; its answer says the real carrier."""
    pair = make_pair(lab)
    elsewhere = lab.namespace("elsewhere")
    lab.veth((pair.a.namespace, "eth1", ["198.51.100.1/24"]),
             (elsewhere, "eth0", ["198.51.100.2/24"]), mtu=1400)
    lab.run("ip", "-n", pair.a.namespace, "route", "add", "default", "via", "198.51.100.2")
    pair.configure(interface={"Carrier": "auto"},
                   only_here={"site-a": ({}, {"Endpoint": f"{NAME}:6789"})})
    hosts, nothing = pair.a.directory / "hosts", pair.a.directory / "resolv.conf"
    hosts.write_text("127.0.0.1 localhost\n")
    nothing.write_text("")
    # `ip netns exec` gives the command mounts of its own, and the daemon keeps them.
    words = [str(w) for w in (labs.BIN / "cipectl", *pair.a.options(), "up", TUNNEL, "--no-wait")]
    pair.a.run("sh", "-c", f"mount --bind {hosts} /etc/hosts && mount --bind {nothing} "
               '/etc/resolv.conf && exec "$@"', "sh", *words)
    expect(has_program(lab, pair.a, "eth1"), "the default route's interface got no program")
    expect(link_mtu(pair.a) == 1320, f"MTU {link_mtu(pair.a)}, expected that of the default route")
    labs.wait_for("show to say that the name is unknown",
                  lambda: NAME in (pair.a.peer()["why"] or ""), 20)
    expect(pair.a.peer()["advice"], "no advice about the name")
    hosts.write_text(f"127.0.0.1 localhost\n192.0.2.1 {NAME}\n")
    labs.wait_for("the own address to be refused",
                  lambda: "itself" in (pair.a.peer()["why"] or ""), 25)
    hosts.write_text(f"127.0.0.1 localhost\n192.0.2.2 {NAME}\n")
    labs.wait_for("the carrier to be eth0",
                  lambda: [c["name"] for c in tunnel(pair.a)["carriers"]] == ["eth0"], 25)
    expect(has_program(lab, pair.a, "eth0"), "no program on eth0")
    expect(not has_program(lab, pair.a, "eth1"), "the program on eth1 was left there")
    expect(tunnel(pair.a)["rung"] == 2, f"rung {tunnel(pair.a)['rung']}")
    expect(link_mtu(pair.a) == 1420, f"MTU {link_mtu(pair.a)} after the move")
    expect(tunnel(pair.a)["mtu"] == 1420, f"show says MTU {tunnel(pair.a)['mtu']}")
    pair.b.up(TUNNEL)
    pair.wait_handshake()
    pair.ping_all()
    pair.down()


def route_moves(lab):
    """Carrier = auto follows the route to the endpoint."""
    pair = make_pair(lab)
    lab.veth(*((site.namespace, "eth1", [f"198.51.100.{number}/24"])
               for number, site in enumerate(pair.both, 1)))
    for site in pair.both:
        lab.run("ip", "-n", site.namespace, "address", "add", f"203.0.113.{pair.number(site)}/32",
                "dev", "lo")
    pair.configure(interface={"Carrier": "auto"}, only_here={
        site.name: ({}, {"Endpoint": f"203.0.113.{pair.number(pair.other(site))}:6789"})
        for site in pair.both})

    def route(net, device):
        for site in pair.both:
            own, other = pair.number(site), pair.number(pair.other(site))
            lab.run("ip", "-n", site.namespace, "route", "replace", f"203.0.113.{other}/32", "via",
                    f"{net}.{other}", "dev", device, "src", f"203.0.113.{own}")
    route("192.0.2", "eth0")
    pair.up()
    pair.expect_rung({2})
    expect([c["name"] for c in tunnel(pair.a)["carriers"]] == ["eth0"], "not on eth0")
    route("198.51.100", "eth1")
    for site in pair.both:
        labs.wait_for("the carrier to be eth1",
                      lambda s=site: [c["name"] for c in tunnel(s)["carriers"]] == ["eth1"])
    expect(has_program(lab, pair.a, "eth1") and not has_program(lab, pair.a, "eth0"),
           "programs are not where the carrier is")
    pair.ping_all()
    pair.down()


def carrier_down(lab):
    """What this host itself cannot do is told as that, and counted."""
    pair = make_pair(lab)
    pair.configure()
    lab.run("ip", "-n", pair.a.namespace, "link", "set", "eth0", "down")
    result = pair.a.up(TUNNEL, check={labs.EXIT_DEGRADED})
    text = result.stdout + result.stderr
    expect("unreachable" in text.lower() and "carrier eth0 is down" in text, f"up says: {text}")
    expect("no answer" not in text, f"up blames the peer: {text}")
    expect(drops(pair.a).get("tx_send_error", 0) > 0, f"not counted: {drops(pair.a)}")
    expect("carrier" in pair.a.peer()["advice"], f"advice: {pair.a.peer()['advice']}")
    lab.run("ip", "-n", pair.a.namespace, "link", "set", "eth0", "up")
    pair.b.up(TUNNEL)
    pair.wait_handshake()
    expect(pair.a.peer()["why"] is None, f"why: {pair.a.peer()['why']}")
    pair.down()


def no_route(lab):
    pair = make_pair(lab)
    pair.configure(only_here={"site-a": ({}, {"Endpoint": "203.0.113.9:6789"})})
    result = pair.a.up(TUNNEL, check={labs.EXIT_DEGRADED})
    text = result.stdout + result.stderr
    expect("203.0.113.9:6789" in text and "unreachable" in text.lower(), f"up says: {text}")
    expect("is down" not in text, f"up blames the carrier: {text}")
    pair.b.up(TUNNEL, "--no-wait")
    pair.down()


def datapath_not_had(lab):
    """What was asked for by name and could not be had is not plain success."""
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": "xdp"}, only_here={"site-a": ({"Carrier": "lo"}, {})})
    pair.b.up(TUNNEL, "--no-wait")
    for arguments in ((), ("--no-wait",)):  # the second one asks a tunnel that is up already
        result = pair.a.cipectl("-j", "up", TUNNEL, *arguments, timeout=60,
                                check={labs.EXIT_DEGRADED})
        expect("Datapath = xdp" in result.stdout and "lo" in result.stdout,
               f"up says: {result.stdout}")
    pair.wait_handshake()
    seen = tunnel(pair.a)
    expect(seen["state"] == "degraded" and "Datapath = xdp" in seen["reason"], f"show: {seen}")
    expect(tunnel(pair.b)["state"] == "up", f"site-b is {tunnel(pair.b)['state']}")
    pair.ping_all()
    pair.down()


def endpoint_refused(lab):
    """Endpoints that would lead into the tunnel itself, or to nobody."""
    pair = make_pair(lab)

    def fails(interface, peer, *words):
        pair.configure(only_here={"site-a": (interface, peer)})
        result = pair.a.up(TUNNEL, check={1})
        for word in words:
            expect(word in result.stderr, f"no {word!r} in: {result.stderr.strip()}")
        expect(not pair.a.leftovers([TUNNEL]), f"left: {pair.a.leftovers([TUNNEL])}")

    # The kernel's own route of an Address, which no rule of ours leads around.
    pair.a.run("ip", "address", "flush", "dev", "eth0")
    pair.a.run("ip", "route", "add", "default", "dev", "eth0")
    fails({"Address": "192.0.2.9/24"}, {}, "192.0.2.2:6789", "tunnel itself", "Address")
    pair.a.run("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
    pair.a.run("ip", "route", "delete", "default")
    swallowed = {"AllowedIPs": "10.9.0.2/32, 192.0.2.2/32"}
    fails({}, {"Endpoint": "192.0.2.1:6789"}, "this tunnel itself")
    for address in ("[::ffff:192.0.2.2]", "0.0.0.0", "255.255.255.255", "224.0.0.1", "[ff02::1]"):
        fails({}, {"Endpoint": f"{address}:6789"}, f"{TUNNEL}.conf:", "expected a host's address")
    # With routes of the administrator's own it is his business.
    pair.configure(only_here={"site-a": ({"Table": "off"}, swallowed)})
    pair.b.up(TUNNEL, "--no-wait")
    pair.a.up(TUNNEL)
    pair.wait_handshake()
    pair.down()


def hung_engine(lab):
    """Ended and replaced; the sessions go on, and `show` is answered again."""
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": "xdp"})
    pair.up()
    handshake = pair.a.peer()["latest_handshake"]
    broker, engine = pair.a.daemons()
    lab.echo(f"  kill -STOP {engine}  # engine of site-a")
    os.kill(engine, signal.SIGSTOP)
    started = time.monotonic()
    labs.wait_for("another engine", lambda: pair.a.daemons()[1] not in (None, engine), 30)
    expect(time.monotonic() - started > 5, "no patience with a slow engine")
    expect(pair.a.daemons()[0] == broker, "the broker is another one")
    # The next engine answers before it has been told of its tunnels.
    labs.wait_for("show to know the tunnel", lambda: [t for t in json.loads(pair.a.cipectl(
        "-j", "show", "tunnels", echo=False).stdout)["tunnels"] if t["state"] == "up"])
    expect(pair.a.peer()["latest_handshake"] == handshake, "the session was not taken over")
    pair.ping_all()
    # One that is merely busy for a while is left alone.
    _, engine = pair.a.daemons()
    os.kill(engine, signal.SIGSTOP)
    time.sleep(4)
    os.kill(engine, signal.SIGCONT)
    time.sleep(8)
    expect(pair.a.daemons() == (broker, engine), "an engine that answered late was ended")
    pair.down()


CASES = {
    **{f"vanish-{datapath}": functools.partial(vanish, datapath=datapath)
       for datapath in ("auto", "xdp", "afxdp")},
    "elsewhere-and-back": elsewhere_and_back,
    "renamed": renamed,
    "named-endpoint": named_endpoint,
    "route-moves": route_moves,
    "carrier-down": carrier_down,
    "no-route": no_route,
    "datapath-not-had": datapath_not_had,
    "endpoint-refused": endpoint_refused,
    "hung-engine": hung_engine,
}
