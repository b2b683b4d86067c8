"""Routes, reject routes and rules of tunnels, and what others do to them."""

import json
import os
import signal
import time

import lab as labs
from sites import TUNNEL, expect, make_pair


def routes(site, *words, family="-4"):
    """{destination: [route]} of `ip -j route show`, in the order of the kernel."""
    listed = json.loads(site.run("ip", "-j", family, "route", "show", *words, check=None,
                                 echo=False).stdout or "[]")
    found = {}
    for route in listed:
        found.setdefault(route["dst"], []).append(route)
    return found


def rules(site, family="-4"):
    listed = json.loads(site.run("ip", "-j", family, "rule", echo=False).stdout)
    return [rule for rule in listed if str(rule.get("protocol")) == str(labs.ROUTE_PROTOCOL)]


def rejects(site, family="-4"):
    """{(destination, table)} of reject routes of protocol 205."""
    text = site.run("ip", family, "route", "show", "table", "all", "proto", labs.ROUTE_PROTOCOL,
                    echo=False).stdout
    found = set()
    for line in text.splitlines():
        words = line.split()
        if words[0] == "unreachable":
            table = words[words.index("table") + 1] if "table" in words else "main"
            found.add((words[1], table))
    return found


def daemon_log(site):
    path = site.directory / "run" / "ciped.log"
    return path.read_text() if path.exists() else ""


def expect_nothing_of_ours(site):
    expect(not rules(site) and not rules(site, "-6"), f"rules are left: {rules(site)}")
    expect(not site.leftovers([TUNNEL]), f"left: {site.leftovers([TUNNEL])}")


def add_networks(pair):
    """A network behind each site, known to the other only through the tunnel."""
    for site in pair.both:
        number = pair.number(site)
        site.run("ip", "link", "add", "lan", "type", "veth", "peer", "name", "lan-host")
        for device in ("lan", "lan-host"):
            site.run("ip", "link", "set", device, "up")
        site.run("ip", "address", "add", f"10.0.{number}.1/24", "dev", "lan")
        site.run("ip", "address", "add", f"fd00:{number}::1/64", "dev", "lan", "nodad")


def behind(pair, site):
    number = pair.number(pair.other(site))
    return f"10.0.{number}.0/24, fd00:{number}::/64"


def configure(pair, interface=None, peer=None):
    """As pair.configure, with the other's network in AllowedIPs."""
    pair.configure(only_here={site.name: (
        interface or {}, {"AllowedIPs": f"{pair.inner(pair.other(site))}/32, "
                                        f"{pair.inner(pair.other(site), 6)}/128, "
                                        f"{behind(pair, site)}", **(peer or {})})
        for site in pair.both})


def table_and_metric(lab):
    """Where the routes are and how they look; `down` takes all of them away."""
    pair = make_pair(lab)
    add_networks(pair)
    configure(pair, {"Metric": 77})
    pair.up()
    route = routes(pair.a)["10.0.2.0/24"][0]
    expect(route["dev"] == TUNNEL and route["metric"] == 77 and
           str(route["protocol"]) == str(labs.ROUTE_PROTOCOL), f"the route is {route}")
    expect(routes(pair.a)["10.9.0.2"][0]["dev"] == TUNNEL, "no host route to the peer's address")
    expect(routes(pair.a, family="-6")["fd00:2::/64"][0]["metric"] == 77, "IPv6 metric")
    labs.ping(pair.a, "10.0.2.1")
    labs.ping(pair.a, "fd00:2::1")
    pair.down()
    configure(pair, {"Table": 7777})
    pair.up()
    expect("10.0.2.0/24" not in routes(pair.a), "a route in the main table")
    expect("10.0.2.0/24" in routes(pair.a, "table", 7777), "no route in table 7777")
    expect(not rules(pair.a), "rules with Table = N are the administrator's")
    pair.a.run("ip", "rule", "add", "to", "10.0.2.0/24", "lookup", 7777)
    pair.b.run("ip", "rule", "add", "to", "10.0.1.0/24", "lookup", 7777)
    for site in pair.both:
        site.run("ip", "rule", "add", "to", "10.9.0.0/24", "lookup", 7777)
    labs.ping(pair.a, "10.0.2.1")
    pair.down()


