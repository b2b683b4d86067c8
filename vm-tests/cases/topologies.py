"""The three topologies of docs/howto with real gateways, hosts behind them, and units that bring the
tunnels up. Files are those that the texts show; what these cases add is IPv6 inside."""

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


CASES = {"two-lans": two_lans}
