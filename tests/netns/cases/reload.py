"""cipectl reload: what changes, what must not be touched, and what is refused."""

import json
import re
import time

import lab as labs
from live_edit import addresses, conf, edit, peers, reload, routes, sessions, stranger
from side_by_side import Alone
from sites import PORT, TUNNEL, expect, make_pair

STREAM_SECONDS = 8
STREAM_RATE = 400  # so that the rings of a machine that is busy elsewhere hold seconds of it


class Stream:
    """Numbered UDP datagrams from one site to the other for a while."""

    number = 0

    def __init__(self, client, server, address, seconds=STREAM_SECONDS, rate=STREAM_RATE):
        Stream.number += 1
        run, port = str(7000 + Stream.number), str(5400 + Stream.number)
        self.sink = server.start(labs.BIN / "udp_load", "sink", "--bind", address, "--port", port,
                                 "--run", run, "--seconds", seconds + 8, echo=False)
        expect(self.sink.stdout.readline().strip() == "ready", f"no sink at {address}")
        self.sender = client.start(labs.BIN / "udp_load", "send", "--to", address, "--port", port,
                                   "--run", run, "--size", 200, "--rate", rate, "--seconds",
                                   seconds, echo=False)
        self.what = f"{client.name} -> {server.name}"

    def expect_complete(self):
        sent = json.loads(self.sender.communicate(timeout=60)[0].strip().splitlines()[-1])
        received = json.loads(self.sink.communicate(timeout=60)[0].strip().splitlines()[-1])
        expect(sent["sent"] > 1000, f"{self.what}: only {sent} sent")
        expect(received["received"] == sent["sent"] and not sent["refused"],
               f"{self.what}: sent {sent}, received {received}")


def under_traffic(lab):
    """Peers come, change and go beside one with traffic: not a packet of his is lost."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    for site in pair.both:
        # A sender that got no CPU for a while catches up in one burst: no loss of ours.
        site.run("ip", "link", "set", TUNNEL, "txqueuelen", 20000)
    base = conf(pair.a)
    before = sessions(pair.a)["site-b", "current"]
    streams = [Stream(pair.a, pair.b, pair.inner(pair.b)),
               Stream(pair.b, pair.a, pair.inner(pair.a))]
    one = stranger(pair.a, "one", "AllowedIPs = 10.70.1.0/24", f"Endpoint = 192.0.2.77:{PORT}")
    two = stranger(pair.a, "two", "AllowedIPs = 10.70.2.0/24, fd70:2::/64")
    texts = [
        base + one,
        base + one + two,
        base + two + one,  # another order
        base + one.replace("Name = one", "Name = uno") + two,
        base + one.replace("10.70.1.0/24", "10.70.1.0/24, 10.70.3.0/24") + two,
        # The prefix moves from one to two.
        base + one.replace("10.70.1.0/24", "10.71.0.0/16")
        + two.replace("10.70.2.0/24", "10.70.2.0/24, 10.70.1.0/24"),
        base.replace("[Peer]", "Rekey = 60\n[Peer]", 1) + one,
        base.replace("/32, fd09", "/32, 10.9.7.1/32, fd09", 1) + one,
        base.replace("AllowedIPs = ", "AllowedIPs = 10.72.0.0/16, ", 1),
        base.replace("Name = site-b", "Name = site-b\nPersistentKeepalive = 20", 1) + two,
        base.replace("ListenPort", "FwMark = 77\nListenPort", 1),
        base,
    ]
    for text in texts:
        pair.a.write(f"{TUNNEL}.conf", text)
        reload(pair.a, TUNNEL)
        time.sleep(0.3)
    for stream in streams:
        stream.expect_complete()
    after = sessions(pair.a)["site-b", "current"]
    expect(after["local_index"] == before["local_index"], "the session is another one")
    expect(after["tx_counter"] > before["tx_counter"], "the counter did not go on")
    expect(set(peers(pair.a)) == {"site-b"}, f"left are {set(peers(pair.a))}")
    expect(not any(r.startswith("10.7") for r in routes(pair.a)), f"routes {routes(pair.a)}")
    pair.ping_all()
    pair.down()


def plan(lab):
    """What is printed, with --dry-run, as JSON and by the run that makes it."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    expect(reload(pair.a).stdout == f"{TUNNEL}: nothing to change\n", "nothing was to change")
    edit(pair.a, ("[Peer]", "Rekey = 60\n[Peer]"),
         ("AllowedIPs = ", "AllowedIPs = 10.72.0.0/16, "))
    wanted = [f"{TUNNEL}: Rekey: 120 -> 60", f"{TUNNEL}: peer site-b: AllowedIPs + 10.72.0.0/16"]
    expect(reload(pair.a, "--dry-run").stdout.splitlines() == wanted, "the plan is another one")
    expect("10.72.0.0/16" not in routes(pair.a), "a dry run did something")
    shown = json.loads(pair.a.cipectl("-j", "reload", "--dry-run", TUNNEL).stdout)
    expect(shown == {"dry_run": True, "tunnels": [
        {"tunnel": TUNNEL, "changes": [line.split(": ", 1)[1] for line in wanted]}]},
        f"JSON says {shown}")
    result = pair.a.up(TUNNEL, check={1})
    expect(f"cipectl reload {TUNNEL}" in result.stderr, f"up says {result.stderr}")
    expect(reload(pair.a, TUNNEL).stdout.splitlines() == wanted, "the run says something else")
    expect("10.72.0.0/16" in routes(pair.a), f"routes {routes(pair.a)}")
    expect("10.72.0.0/16" in pair.a.peer()["allowed_ips"], "show knows nothing of it")
    pair.a.up(TUNNEL, check={0})
    reload(pair.a, "nobody", check={1})
    pair.ping_all()
    pair.down()
    expect(reload(pair.a, check={3}).returncode == 3, "reload without a daemon")


