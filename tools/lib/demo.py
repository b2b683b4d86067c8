"""The body of tools/demo. Each step prints what it saw and raises LabError when it is not so."""

import json
import signal
import statistics
import subprocess
import sys

import demo_classic
import lab as labs
import measure
import pcap
import traffic
import wire

PORT = 6789
CLEAR_PORT = 9999
DATA_FRAME = 0x54
FRAMES_WANTED = 1000
MARKERS = 1500
TUNNEL = "demo"

# name: carrier IPv4, carrier IPv6, inner IPv4, inner IPv6
ADDRESSES = {
    "site-a": ("192.0.2.1", "2001:db8:1::1", "10.9.0.1", "fd09::1"),
    "site-b": ("192.0.2.2", "2001:db8:1::2", "10.9.0.2", "fd09::2"),
}
RUNGS = {2: "xdp", 3: "socket"}


def other(site, sites):
    return sites[1] if site is sites[0] else sites[0]


def write_configs(sites, carrier, datapath):
    """Keys by cipectl, then one tunnel file at each end."""
    keys = {site.name: labs.key_pair(site, TUNNEL) for site in sites}
    for site in sites:
        peer = other(site, sites)
        _, _, inner4, inner6 = ADDRESSES[site.name]
        outer, _, peer4, peer6 = ADDRESSES[peer.name]
        site.write(f"{TUNNEL}.conf", labs.tunnel_config(
            {"Address": f"{inner4}/32, {inner6}/128", "ListenPort": PORT, "Carrier": carrier,
             "PrivateKeyFile": site.config / f"{TUNNEL}.key", "Datapath": datapath},
            {"Name": peer.name, "Endpoint": f"{outer}:{PORT}", "PublicKey": keys[peer.name][1],
             "AllowedIPs": f"{peer4}/32, {peer6}/128"}))


def bring_up(sites):
    # The first `up` cannot get an answer yet, so it does not wait; the second one does.
    sites[0].up(TUNNEL, "--no-wait")
    sites[1].up(TUNNEL)
    labs.wait_for("both ends to know a handshake",
                  lambda: all(site.peer().get("latest_handshake") for site in sites), 15)


def take_down(lab, sites, say):
    """`down` at both ends; nothing of the tunnel may be left."""
    for site in sites:
        site.down(TUNNEL)

    def leftovers():
        found = [line for site in sites for line in site.leftovers([TUNNEL])]
        return found + [f"BPF program {name} ({number})"
                        for number, name in lab.new_programs().items()]

    try:
        labs.wait_for("down to clean up", lambda: not leftovers())
    except labs.LabError as error:
        raise labs.LabError("left behind by down: " + "; ".join(leftovers())) from error
    for site in sites:
        if site.daemons() != (None, None):
            raise labs.LabError(f"{site.name}: ciped goes on without a tunnel")
        say(f"  {site.name}: no netdev, no route, no XDP or BPF program; ciped ended with its last "
            "tunnel")


def expect_rung(sites, rung):
    for site in sites:
        seen = site.peer().get("rung")
        if labs.rung_number(seen) != rung:
            raise labs.LabError(f"{site.name} runs on rung {seen!r}, expected {rung}")


# -- part one: two sites and a bridge ---------------------------------------------------------------


def make_bridge_topology(lab, say):
    say("Topology: site-a --eth0-- [bridge br0 in namespace net] --eth0-- site-b, MTU 1500")
    sites = [lab.site(name) for name in ADDRESSES]
    net = wire.bridge_between(lab, sites, {
        name: [f"{v4}/24", f"{v6}/64"] for name, (v4, v6, _, _) in ADDRESSES.items()})
    return sites, net


def show_state(sites, say):
    for site in sites:
        for words in (("show", "tunnels"), ("show", "peers")):
            say(f"$ cipectl {' '.join(words)}        # {site.name}")
            say(site.cipectl(*words, echo=False).stdout.rstrip())


