"""The three topologies of docs/howto with real gateways, hosts behind them, and units that bring the
tunnels up. Files are those that the texts show; what these cases add is IPv6 inside."""

import json
import re
import shlex

from evidence import Tap, exchange, together
from image import ROOT
from sites import expect

HOWTO = ROOT / "docs/howto"


class Example:
    """Hosts of one folder, each a VM: HOST/setup.sh is run there, HOST/NAME.conf is its tunnel, and
    HOST/routes.txt shows commands and what they must print."""

    def __init__(self, folder, *hosts):
        self.folder, self.hosts = HOWTO / folder, {host.name: host for host in hosts}
        self.keys = {}

    def setup(self, host, names, more="true", script="setup.sh"):
        """What host.start is to run: eth0, eth1, ... get these names, the script, and more."""
        text = (self.folder / host.name / script).read_text()
        host.put(f"/root/{script}", text)
        return (host, " && ".join([
            *(f"ip link set eth{index} name {name} up" for index, name in enumerate(names)),
            f"sh -eu /root/{script}", more]))

    def tunnel(self, host):
        return next((self.folder / host.name).glob("*.conf")).stem

    def configure(self, host, address6=None, behind6=None):
        """`address6`: a further Address; `behind6`: {name of a peer: its further AllowedIPs}."""
        name = self.tunnel(host)
        text = (self.folder / host.name / f"{name}.conf").read_text()
        if address6:
            text = text.replace("[Interface]\n", f"[Interface]\nAddress = {address6}\n")
        for peer, prefixes in (behind6 or {}).items():
            added = text.replace(f"Name = {peer}\n", f"Name = {peer}\nAllowedIPs = {prefixes}\n")
            expect(added != text, f"{host.name}: no peer {peer} in {name}.conf")
            text = added
        for key in re.findall(r"SharedKeyFile = (\S+)", text):
            if key not in self.keys:
                self.keys[key] = host.run("cipectl genpsk")
            host.put(f"/etc/cipe/{key}", self.keys[key] + "\n", 0o600)
        host.put(f"/etc/cipe/{name}.conf", text)

    def up(self, *hosts):
        """As the package is meant to be used."""
        together([(host, f"systemctl enable -q --now cipe@{self.tunnel(host)}") for host in hosts],
                 100)

    def expect_routes(self, host):
        """Every command of routes.txt prints what stands below it, but for white space."""
        wanted = {}
        for line in (self.folder / host.name / "routes.txt").read_text().splitlines():
            if line.startswith("# "):
                wanted[line[2:]] = lines = []
            else:
                lines.append(" ".join(line.split()))
        for command, lines in wanted.items():
            got = [" ".join(line.split()) for line in host.run(command).splitlines()]
            expect(got == lines, f"{host.name}: `{command}` prints {got}, the text says {lines}")


def wait_ping(host, *addresses):
    for address in addresses:
        host.wait_for(f"ping -n -q -c 1 -W 1 {address} > /dev/null", 40, f"{address} answers ping")


def expect_reject(host, address):
    code, said = host.code(f"ip route get {shlex.quote(address)}")
    expect(code != 0, f"{host.name}: with ciped stopped, {address} goes {said}")


def stop_ciped(host):
    host.run("systemctl stop ciped.socket ciped.service", 100)


def add6(device, prefix, gateway=None):
    return (f"ip address add {prefix} dev {device} nodad" +
            (f" && ip route add default via {gateway}" if gateway else ""))


FORWARD6 = "sysctl -qw net.ipv6.conf.all.forwarding=1"