def faulty(lab):
    """Errors of any kind change nothing at all, in no tunnel."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    other = ("[Interface]\nAddress = 10.60.0.1/32\nCarrier = eth0\n"
             f"PrivateKeyFile = {pair.a.config / 'other.key'}\n")
    pair.a.write("other.key", pair.a.cipectl("genkey").stdout)
    pair.a.write("other.conf", other)
    pair.a.up("other", "--no-wait")
    good, session = conf(pair.a), sessions(pair.a)["site-b", "current"]["local_index"]
    pair.a.run("ip", "address", "add", "10.61.0.1/32", "dev", "lo")
    pair.a.run("ip", "route", "add", "10.62.0.0/16", "dev", "eth0")
    holder = pair.a.start("python3", "-c", "import socket, time\n"
                          "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                          "s.bind(('', 7777)); print('ready', flush=True); time.sleep(60)")
    expect(holder.stdout.readline().strip() == "ready", "nobody holds the port")
    pair.a.write("other.conf", other.replace("10.60.0.1/32", "10.60.0.1/32, 10.60.0.9/32"))

    def untouched():
        expect(addresses(pair.a) == own, f"addresses {addresses(pair.a)}, were {own}")
        expect(routes(pair.a) == paths, f"routes {routes(pair.a)}, were {paths}")
        expect("10.60.0.9" not in pair.a.run("ip", "address", "show", "other").stdout,
               "the other tunnel was changed")
        expect(sessions(pair.a)["site-b", "current"]["local_index"] == session,
               "the session was touched")

    own, paths = addresses(pair.a), routes(pair.a)
    for change, pattern in (
            (("[Peer]", "Nonsense = 1\n[Peer]"), rf"{TUNNEL}\.conf:\d+:\d+: "),
            (("/32, fd09", "/32, 10.61.0.1/32, fd09"), r"10\.61\.0\.1 is already on lo"),
            (("AllowedIPs = ", "AllowedIPs = 10.62.0.0/16, 10.63.0.0/16, "), r"10\.62\.0\.0/16"),
            ((f"ListenPort = {PORT}", "ListenPort = 7777"), "port 7777 is in use"),
            (("Carrier = eth0", "Carrier = eth7"), "eth7"),
            (("[Peer]", "Suite = chacha20poly1305\n[Peer]"), f"cipectl down {TUNNEL}")):
        pair.a.write(f"{TUNNEL}.conf", good)
        edit(pair.a, change, ("[Interface]\n", "[Interface]\nAddress = 10.9.8.1/32\n"))
        for arguments in (("--dry-run",), (), (TUNNEL,)):
            result = reload(pair.a, *arguments, check={1})
            expect(re.search(pattern, result.stderr), f"no {pattern!r} in {result.stderr}")
            untouched()
    pair.a.write(f"{TUNNEL}.conf", good)
    reload(pair.a)
    expect("10.60.0.9" in pair.a.run("ip", "address", "show", "other").stdout, "not changed")
    pair.ping_all()
    pair.a.down("other")
    pair.down()


def drift(lab):
    """What somebody else took away comes back, routes by themselves and the rest by reload; what he
    added stays."""
    pair = make_pair(lab)
    pair.configure(peer={"AllowedIPs": None})
    for site in pair.both:
        other = pair.other(site)
        site.write(f"{TUNNEL}.conf", conf(site) + f"AllowedIPs = {pair.inner(other)}/32, "
                   f"10.{80 + pair.number(other)}.0.0/16\n")
    pair.up()
    pair.a.run("ip", "route", "delete", "10.82.0.0/16", "dev", TUNNEL)
    pair.a.run("ip", "address", "add", "10.66.0.1/32", "dev", TUNNEL)
    pair.a.run("ip", "route", "add", "10.67.0.0/16", "dev", TUNNEL)
    pair.a.run("ip", "link", "set", TUNNEL, "mtu", 1300)
    said = reload(pair.a, "--dry-run").stdout
    expect("MTU 1300" in said, f"no MTU in {said}")
    reload(pair.a)
    expect({"10.82.0.0/16", "10.67.0.0/16"} <= routes(pair.a), f"routes {routes(pair.a)}")
    expect("10.66.0.1/32" in addresses(pair.a), "a foreign address was removed")
    expect(reload(pair.a).stdout == f"{TUNNEL}: nothing to change\n", "not everything was mended")
    labs.ping(pair.a, pair.inner(pair.b))
    pair.down()


def interface(lab):
    """ListenPort, MTU, Datapath and Address of a tunnel that is up."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    edit(pair.a, (f"ListenPort = {PORT}", "ListenPort = 6999"),
         ("[Peer]", "MTU = 1333\nDatapath = socket\n[Peer]"))
    reload(pair.a, TUNNEL)
    link = json.loads(pair.a.run("ip", "-j", "link", "show", TUNNEL).stdout)[0]
    expect(link["mtu"] == 1333, f"the MTU is {link['mtu']}")
    tunnel = json.loads(pair.a.cipectl("-j", "show", "tunnels").stdout)["tunnels"][0]
    expect(tunnel["listen_port"] == 6999 and tunnel["rung"] == 3, f"show says {tunnel}")
    session = sessions(pair.a)["site-b", "current"]["local_index"]
    labs.wait_for("the other end to hear where it is now",
                  lambda: pair.b.peer()["endpoint"].endswith(":6999"))
    pair.ping_all()
    expect(sessions(pair.a)["site-b", "current"]["local_index"] == session, "a new session")
    edit(pair.a, ("Datapath = socket", "Datapath = xdp"),
         (f"{pair.inner(pair.a)}/32", "10.9.0.101/32"))
    edit(pair.b, (f"AllowedIPs = {pair.inner(pair.a)}/32", "AllowedIPs = 10.9.0.101/32"))
    reload(pair.a)
    reload(pair.b)
    expect("10.9.0.101/32" in addresses(pair.a) and len(addresses(pair.a)) == 2, "addresses")
    labs.ping(pair.b, "10.9.0.101")
    expect(labs.rung_number(pair.a.peer()["rung"]) == 2, f"rung {pair.a.peer()['rung']}")
    pair.transfer(pair.a, family=6, octets=2_000_000)
    pair.down()