def measure_both(sites, seconds=3):
    """TCP one stream each way, on the bare carrier and through the tunnel, in Mbit/s."""
    rows = []
    for client in sites:
        server = other(client, sites)
        bare, _, inner, _ = ADDRESSES[server.name]
        rows.append({"from": client.name, "to": server.name,
                     "bare_mbit": round(measure.iperf_tcp(client, server, bare, seconds)),
                     "tunnel_mbit": round(measure.iperf_tcp(client, server, inner, seconds))})
    return rows


def read_capture(path):
    """({carrier source address: data frames}, marker in tunnelled frames, marker in clear ones)."""
    frames, hidden, clear = {}, 0, 0
    for frame in pcap.frames(path):
        udp = pcap.datagram(frame)
        marked = traffic.MARKER in frame
        if udp is not None and PORT in (udp.port, udp.source_port):
            if udp.payload and udp.payload[0] == DATA_FRAME:
                frames[udp.source] = frames.get(udp.source, 0) + 1
            hidden += marked
        elif udp is not None and udp.port == CLEAR_PORT:
            clear += marked
        else:
            hidden += marked
    return frames, hidden, clear


def prove_ciphertext(lab, sites, net, say):
    path = lab.directory / "bridge.pcap"
    a, b = sites
    # A virtual wire carries up to 64 datagrams as one GSO packet, and the capture would show one
    # frame for them; cut here, it shows what a real wire would.
    for site in sites:
        site.run("ethtool", "-K", "eth0", "tx-udp-segmentation", "off")
    with wire.capture(lab, net, path, "-s", 2000, "udp"):
        arrived = [wire.send_markers(client, server, ADDRESSES[server.name][2], CLEAR_PORT, MARKERS)
                   for client, server in ((a, b), (b, a))]
        clear = wire.send_markers(a, b, ADDRESSES[b.name][0], CLEAR_PORT, 10)
    if min(arrived) < FRAMES_WANTED or clear < 1:
        raise labs.LabError(f"marker arrived {arrived} times through the tunnel and {clear} times "
                            f"untunnelled; expected at least {FRAMES_WANTED} and 1")
    frames, hidden, seen_clear = read_capture(path)
    counts = sorted(frames.values(), reverse=True)[:2]
    say(f"  capture on the bridge: data frames each way {counts}; marker in them {hidden} times, "
        f"in the untunnelled part {seen_clear} times")
    if len(counts) < 2 or min(counts) < FRAMES_WANTED:
        raise labs.LabError(f"fewer than {FRAMES_WANTED} data frames each way were captured")
    if hidden or not seen_clear:
        raise labs.LabError("the marker must be in the untunnelled part of the capture only")
    return {"data_frames_each_way": counts, "marker_received_through_tunnel": arrived,
            "marker_in_tunnelled_frames": hidden, "marker_in_untunnelled_frames": seen_clear}


def show_sites(say, keep):
    """Part one; its figures for the JSON document."""
    with labs.Lab(echo=say, keep=keep) as lab:
        sites, net = make_bridge_topology(lab, say)
        write_configs(sites, "eth0", "auto")
        say("\nTunnel up at both ends")
        bring_up(sites)
        a, b = sites
        say("\nPing through the tunnel, IPv4 and IPv6")
        for client, server in ((a, b), (b, a)):
            for address in ADDRESSES[server.name][2:]:
                labs.ping(client, address)
        say("\nWhat each end says")
        show_state(sites, say)
        expect_rung(sites, 2)
        say("\nOne TCP stream each way")
        speeds = measure_both(sites)
        for row in speeds:
            say(f"  {row['from']} -> {row['to']}: {row['tunnel_mbit']} Mbit/s through the tunnel, "
                f"{row['bare_mbit']} Mbit/s on the same carrier without it")
        say("\nWhat the wire carried")
        proof = prove_ciphertext(lab, sites, net, say)
        peers = {site.name: site.peer() for site in sites}
        if not keep:
            say("\nDown at both ends")
            take_down(lab, sites, say)
        namespaces = list(lab.namespaces)
    if not keep:
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True,
                                timeout=30, check=True, env=labs.command_environment()).stdout
        left = [name for name in namespaces if name in listed]
        if left:
            raise labs.LabError("namespaces left: " + " ".join(left))
        say("  namespaces removed")
    return {"tcp": speeds, "capture": proof, "peers": peers}


