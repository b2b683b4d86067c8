"""Two sites with a router between them, for the cases of tests/netns/run: neither has a way to the
other but through the third namespace, where a case may translate, lose and forbid."""

import dataclasses
import json
import pathlib
import sys

import lab as labs
from sites import TUNNEL, Pair, expect

PORT = 6789
NAME = "peer.cipe.test"
ROUTER = {4: ("192.0.2.254", "198.51.100.254"), 6: ("2001:db8:1::fe", "2001:db8:2::fe")}
DNS_SERVER = [sys.executable, str(pathlib.Path(__file__).resolve().parent / "dns_server.py")]


@dataclasses.dataclass
class RoutedPair(Pair):
    """site-a is 192.0.2.1 and 2001:db8:1::1, site-b 198.51.100.2 and 2001:db8:2::2."""

    router: str = ""  # a namespace

    def carrier_address(self, site, family=None):
        family = family or self.outer
        net = {(1, 4): "192.0.2.", (1, 6): "2001:db8:1::",
               (2, 4): "198.51.100.", (2, 6): "2001:db8:2::"}[self.number(site), family]
        return f"{net}{self.number(site)}"

    def endpoint(self, site, family=None):
        return endpoint(self.carrier_address(site, family))

    def nft(self, *lines):
        """Replaces all rules of the router."""
        self.lab.run("nft", "-f", "-", namespace=self.router,
                     stdin="\n".join(("flush ruleset", *lines)) + "\n")

    def nat(self, extra="", udp_timeout=None):
        """Hides site-a behind the router, in both families; `extra` comes before."""
        if udp_timeout is not None:
            for name in ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"):
                self.lab.run("sysctl", "-qw", f"net.netfilter.{name}={udp_timeout}",
                             namespace=self.router)
        self.nft("table inet nat {", "chain post { type nat hook postrouting priority 100;",
                 extra, 'oifname "to-b" masquerade', "}", "}")

    def lose(self, *matches):
        """Packets that match are lost on the way; without `matches` none."""
        self.nft("table inet loss {", "chain way { type filter hook forward priority 0;",
                 *(f"{match} drop" for match in matches), "}", "}")

    # -- names --

    def serve_names(self, records, ttl=1):
        """Starts the DNS server on the router, or gives the one that runs new records:
        {name: [addresses]}."""
        zone = self.lab.directory / "zone.json"
        fresh = zone.with_suffix(".new")
        fresh.write_text(json.dumps({"ttl": ttl, "names": records}))
        fresh.rename(zone)
        if getattr(self, "names", None) is None or self.names.poll() is not None:
            self.names = self.lab.start(*DNS_SERVER, ROUTER[4][0], zone,
                                        self.lab.directory / "queries", namespace=self.router)
            expect(self.names.stdout.readline().strip() == "ready", "the DNS server did not start")

    def queries(self):
        path = self.lab.directory / "queries"
        return path.read_text().splitlines() if path.exists() else []

    def up_with_names(self, site, *arguments, **options):
        """`cipectl up` where the router is the DNS server; the daemon keeps that view."""
        conf = site.directory / "resolv.conf"
        conf.write_text(f"nameserver {ROUTER[4][0]}\n")
        words = [str(w) for w in (labs.BIN / "cipectl", *site.options(), "up", TUNNEL, *arguments)]
        return site.run("sh", "-c", f'mount --bind {conf} /etc/resolv.conf && exec "$@"', "sh",
                        *words, timeout=60, **options)

    # -- checks --

    def wait_status(self, site, status, timeout):
        labs.wait_for(f"{site.name} to show {status}",
                      lambda: site.peer()["status"] == status, timeout)

    def wait_endpoint(self, site, text, timeout):
        try:
            labs.wait_for(f"{site.name} to use {text}",
                          lambda: (site.peer()["endpoint"], site.peer()["status"]) ==
                          (text, "connected"), timeout, 0.2)
        except labs.LabError as error:
            raise labs.LabError(f"{error}; it uses {site.peer()['endpoint']}, "
                                f"{site.peer()['status']}") from error


def endpoint(address, port=PORT):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def make_routed_pair(lab, outer=4):
    """site-a --eth0-- [to-a] router [to-b] --eth0-- site-b"""
    lab.echo("site-a [eth0] ---- [to-a] router [to-b] ---- [eth0] site-b")
    a, b = lab.site("site-a"), lab.site("site-b")
    pair = RoutedPair(lab, a, b, outer, lab.namespace("router"))
    for side, site in (("to-a", a), ("to-b", b)):
        ends = [f"{pair.carrier_address(site, family)}/{length}"
                for family, length in ((4, 24), (6, 64))]
        index = pair.number(site) - 1
        lab.veth((site.namespace, "eth0", ends),
                 (pair.router, side, [f"{ROUTER[4][index]}/24", f"{ROUTER[6][index]}/64"]))
        for family in (4, 6):
            site.run("ip", f"-{family}", "route", "add", "default", "via", ROUTER[family][index])
    for name in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
        lab.run("sysctl", "-qw", f"net.{name}=1", namespace=pair.router)
    return pair