def endpoint(lab):
    """A new Endpoint counts at once; peers that come and go are told."""
    pair = make_pair(lab)
    pair.configure(only_here={"site-b": ({}, {"Endpoint": None})})
    pair.a.run("ip", "address", "add", "192.0.2.10/24", "dev", "eth0")
    pair.b.run("ip", "address", "add", "192.0.2.20/24", "dev", "eth0")
    pair.up()
    index = sessions(pair.a)["site-b", "current"]["local_index"]
    edit(pair.a, (f"Endpoint = {pair.endpoint(pair.b)}", f"Endpoint = 192.0.2.20:{PORT}"))
    reload(pair.a)
    expect(pair.a.peer()["endpoint"] == f"192.0.2.20:{PORT}", "it is not used")
    labs.wait_for("a handshake with the new endpoint", lambda: sessions(pair.a)[
        "site-b", "current"]["local_index"] != index)
    pair.ping_all()
    whole = conf(pair.a)
    pair.a.write(f"{TUNNEL}.conf", whole.split("[Peer]")[0])
    reload(pair.a)
    expect(pair.a.peers() == [], "a peer is left")
    labs.wait_for("site-b to hear of it", lambda: pair.b.peer()["status"] != "connected", 3)
    expect(not labs.ping(pair.b, pair.inner(pair.a), count=1, check=False), "still reachable")
    pair.a.write(f"{TUNNEL}.conf", whole)
    reload(pair.a)
    pair.wait_handshake()
    pair.ping_all()
    pair.down()


def crash(lab):
    """The next engine knows the configuration that was reloaded, and the sessions."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    edit(pair.a, ("Name = site-b", "Name = renamed"),
         ("AllowedIPs = ", "AllowedIPs = 10.72.0.0/16, "))
    pair.a.write(f"{TUNNEL}.conf", conf(pair.a)
                 + stranger(pair.a, "new", "AllowedIPs = 10.73.0.0/16"))
    reload(pair.a)
    index = sessions(pair.a)["renamed", "current"]["local_index"]
    engine = pair.a.daemons()[1]
    pair.a.run("kill", "-9", engine)
    labs.wait_for("another engine", lambda: pair.a.daemons()[1] not in (None, engine))
    labs.wait_for("peers", lambda: pair.a.cipectl("show", check=None, echo=False).returncode == 0
                  and set(peers(pair.a)) == {"renamed", "new"})
    expect(sessions(pair.a)["renamed", "current"]["local_index"] == index, "a new session")
    expect(peers(pair.a)["new"]["allowed_ips"] == ["10.73.0.0/16"], "the new peer's prefixes")
    pair.ping_all()
    pair.down()


CASES = {"under-traffic": Alone("no datagram may be lost", under_traffic), "plan": plan, "faulty": faulty, "drift": drift,
         "interface": interface, "endpoint": endpoint, "crash": crash}