def default_route(lab, families=(4, 6)):
    """Everything goes through the tunnel but its own packets, which leave as before."""
    pair = make_pair(lab)
    add_networks(pair)
    everything = {"AllowedIPs": "0.0.0.0/0, ::/0"}
    pair.configure(only_here={"site-a": ({}, everything)})
    pair.a.run("ip", "route", "add", "default", "via", "192.0.2.2")
    pair.a.run("ip", "-6", "route", "add", "default", "via", "2001:db8:1::2")
    pair.b.run("ip", "address", "add", "198.51.100.1/32", "dev", "lo")
    pair.b.run("ip", "address", "add", "2001:db8:9::1/128", "dev", "lo", "nodad")
    before = (routes(pair.a), routes(pair.a, family="-6"))
    pair.up()
    for family, address in (("-4", "198.51.100.1"), ("-6", "2001:db8:9::1")):
        ours = rules(pair.a, family)
        expect(len(ours) == 2, f"expected two rules, got {ours}")
        expect(ours[0].get("suppress_prefixlen") == 0 and ours[0]["table"] == "main",
               f"first rule: {ours[0]}")
        expect("not" in ours[1] and ours[1].get("fwmark"), f"second rule: {ours[1]}")
        expect(routes(pair.a, "table", ours[1]["table"], family=family)["default"][0]["dev"] ==
               TUNNEL, "no default route in the table")
        got = json.loads(pair.a.run("ip", "-j", family, "route", "get", address).stdout)[0]
        expect(got["dev"] == TUNNEL, f"{address} is reached by {got}")
        expect(got["prefsrc"] == pair.inner(pair.a, 4 if family == "-4" else 6),
               f"the source is {got['prefsrc']}")
        marked = json.loads(pair.a.run("ip", "-j", family, "route", "get", address, "mark",
                                       ours[1]["fwmark"]).stdout)[0]
        expect(marked["dev"] == "eth0", f"marked packets go by {marked}")
    expect((routes(pair.a)["default"], routes(pair.a, family="-6")["default"]) ==
           (before[0]["default"], before[1]["default"]), "the default routes of others changed")
    sent = pair.a.peer()["tx_packets"]
    labs.ping(pair.a, "198.51.100.1")
    labs.ping(pair.a, "2001:db8:9::1")
    expect(pair.a.peer()["tx_packets"] >= sent + 6, "the pings did not go through the tunnel")
    pair.ping_all()
    pair.transfer(pair.a, octets=2_000_000)
    # What main knows better than a default route stays there.
    got = json.loads(pair.a.run("ip", "-j", "route", "get", "10.0.1.77").stdout)[0]
    expect(got["dev"] == "lan", f"the local network is reached by {got}")
    pair.down()
    for site in pair.both:
        expect_nothing_of_ours(site)
    expect((routes(pair.a)["default"], routes(pair.a, family="-6")["default"]) ==
           (before[0]["default"], before[1]["default"]), "a default route changed")


def swallowed_endpoint(lab):
    """An endpoint inside AllowedIPs: reached outside the tunnel, the prefix through it."""
    pair = make_pair(lab)
    pair.b.run("ip", "address", "add", "192.0.2.22/24", "dev", "eth0")
    for allowed in ("10.9.0.2/32, 192.0.2.2/32", "10.9.0.2/32, 128.0.0.0/1, 0.0.0.0/1",
                    "10.9.0.2/32, 0.0.0.0/0, 192.0.2.2/32"):
        pair.configure(only_here={"site-a": ({}, {"AllowedIPs": allowed})})
        pair.up()
        labs.ping(pair.a, pair.inner(pair.b))
        got = json.loads(pair.a.run("ip", "-j", "route", "get", "192.0.2.2").stdout)[0]
        inside = "192.0.2.2/32" in allowed
        expect((got["dev"] == TUNNEL) == inside, f"{allowed}: 192.0.2.2 is reached by {got['dev']}")
        sent = pair.a.peer()["tx_packets"]
        labs.ping(pair.a, "192.0.2.2")
        expect((pair.a.peer()["tx_packets"] >= sent + 3) == inside, f"{allowed}: wrong way")
        pair.down()
        for site in pair.both:
            expect_nothing_of_ours(site)
    # A name that resolves into AllowedIPs: known only after the tunnel is up.
    pair.configure(interface={"Carrier": "auto"},
                   only_here={"site-a": ({}, {"AllowedIPs": "10.9.0.2/32, 192.0.2.2/32",
                                              "Endpoint": "localhost.site-b.test:6789"})})
    hosts = lab.directory / "hosts"
    hosts.write_text("192.0.2.2 localhost.site-b.test\n")
    lab.quiet("mkdir", "-p", f"/etc/netns/{pair.a.namespace}")
    try:
        lab.quiet("cp", hosts, f"/etc/netns/{pair.a.namespace}/hosts")
        pair.up()
        labs.ping(pair.a, "192.0.2.2")
        got = json.loads(pair.a.run("ip", "-j", "route", "get", "192.0.2.2").stdout)[0]
        expect(got["dev"] == TUNNEL, f"192.0.2.2 is reached by {got}")
        pair.down()
    finally:
        lab.quiet("rm", "-r", f"/etc/netns/{pair.a.namespace}")


