"""The HOWTO of 1999, typed: its test section, then each of its options."""

import functools
import json
import re
import time

import lab as labs
import measure
from classic_hosts import program_of, start_model, two_hosts
from side_by_side import Alone
from sites import Skip, drops, expect

MODPROBE_FILES = "*/*modprobe*"
PINGS = re.compile(r"(\d+) packets transmitted, (\d+) received")


def load_modules(pair, letter):
    """`modprobe cipcb` with the package's modprobe.d file, where both are to be had."""
    files = [path for path in labs.ROOT.glob(MODPROBE_FILES) if path.is_file()]
    files += [path for path in labs.ROOT.glob("*/modprobe.d/*.conf")]
    for host in pair.both:
        if not files or host.run("sh", "-c", "command -v modprobe", check=False,
                                 echo=False).returncode != 0:
            pair.lab.echo("  # no modprobe here, or no modprobe.d file: left out")
            return
        host.run("mkdir", "-p", "/etc/modprobe.d", echo=False)
        host.run("cp", files[0], "/etc/modprobe.d/cipe.conf", echo=False)
        host.type(f"modprobe cipc{letter}")


def test_section(lab, letter):
    """Key, modules, two commands, two pings; what is then to be seen; and the end."""
    pair = two_hosts(lab)
    pair.key()
    load_modules(pair, letter)
    pair.commands(letter)
    pair.pings()
    device = f"cipc{letter}0"
    for host, own, other in ((pair.a, "10.0.1.1", "10.0.1.2"), (pair.b, "10.0.1.2", "10.0.1.1")):
        expect(host.devices() == [device], f"{host.name} has {host.devices()}")
        link, addresses = host.link(device)
        expect(link["mtu"] == 1442 and "UP" in link["flags"], f"{device}: {link}")
        expect("POINTOPOINT" in link["flags"], f"{device} is no point-to-point netdev: {link}")
        expect([(one["local"], one.get("address", other)) for one in addresses] == [(own, other)],
               f"{device} has {addresses}")
        route = json.loads(host.run("ip", "-j", "route", "get", other, echo=False).stdout)[0]
        expect(route["dev"] == device, f"the route to {other} is {route}")
        says_insecure(host, device)
        secret_stays(host)
    pair.down()


def says_insecure(host, device):
    tunnel = host.tunnel(device)
    expect(tunnel["protocol"] == 3, f"{device} is said to be of protocol {tunnel['protocol']}")
    for words in (("show",), ("show", "tunnels")):
        shown = host.cipectl(*words, echo=False).stdout
        expect(device in shown and "insecure" in shown.lower(), f"{words} is silent: {shown}")
        expect(re.search(r"protocol(\s*=)?\s*5|convert", shown, re.I), f"no way out in: {shown}")
    expect("insecure" in host.log.lower(), f"the log does not say insecure: {host.log}")


def secret_stays(host):
    """The key is in no rendering, no log line, no command line."""
    key = re.search(r"key\s+(\w+)", (host.config / "options").read_text()).group(1)
    shown = "".join(host.cipectl(*words, echo=False).stdout for words in (
        ("show",), ("-j", "show"), ("-j", "show", "peers"), ("-j", "show", "sessions")))
    shown += host.log + host.run("ps", "-eww", "-o", "args", echo=False).stdout
    expect(key.lower() not in shown.lower(), f"{host.name} shows its key")


def start_pings(pair, count, interval):
    """`count` pings both ways at once, in the background."""
    return [host.start("ping", "-n", "-q", "-c", count, "-i", interval, "-W", 3, address)
            for host, address in ((pair.a, "10.0.1.2"), (pair.b, "10.0.1.1"))]


def expect_all_answered(pings, count):
    for process in pings:
        output = process.communicate(timeout=60)[0]
        found = PINGS.search(output)
        expect(found and found.group(1) == found.group(2) == str(count), f"pings lost: {output}")


def rekey(lab, letter):
    """Keys of three seconds under traffic both ways: new ones come, and not a packet is lost."""
    pair = two_hosts(lab)
    pair.key("tokey 3\ntokxc 1\n")
    pair.commands(letter)
    pair.pings()
    pings = start_pings(pair, 1200, 0.01)
    moments = {host.name: set() for host in pair.both}
    _, lost = measure.udp_run(pair.a, pair.b, "10.0.1.2", 500, 5)
    expect(lost == 0, f"{lost:.2%} of the datagrams lost while keys changed")
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        for host in pair.both:
            moments[host.name].add(host.peer()["latest_handshake"])
        time.sleep(0.3)
    expect_all_answered(pings, 1200)
    for name, seen in moments.items():
        expect(len(seen) >= 3, f"{name}: keys were not renewed: {sorted(map(str, seen))}")
    pair.down()


