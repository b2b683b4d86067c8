"""Two sites on one wire, for the cases of tests/netns/run."""

import dataclasses
import json
import re
import sys

import lab as labs

PORT = 6789
TUNNEL = "tun"
TRAFFIC = [sys.executable, str(labs.ROOT / "tools/lib/traffic.py")]
DATAPATH_RUNGS = {"xdp": {2}, "afxdp": {1, 2}, "socket": {3}}  # afxdp is copy mode on a veth


class Skip(Exception):
    """The case cannot run here; the text says why, starting "needs kernel:" or "needs hardware:"
    when neither a package nor root would help."""


def expect(condition, sentence):
    if not condition:
        raise labs.LabError(sentence)


@dataclasses.dataclass
class Pair:
    lab: labs.Lab
    a: labs.Site
    b: labs.Site
    outer: int  # 4 or 6

    @property
    def both(self):
        return (self.a, self.b)

    def other(self, site):
        return self.b if site is self.a else self.a

    def number(self, site):
        return 1 if site is self.a else 2

    def carrier_address(self, site):
        return (f"192.0.2.{self.number(site)}" if self.outer == 4
                else f"2001:db8:1::{self.number(site)}")

    def endpoint(self, site):
        address = self.carrier_address(site)
        return f"{address}:{PORT}" if self.outer == 4 else f"[{address}]:{PORT}"

    def inner(self, site, family=4):
        return f"10.9.0.{self.number(site)}" if family == 4 else f"fd09::{self.number(site)}"

    # -- configuration --

    def configure(self, interface=None, peer=None, only_here=None, auth="keys"):
        """Config files at both ends. `interface` and `peer` are extra lines for both; `only_here` is
        {site name: (interface lines, peer lines)}. `auth`: keys, psk (keys and PresharedKey) or
        shared (SharedKey alone)."""
        secrets = self._secrets(auth)
        for site in self.both:
            peer_site = self.other(site)
            own, theirs = secrets[site.name]
            extra_interface, extra_peer = (only_here or {}).get(site.name, ({}, {}))
            text = labs.tunnel_config(
                {"Address": f"{self.inner(site)}/32, {self.inner(site, 6)}/128",
                 "ListenPort": PORT, "Carrier": "eth0", **own, **(interface or {}),
                 **extra_interface},
                {"Name": peer_site.name, "Endpoint": self.endpoint(peer_site), **theirs,
                 "AllowedIPs": f"{self.inner(peer_site)}/32, {self.inner(peer_site, 6)}/128",
                 **(peer or {}), **extra_peer})
            site.write(f"{TUNNEL}.conf", text)

    def _secrets(self, auth):
        if auth == "shared":
            key = self.a.cipectl("genpsk").stdout.strip()
            for site in self.both:
                site.write("shared.key", key + "\n")
            return {site.name: ({}, {"SharedKeyFile": site.config / "shared.key"})
                    for site in self.both}
        keys = {site.name: labs.key_pair(site, TUNNEL)[1] for site in self.both}
        secrets = {site.name: ({"PrivateKeyFile": site.config / f"{TUNNEL}.key"},
                               {"PublicKey": keys[self.other(site).name]}) for site in self.both}
        if auth == "psk":
            key = self.a.cipectl("genpsk").stdout.strip()
            for site in self.both:
                site.write("psk.key", key + "\n")
                secrets[site.name][1]["PresharedKeyFile"] = site.config / "psk.key"
        return secrets

    # -- life --

    def up(self):
        """Both ends up and a session between them."""
        self.a.up(TUNNEL, "--no-wait")
        self.b.up(TUNNEL)
        self.wait_handshake()

    def wait_handshake(self, timeout=15):
        labs.wait_for("both ends to know a handshake", lambda: all(
            site.peer().get("latest_handshake") for site in self.both), timeout)

    def down(self):
        """Down at both ends, and nothing left: no netdev, route, program or process."""
        for site in self.both:
            site.down(TUNNEL)
            expect(site.daemons() == (None, None), f"{site.name}: ciped outlives its last tunnel")
        self.expect_nothing_left()

    def leftovers(self):
        found = [line for site in self.both for line in site.leftovers([TUNNEL])]
        return found + [f"BPF program {name}" for name in self.lab.new_programs().values()]

    def expect_nothing_left(self):
        try:
            labs.wait_for("clean-up", lambda: not self.leftovers())
        except labs.LabError as error:
            raise labs.LabError("left behind: " + "; ".join(self.leftovers())) from error

    # -- checks --

    def expect_rung(self, rungs):
        for site in self.both:
            seen = site.peer().get("rung")
            expect(labs.rung_number(seen) in rungs,
                   f"{site.name} runs on rung {seen!r}, expected {sorted(rungs)}")

    def ping_all(self, families=(4, 6), sizes=(56,)):
        for client in self.both:
            for family in families:
                for size in sizes:
                    labs.ping(client, self.inner(self.other(client), family), size=size)

    def transfer(self, client, family=4, octets=20_000_000, seconds=90):
        """A file through one TCP connection, within `seconds`; its SHA-256 must be the same at both
        ends."""
        server = self.other(client)
        address = self.inner(server, family)
        sink = server.start(*TRAFFIC, "tcp-sink", address, 7000, 60)
        expect(sink.stdout.readline().strip() == "ready", f"tcp-sink at {address} did not start")
        sent = json.loads(client.run(*TRAFFIC, "tcp-send", address, 7000, octets, octets,
                                     timeout=seconds).stdout)
        output, _ = sink.communicate(timeout=30)
        received = json.loads(output.strip().splitlines()[-1])
        expect(sent == received and received["octets"] == octets,
               f"{client.name} sent {sent}, {server.name} received {received}")


def make_pair(lab, outer=4, mtu=1500):
    """site-a --eth0-- veth --eth0-- site-b, both families on the carrier."""
    lab.echo(f"site-a [eth0] ---- veth, MTU {mtu} ---- [eth0] site-b")
    a, b = lab.site("site-a"), lab.site("site-b")
    lab.veth(*((site.namespace, "eth0", [f"192.0.2.{number}/24", f"2001:db8:1::{number}/64"])
               for number, site in enumerate((a, b), 1)), mtu=mtu)
    return Pair(lab, a, b, outer)


def drops(site):
    """{reason: count} of everything `show drops` and `show peers` count, zeros left out."""
    counted = {}

    def walk(node):
        if isinstance(node, list):
            for item in node:
                walk(item)
        elif isinstance(node, dict):
            name, count = node.get("reason") or node.get("name"), node.get("count")
            if isinstance(name, str) and isinstance(count, int):
                counted[name] = max(counted.get(name, 0), count)
            for key, value in node.items():
                if re.fullmatch(r"(xdp|rx|tx|hs)_[a-z0-9_]+", key) and isinstance(value, int):
                    # rx_bytes, tx_packets and the like are no reasons.
                    if not key.endswith(("_bytes", "_packets", "_frames")):
                        counted[key] = max(counted.get(key, 0), value)
                else:
                    walk(value)

    for words in (("show", "drops"), ("show", "peers")):
        walk(json.loads(site.cipectl("-j", *words, echo=False).stdout))
    return {name: count for name, count in counted.items() if count}


def wait_drop(sites, names, timeout=12):
    """Waits until one of the named reasons was counted at one of the sites."""
    try:
        labs.wait_for("a drop", lambda: any(set(names) & set(drops(site)) for site in sites),
                      timeout)
    except labs.LabError as error:
        seen = {site.name: drops(site) for site in sites}
        raise labs.LabError(f"none of {sorted(names)} was counted, only {seen}") from error