def two_lans(lab):
    """Two gateways, a LAN behind each."""
    gateway_a, gateway_b = lab.host("gateway-a"), lab.host("gateway-b")
    host_a, host_b = lab.host("host-a"), lab.host("host-b")
    lab.wire("lan-a", (host_a, 0), (gateway_a, 1))
    lab.wire("internet", (gateway_a, 0), (gateway_b, 0))
    lab.wire("lan-b", (gateway_b, 1), (host_b, 0))
    lab.boot()
    example = Example("2-two-lans", gateway_a, gateway_b, host_a, host_b)
    together([step for number, gateway, host in ((1, gateway_a, host_a), (2, gateway_b, host_b))
              for step in (
                  example.setup(gateway, ("if0", "eth0"),
                                add6("eth0", f"fd00:{number}::1/64") + " && " + FORWARD6),
                  example.setup(host, ("eth0",),
                                add6("eth0", f"fd00:{number}::2/64", f"fd00:{number}::1")))])
    for number, gateway, other in ((1, gateway_a, gateway_b), (2, gateway_b, gateway_a)):
        example.configure(gateway, f"fd09::{number}/128",
                          {other.name: f"fd09::{3 - number}/128, fd00:{3 - number}::/64"})
    a, b = (host_a, ("10.0.1.2", "fd00:1::2")), (host_b, ("10.0.2.2", "fd00:2::2"))
    with Tap(lab, "internet") as internet, Tap(lab, "lan-b") as behind:
        example.up(gateway_a, gateway_b)
        wait_ping(host_a, *b[1])
        exchange(a, b)
        wait_ping(gateway_a, *b[1])
    internet.expect_sealed(least=1000)
    expect(behind.marked() >= 40, f"the marker is in {behind.marked()} frames of lan-b only: a "
                                  "capture that finds none elsewhere shows nothing")
    for gateway in (gateway_a, gateway_b):
        example.expect_routes(gateway)
    with Tap(lab, "internet") as internet:
        stop_ciped(gateway_a)
        for address in b[1]:
            expect_reject(gateway_a, address)
            code, said = host_a.code(f"ping -n -c 1 -W 2 {address}")
            expect(code != 0, f"with ciped stopped {address} was reached: {said}")
        gateway_a.run("systemctl start ciped.socket ciped.service", 100)
        wait_ping(host_a, *b[1])
    internet.expect_sealed()


A_OUTSIDE = "525400c10101"  # the first host's eth1 (Machine.macs)


def local_ethernet(lab, folder):
    """Everything on one cable encrypted, through host A or from each to each."""
    a, b, c = (lab.host(f"host-{letter}") for letter in "abc")
    firewall = lab.host("firewall")
    lab.wire("ethernet", (a, 0), (b, 0), (c, 0))
    lab.wire("outside", (a, 1), (firewall, 0))
    lab.boot()
    example = Example(f"1-local-ethernet/{folder}", a, b, c)
    outside = ("198.51.100.1", "2001:db8:f::1")
    together([
        example.setup(a, ("eth0", "eth1"), add6("eth1", "2001:db8:f::2/64", "2001:db8:f::1") +
                      " && " + FORWARD6),
        example.setup(b, ("eth0",)), example.setup(c, ("eth0",)),
        (firewall, "ip link set eth0 up && ip address add 198.51.100.1/32 dev eth0 && "
                   "ip route add 198.51.100.2 dev eth0 && "
                   "ip route add 200.0.0.0/24 via 198.51.100.2 && "
                   "ip address add 2001:db8:f::1/64 dev eth0 nodad && "
                   "ip route add 2001:db8:200::/64 via 2001:db8:f::2")])
    inner = {host: (f"200.0.0.{number}", f"2001:db8:200::{number}")
             for number, host in enumerate((a, b, c), 1)}
    example.configure(a, f"{inner[a][1]}/64",
                      {host.name: f"{inner[host][1]}/128" for host in (b, c)})
    for host, other in ((b, c), (c, b)):
        behind = {a.name: f"{inner[a][1]}/128, ::/0"}
        if folder == "mesh":
            behind[other.name] = f"{inner[other][1]}/128"
        example.configure(host, f"{inner[host][1]}/128", behind)
    with Tap(lab, "ethernet") as cable, Tap(lab, "outside") as behind:
        example.up(a, b, c)
        wait_ping(b, *outside, *inner[c])
        wait_ping(c, *outside, *inner[b])
        through_a = carried(a)
        exchange((b, inner[b]), (c, inner[c]))
        through_a = carried(a) - through_a
        exchange((b, inner[b]), (firewall, outside))
    cable.expect_sealed(least=1000)
    expect(behind.marked() >= 40, f"the marker is in {behind.marked()} frames of the LAN outside")
    # 4 MB of it went between B and C.
    expect((through_a > 4_000_000) == (folder == "gateway") and
           (through_a < 100_000) == (folder == "mesh"), f"{folder}: {through_a} octets went through A")
    for host in (a, b, c):
        example.expect_routes(host)
    # The bracketed route: nothing for the private network goes to the firewall in the clear.
    with Tap(lab, "outside") as behind:
        stop_ciped(a)
        for address in (*inner[b], "200.0.0.77", "2001:db8:200::77"):
            expect_reject(a, address)
            a.code(f"ping -n -c 1 -W 1 {address}")
        a.run("systemctl start ciped.socket ciped.service", 100)
        wait_ping(b, *outside)
    from_a = [frame for frame in behind.frames() if frame[6:12] == bytes.fromhex(A_OUTSIDE)]
    clear = [frame for frame in from_a if frame[30:33] == bytes((200, 0, 0)) or
             frame[38:44] == bytes.fromhex("20010db80200")]
    expect(from_a and not clear, f"{len(clear)} of {len(from_a)} packets that A sent to the firewall "
                                 "are for the private network")