def roaming(lab):
    """B's carrier address changes under a running tunnel."""
    pair = two_hosts(lab)
    pair.key("tokxc 1\n")
    pair.commands(b="dynip")
    pair.pings()
    expect(pair.a.peer()["endpoint"] == "10.0.0.2:6543", f"endpoint: {pair.a.peer()}")
    pair.b.run("ip", "address", "add", "10.0.0.3/24", "dev", "eth0")
    pair.b.run("ip", "address", "del", "10.0.0.2/24", "dev", "eth0")
    pair.b.run("ip", "address", "replace", "10.0.0.3/24", "dev", "eth0")  # a secondary goes along
    labs.ping(pair.b, "10.0.1.1")
    expect(pair.a.peer()["endpoint"] == "10.0.0.3:6543", f"endpoint: {pair.a.peer()}")
    pair.pings()
    pair.down()


def any_peer(lab):
    """peer=0.0.0.0:0 and ptpaddr=0.0.0.0 at A, `me` left out at B: all learned, all reported."""
    pair = two_hosts(lab)
    pair.key("tokxc 1\n")
    for host in pair.both:
        host.script("ip-up")
    pair.a.type("ciped-cb me=10.0.0.1:6789 peer=0.0.0.0:0 ipaddr=10.0.1.1 ptpaddr=0.0.0.0")
    pair.b.type("ciped-cb peer=10.0.0.1:6789 ptpaddr=10.0.1.1 ipaddr=10.0.1.2")
    # The packet from which A learns the address comes before the route for its answer.
    labs.wait_for("an answer of A", lambda: pair.b.run(
        "ping", "-n", "-c", 1, "-W", 1, "10.0.1.1", check=False).returncode == 0)
    arguments, _ = pair.b.wait_call("ip-up")
    port = re.fullmatch(r"10\.0\.0\.2:(\d+)", arguments[1])
    expect(port and int(port.group(1)) > 0, f"B's ip-up was told {arguments}")
    expect(pair.a.peer()["endpoint"] == arguments[1],
           f"A knows {pair.a.peer()['endpoint']}, B's ip-up was told {arguments[1]}")
    labs.wait_for("A's route to the address it learned", lambda: '"cipcb0"' in pair.a.run(
        "ip", "-j", "route", "get", "10.0.1.2", check=False, echo=False).stdout)
    pair.pings()
    pair.down()


def scripts(lab):
    """ip-up and ip-down: six arguments, the environment, nothing waits for them, output in the log."""
    pair = two_hosts(lab)
    pair.key("tokxc 1\narg office\n")
    for host in pair.both:
        host.script("ip-up", "echo hello from $1; sleep 6")
        host.script("ip-down")
    pair.commands()
    pair.pings()
    expect(not pair.a.calls("ip-up"), "the tunnel waited for ip-up")
    for host, own, other, inner, far in (
            (pair.a, "10.0.0.1:6789", "10.0.0.2:6543", "10.0.1.1", "10.0.1.2"),
            (pair.b, "10.0.0.2:6543", "10.0.0.1:6789", "10.0.1.2", "10.0.1.1")):
        broker, _ = host.daemons()
        wanted = ["cipcb0", own, str(broker), inner, far, "office"]
        arguments, environment = host.wait_call("ip-up", timeout=15)
        expect(arguments == wanted, f"ip-up got {arguments}, not {wanted}")
        expect(program_of(broker) == "ciped", f"process {broker} is no ciped")
        expect(environment.get("CIPE_PEER") == other, f"CIPE_PEER: {environment}")
        secret = re.search(r"key\s+(\w+)", (host.config / "options").read_text()).group(1)
        expect(secret not in str(environment), f"the key is in: {sorted(environment)}")
        labs.wait_for("ip-up's output in the log", lambda h=host: "hello from cipcb0" in h.log)
        host.down("cipcb0")
        labs.wait_for("the netdev to go", lambda h=host: not h.devices())
        arguments, _ = host.wait_call("ip-down")
        expect(arguments == wanted, f"ip-down got {arguments}, not {wanted}")
        expect(len(host.calls("ip-up")) == len(host.calls("ip-down")) == 1, "called twice")
    pair.down()


def other_scripts(lab):
    """ipup= and ipdown= name others; a missing or failing script does not end the tunnel."""
    pair = two_hosts(lab)
    pair.key("tokxc 1\n")
    pair.a.script("up-here")
    pair.a.write("down-here", "#!/bin/sh\nexit 7\n", 0o755)
    pair.commands(a="ipup=/etc/cipe/up-here ipdown=/etc/cipe/down-here",
                  b="ipup=/etc/cipe/none ipdown=/etc/cipe/none")
    pair.pings()
    arguments, _ = pair.a.wait_call("up-here")
    expect(arguments[5:] in ([""], []), f"arg was not given, but ip-up got {arguments}")
    pair.down()
    labs.wait_for("a line about the failed script", lambda: "down-here" in pair.a.log)


