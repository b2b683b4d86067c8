"""The topologies of docs/howto, run from the files shown there."""

import re
import shlex

import lab as labs
import measure
from sites import expect

HOWTO = labs.ROOT / "docs/howto"


class Example:
    """Hosts of one folder: HOST/setup.sh is run there, HOST/NAME.conf is its tunnel, and
    HOST/routes.txt shows commands and what they must print."""

    def __init__(self, lab, folder, hosts):
        self.lab, self.folder = lab, HOWTO / folder
        self.sites = {host: lab.site(host) for host in hosts}
        self.keys = {}

    def __getitem__(self, host):
        return self.sites[host]

    def script(self, host, name="setup.sh"):
        text = (self.folder / host / name).read_text()
        self.sites[host].run("sh", "-eu", "-c", text)

    def tunnel(self, host):
        return next((self.folder / host).glob("*.conf")).stem

    def configure(self, host):
        site, name = self.sites[host], self.tunnel(host)
        text = (self.folder / host / f"{name}.conf").read_text()
        site.write(f"{name}.conf", text)
        for key in re.findall(r"SharedKeyFile = (\S+)", text):
            if key not in self.keys:
                self.keys[key] = site.cipectl("genpsk").stdout
            site.write(key, self.keys[key])

    def up(self, *hosts):
        for host in hosts:
            self.configure(host)
            self.sites[host].up(self.tunnel(host), "--no-wait")

    def expect_routes(self, host):
        """Every command of routes.txt prints what stands below it, but for white space."""
        wanted = {}
        for line in (self.folder / host / "routes.txt").read_text().splitlines():
            if line.startswith("# "):
                wanted[line[2:]] = lines = []
            else:
                lines.append(" ".join(line.split()))
        for command, lines in wanted.items():
            shown = self.sites[host].run(*shlex.split(command)).stdout
            got = [" ".join(line.split()) for line in shown.splitlines()]
            expect(got == lines, f"{host}: `{command}` prints {got}, the text says {lines}")

    def down(self, *hosts):
        for host in hosts:
            site, name = self.sites[host], self.tunnel(host)
            site.down(name)
            expect(not site.leftovers([name]), f"{host}: left {site.leftovers([name])}")
            for family in ("-4", "-6"):
                rules = site.run("ip", family, "rule", echo=False).stdout
                expect("proto 205" not in rules, f"{host}: rules are left: {rules}")


def switch(lab, ports):
    """A bridge in a namespace of its own; {site: device}."""
    namespace = lab.namespace("switch")
    lab.run("ip", "-n", namespace, "link", "add", "br0", "type", "bridge")
    lab.run("ip", "-n", namespace, "link", "set", "br0", "up")
    for number, (site, device) in enumerate(ports.items()):
        lab.veth((site, device, []), (namespace, f"p{number}", []))
        lab.run("ip", "-n", namespace, "link", "set", f"p{number}", "master", "br0")
    return namespace


def wait_ping(lab, site, address, timeout=20):
    labs.wait_for(f"{site.name} to reach {address}",
                  lambda: labs.ping(site, address, count=1, check=False), timeout)
    labs.ping(site, address)


def sealed(lab, site, device, start, port=6789):
    """Runs start() and fails when a packet on the device is no UDP of the tunnel's port."""
    capture = site.start("tcpdump", "-nli", device, "-c", "1", "--immediate-mode", "ip", "and",
                         "not", "udp", "port", str(port), echo=False)
    labs.wait_for("tcpdump", lambda: "listening" in (capture.stdout.readline() or "listening"))
    start()
    capture.terminate()
    seen = capture.communicate(timeout=5)[0]
    expect(" IP " not in seen, f"in the clear on {device}: {seen}")


