"""Traffic through every rung, family, pattern and suite."""

import functools

import lab as labs
import measure
from side_by_side import Alone
from sites import DATAPATH_RUNGS, TUNNEL, drops, expect, make_pair


def families(lab, outer, datapath):
    """IPv4 and IPv6 inside, pings of all sizes, the same octets out as in, and a clean end."""
    pair = make_pair(lab, outer)
    pair.configure(interface={"Datapath": datapath})
    pair.up()
    pair.expect_rung(DATAPATH_RUNGS[datapath])
    pair.ping_all()
    pair.ping_all(sizes=(1300, 1400, 8000, 32000))  # the last three do not fit one frame
    for client in pair.both:
        for family in (4, 6):
            pair.transfer(client, family)
    pair.down()


def iperf(lab, datapath):
    """TCP and UDP both ways at speed; counters of both ends move and nothing is lost to replay."""
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": datapath})
    pair.up()
    for client in pair.both:
        server = pair.other(client)
        speed = measure.iperf_tcp(client, server, pair.inner(server), 2)
        expect(speed > 50, f"{client.name} -> {server.name}: only {speed:.0f} Mbit/s")
        _, lost = measure.udp_run(client, server, pair.inner(server), 2000, 1.0)
        expect(lost <= 0.02, f"{client.name} -> {server.name}: {lost:.1%} lost at 2000 datagrams/s")
    for site in pair.both:
        peer = site.peer()
        expect(min(peer["rx_bytes"], peer["tx_bytes"]) > 1_000_000, f"counters stand still: {peer}")
        expect(min(peer["rx_packets"], peer["tx_packets"]) > 2000, f"counters stand still: {peer}")
    pair.down()


def secrets(lab, auth, suite):
    """Every way to authenticate times every suite."""
    pair = make_pair(lab)
    pair.configure(interface={"Suite": suite}, auth=auth)
    pair.up()
    pair.ping_all()
    pair.transfer(pair.a, octets=2_000_000)
    for site in pair.both:
        key = site.peer()["public_key"]
        expect((key == "shared") == (auth == "shared"), f"public_key is shown as {key!r}")
    pair.down()


def peer_fields(lab):
    """`show peers -j` has every field that is promised; secrets are in none of its renderings."""
    pair = make_pair(lab)
    pair.configure(auth="psk")
    pair.up()
    pair.ping_all()
    for site in pair.both:
        peer = site.peer()
        for field in ("name", "public_key", "endpoint", "allowed_ips", "latest_handshake",
                      "rx_bytes", "tx_bytes", "rx_packets", "tx_packets", "rung", "drops"):
            expect(field in peer, f"show peers -j lacks {field}")
        shown = "".join(site.cipectl(*words).stdout for words in (
            ["show"], ["-j", "show"], ["show", "tunnels"], ["show", "peers"],
            ["-j", "show", "peers"], ["show", "sessions"], ["-j", "show", "sessions"]))
        for name in (f"{TUNNEL}.key", "psk.key"):
            secret = (site.config / name).read_text().strip()
            expect(secret not in shown, f"{name} of {site.name} is shown")
    pair.down()


def nobody(lab):
    """Who sends to an address that no peer has is told at once, and need not wait."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    for family, network, address in ((4, "10.77.0.0/16", "10.77.0.1"), (6, "fd77::/64", "fd77::1")):
        pair.a.run("ip", f"-{family}", "route", "add", network, "dev", TUNNEL)
        said = pair.a.run("ping", "-n", "-c", 1, "-W", 5, address, check=False).stdout
        expect("unreachable" in said.lower(), f"IPv{family}: ping was told nothing: {said}")
    expect(drops(pair.a).get("tx_no_route", 0) >= 2, f"drops: {drops(pair.a)}")
    pair.down()


CASES = {
    "nobody": nobody,
    **{f"outer-v{outer}-{datapath}": functools.partial(families, outer=outer, datapath=datapath)
       for datapath in ("xdp", "afxdp", "socket") for outer in (4, 6)},
    **{f"iperf-{datapath}": Alone("it loads both cores and counts losses",
                                  functools.partial(iperf, datapath=datapath))
       for datapath in ("xdp", "afxdp", "socket")},
    **{f"{auth}-{suite}": functools.partial(secrets, auth=auth, suite=suite)
       for auth in ("keys", "psk", "shared") for suite in ("aes256gcm", "chacha20poly1305")},
    "peer-fields": peer_fields,
}