def foreign_route(lab):
    """Somebody's route to the same network: refused, naming it; nothing half applied."""
    pair = make_pair(lab)
    configure(pair)
    for device, route in (("other", ["10.0.2.0/24", "dev", "other", "metric", "100"]),
                          (None, ["unreachable", "10.0.2.0/24"])):
        if device:
            pair.a.run("ip", "link", "add", device, "type", "veth", "peer", "name", "far")
            pair.a.run("ip", "link", "set", device, "up")
            pair.a.run("ip", "link", "set", "far", "up")
        pair.a.run("ip", "route", "add", *route)
        result = pair.a.up(TUNNEL, check={1})
        for word in ("10.0.2.0/24", device or "reject route", "AllowedIPs", "Table = off"):
            expect(word in result.stderr, f"no {word!r} in: {result.stderr}")
        expect_nothing_of_ours(pair.a)
        if device is None:
            pair.a.run("ip", "route", "delete", *route)
    # With a Metric of its own both may stand.
    configure(pair, {"Metric": 7})
    pair.up()
    expect([r["dev"] for r in routes(pair.a)["10.0.2.0/24"]] == [TUNNEL, "other"], "both routes")
    pair.down()
    expect([r["dev"] for r in routes(pair.a)["10.0.2.0/24"]] == ["other"], "theirs was touched")