def local_ethernet(lab, folder):
    example = Example(lab, f"1-local-ethernet/{folder}", ["host-a", "host-b", "host-c"])
    switch(lab, {site.namespace: "eth0" for site in example.sites.values()})
    firewall = lab.site("firewall")
    lab.veth((example["host-a"].namespace, "eth1", []), (firewall.namespace, "eth0", []))
    firewall.run("ip", "address", "add", "198.51.100.1/32", "dev", "eth0")
    firewall.run("ip", "route", "add", "198.51.100.2", "dev", "eth0")
    firewall.run("ip", "route", "add", "200.0.0.0/24", "via", "198.51.100.2", "dev", "eth0")
    for host in example.sites:
        example.script(host)
    example.up("host-a", "host-b", "host-c")
    for host in ("host-b", "host-c"):
        wait_ping(lab, example[host], "200.0.0.1")
        wait_ping(lab, example[host], "198.51.100.1")  # the firewall, and all behind it
    b, c = example["host-b"], example["host-c"]

    def each_other():
        wait_ping(lab, b, "200.0.0.3")
        wait_ping(lab, c, "200.0.0.2")

    each_other()
    sealed(lab, b, "eth0", each_other)
    through_a = {peer["name"]: peer["rx_packets"] for peer in example["host-a"].peers()}
    labs.ping(b, "200.0.0.3")
    grew = any(peer["rx_packets"] - through_a[peer["name"]] >= 3
               for peer in example["host-a"].peers())
    expect(grew == (folder == "gateway"), f"{folder}: the gateway saw {grew}")
    for host in example.sites:
        example.expect_routes(host)
    # The bracketed route: nobody has this address, and nothing for it goes to the firewall.
    result = example["host-a"].run("ip", "route", "get", "200.0.0.77", check=None)
    expect("dev lan" in result.stdout, f"200.0.0.77: {result.stdout}")
    example["host-a"].stop_daemon()
    for address in ("200.0.0.2", "200.0.0.77"):
        result = example["host-a"].run("ip", "route", "get", address, check=None)
        expect(result.returncode != 0, f"with ciped stopped, {address}: {result.stdout}")
    example["host-a"].up("lan", "--no-wait")
    wait_ping(lab, b, "198.51.100.1")
    example.down("host-b", "host-c", "host-a")


def two_lans(lab):
    example = Example(lab, "2-two-lans", ["gateway-a", "gateway-b", "host-a", "host-b"])
    lab.veth((example["gateway-a"].namespace, "if0", []),
             (example["gateway-b"].namespace, "if0", []))
    for side in "ab":
        lab.veth((example[f"gateway-{side}"].namespace, "eth0", []),
                 (example[f"host-{side}"].namespace, "eth0", []))
    for host in example.sites:
        example.script(host)
    example.up("gateway-a", "gateway-b")
    a, b = example["host-a"], example["host-b"]

    def each_other():
        wait_ping(lab, a, "10.0.2.2")
        wait_ping(lab, b, "10.0.1.2")

    each_other()
    sealed(lab, example["gateway-a"], "if0", each_other)
    wait_ping(lab, example["gateway-a"], "10.0.2.2")
    for host in ("gateway-a", "gateway-b"):
        example.expect_routes(host)
    # A host behind one gateway to one behind the other, at full segment size.
    measure.iperf_tcp(a, b, "10.0.2.2", seconds=2)
    # Nothing leaves in the clear while ciped does not run.
    example["gateway-a"].stop_daemon()
    expect(not labs.ping(a, "10.0.2.2", count=1, check=False), "who carried it?")
    result = example["gateway-a"].run("ip", "route", "get", "10.0.2.2", check=None)
    expect(result.returncode != 0, f"10.0.2.2 is reached by {result.stdout}")
    example["gateway-a"].up("office-b", "--no-wait")
    each_other()
    example.down("gateway-a", "gateway-b")


def nat_router(lab, internet, name, outside, inside):
    """A wireless router: [wlan] inside, masquerading, [wan] on the internet bridge."""
    router = lab.site(name)
    lab.veth((router.namespace, "wan", [f"{outside}/24"]), (internet, f"to-{name}", []))
    lab.run("ip", "-n", internet, "link", "set", f"to-{name}", "master", "br0")
    router.run("ip", "route", "add", "default", "via", "203.0.113.254")
    router.run("sysctl", "-w", "net.ipv4.ip_forward=1")
    router.run("nft", "add", "table", "ip", "nat")
    router.run("nft", "add chain ip nat out { type nat hook postrouting priority srcnat; }")
    router.run("nft", "add rule ip nat out oifname wan masquerade")
    return router, f"{inside}/24"