def cleartext(lab):
    """nokey: works, and is shouted about."""
    pair = two_hosts(lab)
    pair.commands(a="nokey", b="nokey")
    pair.pings()
    for host in pair.both:
        shown = host.cipectl("show", echo=False).stdout
        for place, text in (("show", shown), ("log", host.log)):
            expect(re.search(r"no encryption|not encrypted|unencrypted|clear ?text|nokey", text, re.I),
                   f"{host.name}: {place} does not say that nothing is encrypted: {text}")
    pair.down()


def cleartext_refused(lab):
    """A sealed end takes no clear packet, whatever the other end was told."""
    pair = two_hosts(lab)
    pair.a.write("options", "key 101112131415161718191a1b1c1d1e1f\ntokxc 1\n")
    pair.commands(b="nokey")
    expect(not labs.ping(pair.b, "10.0.1.1", count=2, check=False), "a clear packet was answered")
    expect(pair.a.peer()["rx_packets"] == 0, f"A took clear packets: {pair.a.peer()}")
    expect(drops(pair.a), "A counted no drop")
    pair.down()


def no_answer(lab, maxerr, ends):
    """ICMP errors beyond maxerr end the tunnel with ip-down; -1 takes any number of them."""
    pair = two_hosts(lab)
    pair.a.write("options", "key 101112131415161718191a1b1c1d1e1f\ntokxc 1\n")
    pair.a.script("ip-up"), pair.a.script("ip-down")
    pair.a.type("ciped-cb me=10.0.0.1:6789 peer=10.0.0.2:6543 ipaddr=10.0.1.1 ptpaddr=10.0.1.2 "
                f"maxerr={maxerr}")
    pair.a.wait_call("ip-up")
    if ends:
        pair.a.wait_call("ip-down", timeout=20)
        labs.wait_for("the netdev to go", lambda: not pair.a.devices())
        labs.wait_for("a line that says why", lambda: "maxerr" in pair.a.log)
    else:
        time.sleep(8)
        expect(pair.a.devices() == ["cipcb0"] and not pair.a.calls("ip-down"),
               f"it ended although maxerr is -1: {pair.a.log}")
        pair.b.write("options", (pair.a.config / "options").read_text())
        pair.b.type("ciped-cb peer=10.0.0.1:6789 me=10.0.0.2:6543 ptpaddr=10.0.1.1 "
                    "ipaddr=10.0.1.2")
        pair.pings()
    pair.down()


def pong_missing(lab):
    """ping and toping: pings are answered, and misses beyond maxerr end the tunnel."""
    pair = two_hosts(lab)
    model = start_model(pair.b)
    pair.a.write("options", "key 101112131415161718191a1b1c1d1e1f\ntokxc 1\n")
    pair.a.script("ip-down")
    pair.a.type("ciped-cb me=10.0.0.1:6789 peer=10.0.0.2:6543 ipaddr=10.0.1.1 ptpaddr=10.0.1.2 "
                "ping=1 toping=1 maxerr=2")
    model.wait_event("in CT_PING", 5, 15)
    expect(pair.a.devices() == ["cipcb0"], "it ended although every ping was answered")
    model.do("lose", way="in", kind="CT_PING", count=1000)
    pair.a.wait_call("ip-down", timeout=20)
    labs.wait_for("the netdev to go", lambda: not pair.a.devices())
    model.expect_content()
    pair.down()


def skipped_modprobe(lab):
    """The modprobe.d file makes `modprobe cipcb` and `modprobe cipci` succeed and do nothing."""
    pair = two_hosts(lab)
    files = [path for path in labs.ROOT.glob(MODPROBE_FILES) if path.is_file()]
    files += list(labs.ROOT.glob("*/modprobe.d/*.conf"))
    expect(files, "no modprobe.d file in the tree")
    for module in ("cipcb", "cipci"):
        expect(any(re.search(rf"(?m)^\s*install\s+{module}\s+/(usr/)?bin/true", path.read_text())
                   for path in files), f"no `install {module} /bin/true`")
    if pair.a.run("sh", "-c", "command -v modprobe", check=False, echo=False).returncode != 0:
        raise Skip("modprobe is not installed")
    load_modules(pair, "b")
    load_modules(pair, "i")


LOSSES = "no datagram may be lost"
CASES = {
    "howto-blowfish": functools.partial(test_section, letter="b"),
    "howto-idea": functools.partial(test_section, letter="i"),
    "rekey-blowfish": Alone(LOSSES, functools.partial(rekey, letter="b")),
    "rekey-idea": Alone(LOSSES, functools.partial(rekey, letter="i")),
    "roaming": roaming, "any-peer": any_peer, "scripts": scripts, "other-scripts": other_scripts,
    "cleartext": cleartext, "cleartext-refused": cleartext_refused,
    **{f"maxerr-{maxerr}": functools.partial(no_answer, maxerr=maxerr, ends=maxerr >= 0)
       for maxerr in (0, 3, -1)},
    "pong-missing": pong_missing, "modprobe": skipped_modprobe,
}