def two_tunnels(lab):
    """One address on two tunnels; the second with a prefix of the first is refused."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    text = (pair.a.config / f"{TUNNEL}.conf").read_text()
    second = (text.replace("ListenPort = 6789", "ListenPort = 6790")
              .replace(pair.endpoint(pair.b), "192.0.2.99:6789"))
    pair.a.write("second.conf", second)
    result = pair.a.up("second", check={1})
    expect("tunnel tun" in result.stderr and "10.9.0.2/32" in result.stderr, result.stderr)
    expect(not pair.a.leftovers(["second"]) or all("second" not in line for line in
                                                    pair.a.leftovers(["second"])), "half applied")
    pair.a.write("second.conf", second.replace("10.9.0.2/32, fd09::2/128", "10.9.0.3/32"))
    pair.a.up("second", "--no-wait")
    expect(pair.inner(pair.a) in pair.a.run("ip", "address", "show", "second").stdout,
           "the address is not on the second tunnel")
    pair.ping_all()
    pair.a.down("second")
    pair.ping_all()
    # Two that take everything by default.
    pair.a.write("second.conf", second.replace("10.9.0.2/32, fd09::2/128", "0.0.0.0/0"))
    pair.a.up("second", "--no-wait")
    pair.a.write("third.conf", second.replace("10.9.0.2/32, fd09::2/128", "0.0.0.0/0")
                 .replace("6790", "6791"))
    result = pair.a.up("third", check={1})
    expect("tunnel second takes 0.0.0.0/0 already" in result.stderr, result.stderr)
    expect(len(rules(pair.a)) == 2, f"rules: {rules(pair.a)}")
    pair.a.write("third.conf", second.replace("10.9.0.2/32, fd09::2/128", "::/0")
                 .replace("6790", "6791").replace("Carrier", "FwMark = 9\nCarrier"))
    result = pair.a.up("third", check={1})
    expect("FwMark" in result.stderr and "second" in result.stderr, result.stderr)
    pair.a.down("second")
    expect(not rules(pair.a), f"rules are left: {rules(pair.a)}")
    pair.down()


def put_back(lab):
    """What somebody takes away comes back at once; with who does it again and again there is no
    fight."""
    pair = make_pair(lab)
    add_networks(pair)
    configure(pair, {"RejectWhenDown": "yes"})
    pair.up()

    def there():
        return (any(r.get("dev") == TUNNEL for r in routes(pair.a).get("10.0.2.0/24", [])) and
                ("10.0.2.0/24", "main") in rejects(pair.a) and
                pair.inner(pair.a) in pair.a.run("ip", "address", "show", TUNNEL,
                                                 echo=False).stdout)

    expect(there(), "not up as wanted")
    pair.a.run("ip", "route", "delete", "10.0.2.0/24", "dev", TUNNEL)
    labs.wait_for("the route to be put back", there, 3)
    pair.a.run("ip", "route", "delete", "unreachable", "10.0.2.0/24", "metric", "4294967295")
    labs.wait_for("the reject route to be put back", there, 3)
    pair.a.run("ip", "address", "delete", pair.inner(pair.a) + "/32", "dev", TUNNEL)
    labs.wait_for("the address to be put back", there, 3)
    pair.ping_all()
    # Switched off by somebody: his will. The reject routes stand in for the routes.
    pair.a.run("ip", "link", "set", TUNNEL, "down")
    time.sleep(0.5)
    expect("10.0.2.0/24" in routes(pair.a) and
           routes(pair.a)["10.0.2.0/24"][0].get("type") == "unreachable", "no reject route")
    pair.a.run("ip", "link", "set", TUNNEL, "up")
    labs.wait_for("routes after the interface", there, 3)
    pair.ping_all()
    for _ in range(8):
        pair.a.run("ip", "route", "delete", "10.0.2.0/24", "dev", TUNNEL, check=None)
        time.sleep(0.3)
    expect(not there(), "it fights for ever")
    expect("again and again" in daemon_log(pair.a), f"nothing in the log: {daemon_log(pair.a)}")
    for site in pair.both:
        site.down(TUNNEL)
        expect_nothing_of_ours(site)


def reject_when_down(lab):
    """From `up` to `down`, through crash, stop and restart: nothing leaves in the clear."""
    pair = make_pair(lab)
    add_networks(pair)
    configure(pair, {"RejectWhenDown": "yes"})
    pair.a.run("ip", "route", "add", "default", "via", "192.0.2.2")
    wanted = {("10.0.2.0/24", "main"), ("10.9.0.2", "main")}
    pair.up()
    labs.ping(pair.a, "10.0.2.1")
    # Another ciped's, or anybody's, with our protocol number.
    pair.a.run("ip", "route", "add", "unreachable", "203.0.113.0/24", "proto",
               labs.ROUTE_PROTOCOL, "metric", "4294967295")
    foreign = ("203.0.113.0/24", "main")

    def expect_rejects(when, more=()):
        expect(rejects(pair.a) == wanted | {foreign} | set(more),
               f"{when}: reject routes are {rejects(pair.a)}")
        expect(("fd00:2::/64", "main") in rejects(pair.a, "-6"), f"{when}: IPv6")

    def expect_unreachable(when):
        result = pair.a.run("ip", "route", "get", "10.0.2.1", check=None)
        expect(result.returncode != 0, f"{when}: 10.0.2.1 is reached by {result.stdout}")

    expect_rejects("up")
    pair.a.run("ip", "link", "set", "eth0", "down")
    expect_rejects("carrier down")
    pair.a.run("ip", "link", "set", "eth0", "up")
    pair.a.run("ip", "route", "replace", "default", "via", "192.0.2.2")
    broker, engine = pair.a.daemons()
    os.kill(engine, signal.SIGKILL)
    labs.wait_for("another engine", lambda: pair.a.daemons()[1] not in (None, engine))
    expect_rejects("engine killed")
    os.kill(broker, signal.SIGKILL)
    labs.wait_for("both processes to be gone", lambda: pair.a.daemons() == (None, None), 5)
    labs.wait_for("the netdev to be gone", lambda: not any(
        "netdev" in line for line in pair.a.leftovers([TUNNEL])))
    expect_rejects("broker killed")
    expect_unreachable("broker killed")
    pair.a.up(TUNNEL)
    labs.ping(pair.a, "10.0.2.1")
    expect_rejects("up again")
    pair.a.stop_daemon()
    expect_rejects("stopped")
    expect_unreachable("stopped")
    pair.a.up(TUNNEL)
    labs.ping(pair.a, "10.0.2.1")
    pair.a.down(TUNNEL)
    expect(rejects(pair.a) == {foreign}, f"after down: {rejects(pair.a)}")
    expect(not rejects(pair.a, "-6"), f"after down: {rejects(pair.a, '-6')}")
    expect(not (pair.a.directory / "state/routes").read_text().startswith("reject"),
           "the state directory still names them")
    # A prefix that the configuration has lost goes with the next start, a lost tunnel too.
    pair.b.down(TUNNEL)
    configure(pair, {"RejectWhenDown": "yes"})
    pair.a.up(TUNNEL, "--no-wait")
    pair.a.stop_daemon()
    pair.configure(interface={"RejectWhenDown": "yes"})
    pair.a.up(TUNNEL, "--no-wait")
    expect(rejects(pair.a) == {("10.9.0.2", "main"), foreign}, f"left: {rejects(pair.a)}")
    pair.a.crash_daemon()
    (pair.a.directory / "state/wanted").unlink()
    pair.a.write("other.conf", (pair.a.config / f"{TUNNEL}.conf").read_text()
                 .replace("RejectWhenDown = yes", ""))
    pair.a.up("other", "--no-wait")
    expect(rejects(pair.a) == {foreign}, f"left by a tunnel nobody wants: {rejects(pair.a)}")
    pair.a.down("other")


def reject_default(lab):
    """The default route through the tunnel, or none."""
    pair = make_pair(lab)
    pair.configure(only_here={"site-a": ({"RejectWhenDown": "yes"},
                                         {"AllowedIPs": "0.0.0.0/0, ::/0"})})
    pair.a.run("ip", "route", "add", "default", "via", "192.0.2.2")
    pair.b.run("ip", "address", "add", "198.51.100.1/32", "dev", "lo")
    pair.up()
    labs.ping(pair.a, "198.51.100.1")
    before = rules(pair.a)

    def expect_closed(when):
        result = pair.a.run("ip", "route", "get", "198.51.100.1", check=None)
        expect(result.returncode != 0, f"{when}: reached by {result.stdout}")
        expect(rules(pair.a) == before, f"{when}: rules {rules(pair.a)}")

    pair.a.crash_daemon()
    labs.wait_for("the netdev to be gone", lambda: not any(
        "netdev" in line for line in pair.a.leftovers([TUNNEL])))
    expect_closed("broker killed")
    pair.a.up(TUNNEL)
    labs.ping(pair.a, "198.51.100.1")
    expect(rules(pair.a) == before, f"another table: {rules(pair.a)}")
    pair.a.stop_daemon()
    expect_closed("stopped")
    pair.a.up(TUNNEL)
    labs.ping(pair.a, "198.51.100.1")
    pair.a.run("ip", "rule", "delete", "priority", before[1]["priority"])
    labs.wait_for("the rule to be put back", lambda: rules(pair.a) == before, 3)
    pair.down()
    expect_nothing_of_ours(pair.a)
    pair.a.write(f"{TUNNEL}.conf", (pair.a.config / f"{TUNNEL}.conf").read_text()
                 .replace("RejectWhenDown", "Table = off\nRejectWhenDown"))
    result = pair.a.up(TUNNEL, check={1})
    expect("RejectWhenDown" in result.stderr and "Table" in result.stderr, result.stderr)


def crash_leaves_nothing(lab):
    """Rules of a default route that a crash left go with the next start, wanted or not."""
    pair = make_pair(lab)
    pair.configure(only_here={"site-a": ({}, {"AllowedIPs": "0.0.0.0/0, ::/0"})})
    pair.up()
    pair.a.crash_daemon()
    expect(len(rules(pair.a)) == 2, f"rules left by the crash: {rules(pair.a)}")
    pair.a.write("other.conf", (pair.a.config / f"{TUNNEL}.conf").read_text()
                 .replace("0.0.0.0/0, ::/0", "10.9.0.2/32").replace("6789", "6799", 1))
    pair.a.run("ip", "rule", "add", "priority", "20800", "from", "all", "lookup", "main", "proto",
               labs.ROUTE_PROTOCOL)
    (pair.a.directory / "state/wanted").unlink()
    pair.a.up("other", "--no-wait")
    left = rules(pair.a)
    expect([rule["priority"] for rule in left] == [20800], f"rules: {left}")
    pair.a.down("other")
    pair.a.run("ip", "rule", "delete", "priority", "20800")
    pair.a.up(TUNNEL)
    pair.ping_all()
    pair.down()
    expect_nothing_of_ours(pair.a)


CASES = {
    "table-and-metric": table_and_metric, "default-route": default_route,
    "swallowed-endpoint": swallowed_endpoint, "foreign-route": foreign_route,
    "two-tunnels": two_tunnels, "put-back": put_back, "reject-when-down": reject_when_down,
    "reject-default": reject_default, "crash-leaves-nothing": crash_leaves_nothing,
}