def enter(lab, laptop, router, inside, script, example):
    """The laptop's wireless comes into reach of this router."""
    lab.veth((laptop.namespace, "wlan0", []), (router.namespace, "wlan", [inside]))
    example.script("laptop", script)


def mobile_host(lab):
    example = Example(lab, "3-mobile-host", ["gateway", "laptop"])
    gateway, laptop = example["gateway"], example["laptop"]
    home = lab.site("home-host")
    internet = switch(lab, {gateway.namespace: "if0"})
    lab.run("ip", "-n", internet, "address", "add", "203.0.113.254/24", "dev", "br0")
    lab.run("ip", "-n", internet, "address", "add", "198.51.100.7/32", "dev", "lo")
    lab.veth((gateway.namespace, "eth0", []), (home.namespace, "eth0", ["10.0.1.2/24"]))
    home.run("ip", "route", "add", "default", "via", "10.0.1.1")
    example.script("gateway")
    cafe = nat_router(lab, internet, "cafe", "203.0.113.7", "192.168.1.1")
    hotel = nat_router(lab, internet, "hotel", "203.0.113.8", "172.16.5.1")
    example.up("gateway")
    example.expect_routes("gateway")
    enter(lab, laptop, *cafe, "cafe.sh", example)
    example.configure("laptop")
    laptop.up("office")
    wait_ping(lab, laptop, "10.0.1.2")
    wait_ping(lab, laptop, "198.51.100.7")  # the internet, by way of the gateway
    wait_ping(lab, laptop, "fd00:1::1")
    example.expect_routes("laptop")
    sealed(lab, laptop, "wlan0", lambda: labs.ping(laptop, "198.51.100.7"))
    handshake = laptop.peer()["latest_handshake"]
    # Come and go: another network, another address, another NAT; the tunnel stays up.
    for router, script in ((hotel, "hotel.sh"), (cafe, "cafe.sh"), (hotel, "hotel.sh")):
        laptop.run("ip", "link", "delete", "wlan0")
        expect(not labs.ping(laptop, "10.0.1.2", count=1, check=False), "reached without a network")
        enter(lab, laptop, *router, script, example)
        wait_ping(lab, laptop, "10.0.1.2")
        wait_ping(lab, home, "10.9.0.2")  # the gateway has learned where it is
        endpoint = gateway.peer()["endpoint"]
        outside = "203.0.113.8" if router is hotel else "203.0.113.7"
        expect(endpoint.startswith(outside + ":"), f"the gateway sends to {endpoint}")
    expect(laptop.peer()["latest_handshake"] == handshake, "a new session for each network")
    for _ in range(3):
        laptop.down("office")
        laptop.up("office")
        wait_ping(lab, laptop, "10.0.1.2")
    example.down("laptop", "gateway")


def shown(lab):
    """The texts show the files that are run, and no others."""
    for text in sorted(HOWTO.glob("*/README.md")):
        content = text.read_text()
        blocks = dict(re.findall(r"^`([^`\n]+)`:\n\n```\w*\n(.*?)```$", content, re.M | re.S))
        files = {str(path.relative_to(text.parent)): path.read_text()
                 for path in text.parent.rglob("*") if path.is_file() and path != text}
        expect(files, f"{text}: no files")
        for name in files.keys() | blocks.keys():
            expect(files.get(name) == blocks.get(name), f"{text}: {name} differs from the file")


CASES = {
    "shown": shown,
    "local-ethernet-gateway": lambda lab: local_ethernet(lab, "gateway"),
    "local-ethernet-mesh": lambda lab: local_ethernet(lab, "mesh"),
    "two-lans": two_lans, "mobile-host": mobile_host,
}
