"""Point 2: TCP and UDP, both families inside, over both outside, at a normal and a very large MTU;
and what point 2 leaves out: paths that are narrower than they say."""

import contextlib
import functools
import json
import os
import subprocess

import lab as labs
from side_by_side import Alone
from sites import drops, expect, make_pair

PORT = 5201


def iperf(client, server, address, *words, seconds=1):
    """The `end` of one run of iperf3, as its client tells it."""
    daemon = server.start("iperf3", "-s", "-1", "-B", address, "-p", PORT, echo=False,
                          stdout=subprocess.DEVNULL)
    try:
        labs.wait_listening(server, PORT)
        result = client.run("iperf3", "-c", address, "-p", PORT, "-t", seconds, "-J", *words,
                            check=False, timeout=seconds + 20)
        return json.loads(result.stdout)["end"]
    except (ValueError, KeyError) as error:
        raise labs.LabError(f"iperf3 {client.name} -> {address}: {result.stdout[-300:]}") from error
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(timeout=5)
        if daemon.poll() is None:
            daemon.kill()
            daemon.wait()


def expect_tcp(client, server, address, *words):
    end = iperf(client, server, address, *words)
    speed = end["sum_received"]["bits_per_second"] / 1e6
    expect(speed > 50, f"{client.name} -> {address} {words}: only {speed:.1f} Mbit/s")


def expect_udp(client, server, address, size):
    end = iperf(client, server, address, "-u", "-b", "20M", "-l", size)["sum"]
    sent = 20e6 / 8 / size  # in a second
    expect(end["packets"] > sent / 2 and end["lost_percent"] <= 2,
           f"{client.name} -> {address}, datagrams of {size}: {end}")


def point(lab, outer, mtu):
    pair = make_pair(lab, outer, mtu=mtu)
    pair.configure()
    pair.up()
    inner_mtu = mtu - 80
    for family in (4, 6):
        for client in pair.both:
            server = pair.other(client)
            address = pair.inner(server, family)
            expect_tcp(client, server, address)
            expect_udp(client, server, address, inner_mtu - (28 if family == 4 else 48))
        server = pair.other(pair.a)
        expect_tcp(pair.a, server, pair.inner(server, family), "-P", os.cpu_count())
    for site in pair.both:
        peer = site.peer()
        expect(peer["path_mtu"] == inner_mtu, f"{site.name}: path_mtu is {peer['path_mtu']}")
        expect(peer["path_mtu_source"] == "interface", f"source is {peer['path_mtu_source']}")
        expect(not {"tx_too_big", "tx_too_big_told"} & set(drops(site)), f"{drops(site)}")
    pair.down()


CASES = {f"iperf-v{outer}-outer{name}": Alone("it loads both cores and counts losses",
                                               functools.partial(point, outer=outer, mtu=mtu))
         for outer in (4, 6) for name, mtu in (("", 1500), ("-large-mtu", 65000))}
