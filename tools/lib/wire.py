"""What a bridge between two sites carried, and a marker that is sent across it."""

import contextlib
import json
import os
import signal
import sys

import lab as labs
import traffic

TRAFFIC = [sys.executable or "python3", str(labs.ROOT / "tools/lib/traffic.py")]


def bridge_between(lab, sites, addresses, name="net"):
    """A namespace with a bridge to which each site is wired by its eth0, MTU 1500; its name.
    `addresses` is {site name: [address with prefix length]}."""
    net = lab.namespace(name)
    lab.run("ip", "-n", net, "link", "add", "br0", "type", "bridge", "forward_delay", 0)
    lab.run("ip", "-n", net, "link", "set", "br0", "up")
    for number, site in enumerate(sites):
        lab.veth((site.namespace, "eth0", addresses[site.name]), (net, f"port{number}", []))
        lab.run("ip", "-n", net, "link", "set", f"port{number}", "master", "br0")
    first, second = sites
    far = addresses[second.name][0].partition("/")[0]
    labs.wait_for("the bridge to forward",
                  lambda: first.run("ping", "-c1", "-W1", far, check=False,
                                    echo=False).returncode == 0)
    return net


def send_markers(client, server, address, port, count):
    """Sends the marker; how often it arrived."""
    sink = server.start(*TRAFFIC, "udp-sink", address, port, count, 15, echo=False)
    if sink.stdout.readline().strip() != "ready":
        raise labs.LabError(f"{server.name}: {sink.stdout.read().strip()}")
    client.run(*TRAFFIC, "udp-send", address, port, count, 1, traffic.MARKER.decode(),
               timeout=60)
    output, _ = sink.communicate(timeout=30)
    return json.loads(output.strip().splitlines()[-1])["received"]


@contextlib.contextmanager
def capture(lab, net, path, *words):
    """tcpdump on the bridge for as long as the block runs; everything is in the file afterwards.
    `words`: its filter, and options before it."""
    # -Z root: tcpdump would otherwise change to a user who may not write here.
    process = lab.start("tcpdump", "-i", "br0", "-n", "-Z", "root", "-U", "--immediate-mode", "-B", 8192,
                        "-c", 20000, "-w", path, *words, namespace=net)
    for line in process.stdout:
        if "listening on" in line:
            break
    else:
        raise labs.LabError("tcpdump did not start")
    yield
    labs.wait_for("tcpdump to write", lambda: settled(path), 10)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)


def settled(path, _sizes={}):
    """True once the file has not grown between two polls."""
    size = os.path.getsize(path)
    same = _sizes.get(path) == size
    _sizes[path] = size
    return same and size > 24
