"""Paths that are narrower than they say, with and without ICMP; what TCP is told of them."""

import contextlib
import functools
import json
import subprocess
import time

import lab as labs
from narrow_path import make_routed
from sites import DATAPATH_RUNGS, TUNNEL, drops, expect, make_pair

PORT = 5201
WIDE, NARROW = 1500, 1340
SECONDS, CHANGE_AT = 14, 3
MOST_SILENCE = 8  # seconds in which nothing at all arrives


def overhead(outer):
    return 60 if outer == 4 else 80


def start_iperf(client, server, address):
    daemon = server.start("iperf3", "-s", "-1", "-B", address, "-p", PORT, "-J", echo=False)
    labs.wait_listening(server, PORT)
    # Paced: the time of a gap is what counts, not speed.
    sender = client.start("iperf3", "-c", address, "-p", PORT, "-t", SECONDS, "-b", "20M",
                          stdout=subprocess.DEVNULL)
    return daemon, sender


def arrived(daemon, sender):
    """Octets that the server saw in each second."""
    output, _ = daemon.communicate(timeout=SECONDS + 20)
    with contextlib.suppress(subprocess.TimeoutExpired):
        sender.wait(timeout=5)
    return [interval["sum"]["bytes"] for interval in json.loads(output)["intervals"]]


def shrinks(lab, outer, datapath, silent, family):
    """A TCP connection through a path that shrinks under it goes on."""
    pair = make_routed(lab, outer, mtu=None)
    pair.configure(interface={"Datapath": datapath})
    pair.up()
    pair.expect_rung(DATAPATH_RUNGS[datapath])
    if silent:
        pair.silence()
    own = 1420
    daemon, sender = start_iperf(pair.a, pair.b, pair.inner(pair.b, family))
    time.sleep(CHANGE_AT)
    peer = pair.a.peer()
    expect((peer["path_mtu"], peer["path_mtu_source"]) == (own, "interface"), f"at first: {peer}")
    pair.narrow(NARROW)
    seconds = arrived(daemon, sender)
    expect(all(seconds[CHANGE_AT + MOST_SILENCE:SECONDS]),
           f"no octet in some second after the path shrank: {seconds}")
    fits = NARROW - overhead(outer)
    peer = pair.a.peer()
    wanted = range(fits - 8, fits + 1) if silent else (fits,)
    expect(peer["path_mtu"] in wanted, f"path_mtu {peer['path_mtu']}, expected {wanted}")
    source = "probe" if silent else "icmp"
    expect(peer["path_mtu_source"] == source, f"path_mtu_source is {peer['path_mtu_source']}")
    expect("tx_too_big_told" in drops(pair.a), f"nobody was told: {drops(pair.a)}")
    link = json.loads(pair.a.run("ip", "-j", "link", "show", TUNNEL, echo=False).stdout)[0]
    expect(link["mtu"] == own, f"the tunnel's MTU is {link['mtu']}")
    # What may be cut is cut; what fits to the octet goes in one piece.
    labs.ping(pair.a, pair.inner(pair.b), size=peer["path_mtu"] - 28)
    pair.a.run("ping", "-n", "-M", "dont", "-c", 2, "-W", 2, "-s", 1392, pair.inner(pair.b))
    pair.transfer(pair.b, family, 5_000_000, seconds=25)
    pair.down()


def narrow_at_first(lab, outer, silent):
    """The same when it was narrow before the tunnel came up, both families inside."""
    pair = make_routed(lab, outer, mtu=NARROW)
    if silent:
        pair.silence()
    pair.configure()
    pair.up()
    for client in pair.both:
        for family in (4, 6):
            pair.transfer(client, family, 5_000_000, seconds=25)
    fits = NARROW - overhead(outer)
    expect(fits - 8 <= pair.a.peer()["path_mtu"] <= fits, f"{pair.a.peer()}")
    expect(pair.b.peer()["path_mtu"] == 1420, f"{pair.b.peer()}")
    pair.down()