# -- part two: figures on a direct veth ---------------------------------------------------------------


def make_direct_topology(lab):
    """Two wires side by side: one carries the tunnel, the other stays bare, so that the XDP program
    of the first cannot slow the second, and both can be measured in turns."""
    a, b = (lab.site(name) for name in ADDRESSES)
    lab.veth(*((site.namespace, "eth0", [ADDRESSES[site.name][0] + "/24"]) for site in (a, b)))
    lab.veth(*((site.namespace, "bare0", [f"198.51.100.{number}/24"])
               for number, site in enumerate((a, b), 1)))
    return a, b


def measure_rung(rung, say, repetitions=3):
    """Medians of interleaved repetitions for one rung."""
    with labs.Lab(echo=say) as lab:
        sites = a, b = make_direct_topology(lab)
        write_configs(sites, "eth0", RUNGS[rung])
        bring_up(sites)
        expect_rung(sites, rung)
        roads = {"bare": "198.51.100.2", "tunnel": ADDRESSES[b.name][2]}
        tcp, udp = {road: [] for road in roads}, {road: [] for road in roads}
        for _ in range(repetitions):
            for road, address in roads.items():
                tcp[road].append(measure.iperf_tcp(a, b, address, 3))
        for _ in range(repetitions):
            for road, address in roads.items():
                udp[road].append(measure.highest_rate(
                    lambda rate, to=address: measure.udp_run(a, b, to, rate)))
        take_down(lab, sites, say)
    return summary(rung, tcp, udp, say)


def summary(rung, tcp, udp, say):
    middle = {kind: {road: statistics.median(values) for road, values in figures.items()}
              for kind, figures in (("tcp", tcp), ("udp", udp))}
    shares = {kind: values["tunnel"] / values["bare"] if values["bare"] else 0.0
              for kind, values in middle.items()}
    say(f"  rung {rung}: TCP {middle['tcp']['tunnel']:.0f} of {middle['tcp']['bare']:.0f} Mbit/s "
        f"({shares['tcp']:.0%}), 64-byte UDP {middle['udp']['tunnel']:.0f} of "
        f"{middle['udp']['bare']:.0f} datagrams/s ({shares['udp']:.0%})")
    return {
        "rung": rung, "datapath": RUNGS[rung],
        "tcp_one_stream": {"bare_mbit": round(middle["tcp"]["bare"], 1),
                           "tunnel_mbit": round(middle["tcp"]["tunnel"], 1),
                           "share": round(shares["tcp"], 4),
                           "runs": {road: [round(v, 1) for v in tcp[road]] for road in tcp}},
        "udp_64_octets": {"loss_bound": 0.02, "bare_pps": round(middle["udp"]["bare"]),
                          "tunnel_pps": round(middle["udp"]["tunnel"]),
                          "share": round(shares["udp"], 4),
                          "runs": {road: [round(v) for v in udp[road]] for road in udp}},
    }


def interrupted(signum, frame):
    del frame
    raise labs.LabError(f"ended by {signal.Signals(signum).name}")


def main():
    as_json, keep = "--json" in sys.argv, "--keep" in sys.argv
    classic = "--classic" in sys.argv
    say = labs.log_to_stderr if as_json else lambda line: print(line, flush=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        document = demo_classic.show(say, keep) if classic else show_sites(say, keep)
        if as_json and not classic:
            say("\nFigures on a direct veth: medians of interleaved repetitions")
            document["figures"] = [measure_rung(rung, say) for rung in RUNGS]
    except (labs.LabError, subprocess.SubprocessError, OSError, ValueError) as error:
        print(f"tools/demo: FAILED: {error}", file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps(document, indent=2))
    say("\nDone: everything above was as it should be.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