def carried(host):
    """Octets that came to this gateway through its tunnels."""
    return sum(peer["rx_bytes"] for peer in json.loads(host.run("cipectl show peers -j"))["peers"])


def mobile_host(lab):
    """A laptop behind a cafe's NAT and then a hotel's; everything through the tunnel."""
    laptop, gateway, home = lab.host("laptop"), lab.host("gateway"), lab.host("home-host")
    world = lab.host("world")  # the routers of cafe and hotel, and the internet behind them
    lab.wire("cafe", (laptop, 0), (world, 1))
    lab.wire("hotel", (world, 2))
    lab.wire("internet", (world, 0), (gateway, 0))
    lab.wire("lan", (gateway, 1), (home, 0))
    lab.boot()
    example = Example("3-mobile-host", laptop, gateway)
    world.put("/root/nat.nft", NAT)
    together([
        example.setup(gateway, ("if0", "eth0")),
        example.setup(laptop, ("wlan0",), script="cafe.sh"),
        (home, "ip link set eth0 up && ip address add 10.0.1.2/24 dev eth0 && "
               "ip route add default via 10.0.1.1 && " + add6("eth0", "fd00:1::2/64", "fd00:1::1")),
        (world, "for nic in eth0 eth1 eth2; do ip link set $nic up; done; "
                "for last in 254 7 8; do ip address add 203.0.113.$last/24 dev eth0; done; "
                "ip address add 192.168.1.1/24 dev eth1 && ip address add 172.16.5.1/24 dev eth2 && "
                "ip address add 198.51.100.7/32 dev lo && sysctl -qw net.ipv4.ip_forward=1 && "
                "nft -f /root/nat.nft")])
    example.configure(gateway)
    example.configure(laptop)
    at_home, on_the_road = ("10.0.1.2", "fd00:1::2"), ("10.9.0.2", "fd09::2")
    with Tap(lab, "cafe") as cafe, Tap(lab, "internet") as internet, Tap(lab, "lan") as lan:
        example.up(gateway, laptop)
        wait_ping(laptop, *at_home)
        exchange((laptop, on_the_road), (home, at_home))
    for tap in (cafe, internet):
        tap.expect_sealed(least=1000)
    expect(lan.marked() >= 40, f"the marker is in {lan.marked()} frames of the LAN at home")
    for host in (gateway, laptop):
        example.expect_routes(host)
    handshake = only_peer(laptop)["latest_handshake"]
    # Come and go: another network, another address, another NAT; the session stays.
    for lan, script, outside in (("hotel", "hotel.sh", "203.0.113.8"),
                                 ("cafe", "cafe.sh", "203.0.113.7")):
        with Tap(lab, lan) as air:
            laptop.carry(0, lan)
            _, command = example.setup(laptop, (), script=script)
            laptop.run(command)
            wait_ping(laptop, *at_home, "198.51.100.7")
            wait_ping(home, *on_the_road)  # the gateway has learned where it is
        air.expect_sealed()
        endpoint = only_peer(gateway)["endpoint"]
        expect(endpoint.startswith(outside + ":"), f"in the {lan}, the gateway sends to {endpoint}")
    now = only_peer(laptop)["latest_handshake"]
    expect(now == handshake, f"a new handshake for a new network: {handshake}, {now}")
    laptop.run("systemctl disable -q --now cipe@office", 60)
    left = laptop.run("ip rule; ip -6 rule; ip route show table all; ip -br link")
    expect("205" not in left and "office" not in left, f"laptop: down leaves {left}")


def only_peer(host):
    peer, = json.loads(host.run("cipectl show peers -j"))["peers"]
    return peer


NAT = """table ip nat {
  chain out {
    type nat hook postrouting priority srcnat;
    oifname eth0 ip saddr 192.168.1.0/24 snat to 203.0.113.7
    oifname eth0 ip saddr 172.16.5.0/24 snat to 203.0.113.8
  }
}
"""

CASES = {
    "local-ethernet-gateway": lambda lab: local_ethernet(lab, "gateway"),
    "local-ethernet-mesh": lambda lab: local_ethernet(lab, "mesh"),
    "two-lans": two_lans, "mobile-host": mobile_host,
}