def syn_options(site, client, server, address, port):
    """What tcpdump on the tunnel at `site` says of the SYN and SYN/ACK of one connection."""
    capture = site.start("tcpdump", "-nn", "-l", "-i", TUNNEL, "-c", 2, "tcp", echo=True,
                         stderr=subprocess.DEVNULL)
    time.sleep(1)
    sink = server.start("python3", labs.ROOT / "tools/lib/traffic.py", "tcp-sink", address, port, 10,
                        echo=False)
    expect(sink.stdout.readline().strip() == "ready", "tcp-sink did not start")
    client.run("python3", labs.ROOT / "tools/lib/traffic.py", "tcp-send", address, port, 1, 1)
    output, _ = capture.communicate(timeout=10)
    lines = output.strip().splitlines()
    expect(len(lines) == 2 and all("mss" in line for line in lines), f"captured: {lines}")
    return [int(line.split("mss ")[1].split(",")[0].split("]")[0]) for line in lines]


def mss_clamp(lab, clamp):
    """SYN and SYN/ACK, IPv4 and IPv6, seen where they arrive; only when wanted."""
    pair = make_pair(lab)
    pair.configure(interface={"MSSClamp": clamp, "MTU": 1420})
    for site in pair.both:
        site.run("ip", "route", "add", f"{pair.carrier_address(pair.other(site))}/32", "dev",
                 "eth0", "mtu", NARROW)
    pair.up()
    for site in pair.both:
        labs.wait_for("the route's MTU", lambda s=site: s.peer()["path_mtu"] == NARROW - 60)
    for family, headers in ((4, 40), (6, 60)):
        mss = (NARROW - 60 if clamp == "yes" else 1420) - headers
        # At b the SYN came through the tunnel, at a the SYN/ACK.
        at_b = syn_options(pair.b, pair.a, pair.b, pair.inner(pair.b, family), 7001)
        expect(at_b[0] == mss, f"IPv{family}: SYN arrives with {at_b[0]}, expected {mss}")
        at_a = syn_options(pair.a, pair.a, pair.b, pair.inner(pair.b, family), 7002)
        expect(at_a[1] == mss, f"IPv{family}: SYN/ACK arrives with {at_a[1]}, expected {mss}")
    pair.down()


def dscp(lab, outer, datapath):
    """none, copy and a value, on the wire; ECN stays what it is."""
    pair = make_routed(lab, outer, mtu=None)
    for choice, inner, wanted in (("none", 0xb8, 0x00), ("copy", 0xb8, 0xb8), ("46", 0x20, 0xb8),
                                  ("copy", 0x22, 0x22), ("none", 0x22, 0x02)):
        pair.configure(interface={"Datapath": datapath, "DSCP": choice})
        pair.up()
        labs.ping(pair.a, pair.inner(pair.b))  # the next hop is known after the first
        time.sleep(0.5)
        source = pair.carrier_address(pair.a)
        capture = lab.start("tcpdump", "-nn", "-v", "-l", "-i", "to-a", "-c", 6,
                            f"src host {source} and udp and greater 150", namespace=pair.router,
                            stderr=subprocess.DEVNULL)
        time.sleep(1)
        for family in (4, 6):
            pair.a.run("ping", "-n", "-c", 3, "-i", "0.2", "-W", 2, "-Q", hex(inner),
                       pair.inner(pair.b, family))
        output, _ = capture.communicate(timeout=10)
        seen = ([word.split(",")[0] for word in output.split("tos ")[1:]] if outer == 4 else
                [line.split("class ")[1].split(",")[0].split(")")[0] if "class " in line else "0x0"
                 for line in output.splitlines() if "IP6" in line])
        expect(len(seen) == 6 and {int(tos, 16) for tos in seen} == {wanted},
               f"DSCP = {choice}, inner {inner:#x}: {seen} on the wire, expected {wanted:#x}")
        pair.down()


CASES = {
    **{f"shrinks-{'silent' if silent else 'icmp'}-v{outer}-{datapath}": functools.partial(
        shrinks, outer=outer, datapath=datapath, silent=silent, family=family)
       for silent in (False, True)
       for outer, datapath, family in ((4, "xdp", 4), (4, "afxdp", 6), (6, "socket", 4),
                                       (6, "afxdp", 6))},
    **{f"narrow-{'silent' if silent else 'icmp'}-v{outer}": functools.partial(
        narrow_at_first, outer=outer, silent=silent)
       for silent in (False, True) for outer in (4, 6)},
    **{f"mss-clamp-{clamp}": functools.partial(mss_clamp, clamp=clamp) for clamp in ("yes", "no")},
    **{f"dscp-v{outer}-{datapath}": functools.partial(dscp, outer=outer, datapath=datapath)
       for outer, datapath in ((4, "xdp"), (4, "afxdp"), (6, "socket"), (6, "afxdp"))},
}
