"""Two sites with a router between them, whose way to site-b may be narrow, and may say so or not."""

from sites import Pair

TO_B = {4: "198.51.100.2", 6: "2001:db8:2::2"}


class Routed(Pair):
    """`router` is set by make_routed."""

    router = None

    def carrier_address(self, site):
        return (f"198.51.100.{self.number(site)}" if self.outer == 4 and site is self.b
                else f"2001:db8:2::{self.number(site)}" if site is self.b
                else super().carrier_address(site))

    def narrow(self, mtu):
        """From now on the router takes no more than `mtu` octets to b; None: as its wire does."""
        # Not the device's MTU: that would lose what b sends without a word to it.
        for family, address in TO_B.items():
            words = ["ip", f"-{family}", "route"]
            if mtu is None:
                self.lab.run(*words, "delete", address, namespace=self.router, check={0, 2})
            else:
                self.lab.run(*words, "replace", address, "dev", "to-b", "mtu", "lock", mtu,
                             namespace=self.router)

    def silence(self):
        """The router's ICMP errors are lost."""
        self.lab.run("nft", "-f", "-", namespace=self.router, stdin="""table inet silent {
            chain output {
                type filter hook output priority 0
                icmp type destination-unreachable counter drop
                icmpv6 type packet-too-big counter drop
            }
        }
        """)


def make_routed(lab, outer, mtu=1400):
    lab.echo(f"site-a [eth0] ---- [to-a] router [to-b] ---- [eth0] site-b; to b: MTU {mtu or 1500}")
    a, b, router = lab.site("site-a"), lab.site("site-b"), lab.namespace("router")
    pair = Routed(lab, a, b, outer)
    pair.router = router
    for site, device, net4, net6 in ((a, "to-a", "192.0.2", "2001:db8:1"),
                                     (b, "to-b", "198.51.100", "2001:db8:2")):
        number = pair.number(site)
        lab.veth((site.namespace, "eth0", [f"{net4}.{number}/24", f"{net6}::{number}/64"]),
                 (router, device, [f"{net4}.254/24", f"{net6}::ffff/64"]))
        site.run("ip", "route", "add", "default", "via", f"{net4}.254")
        site.run("ip", "-6", "route", "add", "default", "via", f"{net6}::ffff")
    for name in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
        lab.run("sysctl", "-qw", name, namespace=router)
    if mtu is not None:
        pair.narrow(mtu)
    return pair
