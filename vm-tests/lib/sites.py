"""Two sites with a tunnel between them, as most cases begin."""

import json

from channel import VmError

CARRIER = {4: "192.0.2.{}", 6: "2001:db8::{}"}
TUNNEL = "office"


class Site:
    """One end: a host, its key, and how the tunnel reaches it."""

    def __init__(self, host, number, endpoint=None, port=6789):
        self.host, self.number, self.port = host, number, port
        self.endpoint = endpoint or f"{CARRIER[4].format(number)}:{port}"
        self.inner4, self.inner6 = f"10.9.0.{number}", f"fd09::{number}"
        self.key = None

    def make_key(self):
        self.host.run("install -d -m 755 /etc/cipe; umask 077; cipectl genkey > /etc/cipe/site.key")
        self.key = self.host.run("cipectl pubkey < /etc/cipe/site.key")

    def tunnel_file(self, peer, interface="", peer_lines="", behind=""):
        """`interface`, `peer_lines`: further lines; `behind`: further prefixes of the peer."""
        allowed = ", ".join(filter(None, (f"{peer.inner4}/32", f"{peer.inner6}/128", behind)))
        return (f"[Interface]\nAddress = {self.inner4}/32, {self.inner6}/128\n"
                f"ListenPort = {self.port}\nPrivateKeyFile = /etc/cipe/site.key\n{interface}"
                f"[Peer]\nName = {peer.host.name}\nEndpoint = {peer.endpoint}\n"
                f"PublicKey = {peer.key}\nAllowedIPs = {allowed}\n{peer_lines}")

    def configure(self, peer, **more):
        self.host.put(f"/etc/cipe/{TUNNEL}.conf", self.tunnel_file(peer, **more), 0o600)

    def ping(self, address, count=3, seconds=20):
        """Until so many answers came in a row."""
        self.host.wait_for(f"ping -n -q -i 0.2 -c {count} -w {count} {address}", seconds,
                           f"{address} answers ping")

    def show(self, what="peers"):
        return json.loads(self.host.run(f"cipectl show {what} -j"))

    def peer(self):
        """What `show peers -j` says of the only peer."""
        found = self.show()["peers"]
        if len(found) != 1:
            raise VmError(f"{self.host.name}: {len(found)} peers")
        return found[0]


def address(host, index, *prefixes):
    """Static addresses on a NIC, until the next boot."""
    host.run(f"ip link set eth{index} up" + "".join(
        f"; ip address add {prefix} dev eth{index}" + (" nodad" if ":" in prefix else "")
        for prefix in prefixes))


def persistent_address(host, index, *prefixes):
    """The same by systemd-networkd, so that they are there after a boot."""
    host.put(f"/etc/systemd/network/eth{index}.network",
             f"[Match]\nName=eth{index}\n[Network]\n" +
             "".join(f"Address={prefix}\n" for prefix in prefixes) +
             "IPv6AcceptRA=no\nLinkLocalAddressing=ipv6\n")
    host.run("systemctl enable -q --now systemd-networkd && networkctl reload")
    host.wait_for(f"ip -br address show dev eth{index} | grep -q {prefixes[0]}", 20)


def expect(condition, text):
    if not condition:
        raise VmError(text)


def pair(lab, state="installed", **hardware):
    """Two sites on one carrier, booted, with addresses; keys and files are not made yet."""
    hosts = [lab.host("site-a", **hardware), lab.host("site-b", **hardware)]
    lab.wire("carrier", *((host, 0) for host in hosts))
    lab.boot(state, taps=hardware.get("queues", 1) > 1)
    sites = [Site(host, number) for number, host in enumerate(hosts, 1)]
    for site in sites:
        address(site.host, 0, f"{CARRIER[4].format(site.number)}/24",
                f"{CARRIER[6].format(site.number)}/64")
    return sites


def configured_pair(lab, interface="", peer_lines="", **hardware):
    a, b = pair(lab, **hardware)
    for site in (a, b):
        site.make_key()
    for site, other in ((a, b), (b, a)):
        site.configure(other, interface=interface, peer_lines=peer_lines)
    return a, b


def up(*sites):
    """As the package is meant to be used; on all of them at once."""
    jobs = [site.host.start(f"systemctl start cipe@{TUNNEL}", 90) for site in sites]
    for job in jobs:
        job.wait()


def ping_both(a, b):
    for site, other in ((a, b), (b, a)):
        site.ping(other.inner4)
        site.ping(other.inner6)
