"""Options of 1999: where they come from, which win, which are refused; netdevs and `cipectl up`."""

import os
import re
import signal

import lab as labs
from classic_hosts import KEY, LETTERS, make_host, require, start_model, two_hosts
from sites import expect

LINK = "me=10.0.0.1:6789 peer=10.0.0.2:6543 ipaddr=10.0.1.1 ptpaddr=10.0.1.2"


def one_host(lab):
    require("ciped-cb", "ciped-ci")
    host, wire = make_host(lab, "A"), lab.namespace("wire")
    lab.veth((host.namespace, "eth0", ["10.0.0.1/24"]), (wire, "eth0", ["10.0.0.2/24"]))
    return host


def down(host, device):
    host.down(device)
    labs.wait_for(f"{device} to go", lambda: device not in host.devices())


def precedence(lab):
    """/etc/cipe/options, then -o FILE, then the command line; later ones win."""
    host = one_host(lab)
    host.write("options", f"# site's own\n\nkey {KEY}\nmtu 1300\n")
    host.write("second", "mtu 1350\n")
    for words, mtu in ((LINK, 1300), (f"-o /etc/cipe/second {LINK}", 1350),
                       (f"-o /etc/cipe/second {LINK} mtu=1400", 1400)):
        host.type(f"ciped-cb {words}")
        expect(host.link("cipcb0")[0]["mtu"] == mtu, f"{words!r}: {host.link('cipcb0')}")
        down(host, "cipcb0")


def devices(lab):
    """A free netdev is picked, by cipher; device= is honoured; one that is taken is refused."""
    host = one_host(lab)
    host.write("options", f"key {KEY}\n")
    host.type(f"ciped-cb {LINK}")
    for number, (program, words, device) in enumerate((
            ("ciped-cb", "", "cipcb1"), ("ciped-ci", "", "cipci0"),
            ("ciped-cb", "device=cipcb7", "cipcb7")), 2):
        link = (f"me=10.0.0.1:{6789 + number} peer=10.0.0.2:{6543 + number} "
                f"ipaddr=10.0.{number}.1 ptpaddr=10.0.{number}.2")
        host.type(f"{program} {link} {words}".strip())
        expect(device in host.devices(), f"no {device}, only {host.devices()}")
    host.refused("ciped-cb me=10.0.0.1:7000 peer=10.0.0.2:7000 ipaddr=10.0.9.1 ptpaddr=10.0.9.2 "
                 "device=cipcb7", "cipcb7")
    for device in host.devices():
        down(host, device)
    expect(not host.leftovers(["cipcb0"]), f"left behind: {host.leftovers(['cipcb0'])}")


def debug(lab):
    """`debug` stays in the foreground, logs to standard error, and takes the tunnel with it."""
    host = one_host(lab)
    host.write("options", f"key {KEY}\n")
    lab.echo(f"  root@A# ciped-cb {LINK} debug")
    log = host.directory / "debug.log"
    with open(log, "w") as file:
        process = host.start(labs.BIN / "ciped-cb", *LINK.split(), "debug", echo=False, stdout=file)
    labs.wait_for("the netdev", lambda: host.devices() == ["cipcb0"])
    labs.wait_for("the daemon to answer", lambda: host.cipectl(
        "show", check=None, echo=False).returncode == 0)
    expect(process.poll() is None, "it went to the background")
    os.kill(process.pid, signal.SIGTERM)
    labs.wait_for("it to end on SIGTERM", lambda: process.poll() is not None)
    labs.wait_for("the netdev to go", lambda: not host.devices())
    text = log.read_text()
    expect("insecure" in text.lower(), f"nothing of the log on standard error: {text}")


def up_file(lab):
    """`cipectl up FILE` takes a classic options file; `down` ends it."""
    pair = two_hosts(lab)
    for host, text in ((pair.a, "me 10.0.0.1:6789\npeer 10.0.0.2:6543\nipaddr 10.0.1.1\n"
                        "ptpaddr 10.0.1.2\n"),
                       (pair.b, "me 10.0.0.2:6543\npeer 10.0.0.1:6789\nipaddr 10.0.1.2\n"
                        "ptpaddr 10.0.1.1\n")):
        host.write("link", f"key {KEY}\n{text}tokxc 1\n")
        host.cipectl("up", "/etc/cipe/link", check={0, labs.EXIT_DEGRADED}, timeout=60)
        expect(len(host.devices()) == 1, f"{host.name} has {host.devices()}")
    pair.pings()
    pair.down()


REFUSED = (
    # options file, command line, what the message must say
    ("", f"ciped-cb {LINK}", ("key",)),
    ("", f"ciped-cb {LINK} key={KEY}", ("key", r"file|command line")),
    (f"key {KEY}\n", f"ciped-cb {LINK} nokey", ("nokey", r"exclu|both|one of the two")),
    ("key 1234\n", f"ciped-cb {LINK}", (r"options:1", r"32|hex|digits|128")),
    (f"key {KEY}\nkeyy 1\n", f"ciped-cb {LINK}", (r"options:2", "keyy")),
    (f"key {KEY}\n", f"ciped-cb {LINK} tokxk=1", ("tokxk",)),
    (f"key {KEY}\ntokxc ten\n", f"ciped-cb {LINK}", (r"options:2", "tokxc|ten")),
    (f"key {KEY}\n", f"ciped-cb {LINK} mtu=70000", ("mtu|70000",)),
    (f"key {KEY}\n", f"ciped-cb {LINK} cttl=-2", ("cttl|-2",)),
    (f"key {KEY}\n", f"ciped-cb {LINK} maxerr=-2", ("maxerr|-2",)),
    (f"key {KEY}\n", "ciped-cb me=10.0.0.1:6789 ipaddr=10.0.1.1 ptpaddr=10.0.1.2", ("peer",)),
    (f"key {KEY}\n", "ciped-cb peer=10.0.0.2:6543 ptpaddr=10.0.1.2", ("ipaddr",)),
    (f"key {KEY}\n", "ciped-cb peer=10.0.0.2:6543 ipaddr=10.0.1.1", ("ptpaddr",)),
    (f"key {KEY}\n", f"ciped-cb {LINK} peer=10.0.0.2", ("peer", "port")),
    (f"key {KEY}\n", f"ciped-cb {LINK} peer=10.0.0.2:99999", ("peer|port",)),
    (f"key {KEY}\n", f"ciped-cb {LINK} me=10.9.9.9:6789", (r"10\.9\.9\.9",)),
    (f"key {KEY}\n", f"ciped-cb {LINK} device=../x", (r"device|\.\./x",)),
    (f"key {KEY}\n", f"ciped-cb {LINK} -o /etc/cipe/none", ("none", r"no such|not exist|missing")),
    (f"key {KEY}\n", f"ciped-cb {LINK} -o other", ("other", "absolute")),
)


def refused(lab):
    """What cannot work is said, with the name of the option, and leaves nothing."""
    host, failed = one_host(lab), []
    for options, line, patterns in REFUSED:
        host.write("options", options)
        try:
            host.refused(line, *patterns, secret=KEY)
        except labs.LabError as error:
            failed.append(str(error))
            for device in host.devices():
                down(host, device)
    expect(not failed, " | ".join(failed))


def open_files(lab):
    """Options files that others can read or write, or that are not root's, are refused."""
    host = one_host(lab)
    text = f"key {KEY}\n"
    for mode in (0o644, 0o640, 0o604, 0o602, 0o620):
        host.write("options", text, mode)
        host.refused(f"ciped-cb {LINK}", "options", r"others|group|permission|mode|0?6[0-9]{2}",
                     secret=KEY)
    path = host.write("options", text)
    os.chown(path, 65534, 0)
    host.refused(f"ciped-cb {LINK}", "options", r"own|root", secret=KEY)
    path.unlink()
    host.write("second", text, 0o644)
    host.refused(f"ciped-cb -o /etc/cipe/second {LINK}", "second", secret=KEY)
    host.write("second", text)
    host.config.chmod(0o777)
    host.refused(f"ciped-cb -o /etc/cipe/second {LINK}", "/etc/cipe", secret=KEY)
    host.config.chmod(0o755)
    host.type(f"ciped-cb -o /etc/cipe/second {LINK}")
    down(host, "cipcb0")


def key_spellings(lab):
    """md5sum's trailing " -" and capital digits make the same key; the model is the judge."""
    pair = two_hosts(lab)
    model = start_model(pair.b, cipher="blowfish")
    for spelling in (KEY, KEY.upper(), f"{KEY}  -", f"\t{KEY} -\t"):
        pair.a.write("options", f"key {spelling}\n")
        pair.a.type(f"ciped-c{LETTERS['blowfish']} {LINK} tokxc=1")
        labs.ping(pair.a, "10.0.1.2")
        down(pair.a, "cipcb0")
    model.expect_content()


def outer_header(lab):
    """cttl, TOS and DF of the carrier packet, and its UDP checksum."""
    pair = two_hosts(lab)
    model = start_model(pair.b)
    pair.a.write("options", f"key {KEY}\ntokxc 1\n")
    # Without this the checksum is filled in by a network card that is none.
    pair.a.run("ethtool", "-K", "eth0", "tx", "off")
    for words, ttl, checksum, discovery, flags in (
            ("", 33, r"udp sum ok", "do", r"flags \[DF\]"),
            ("cttl=77", 77, r"udp sum ok", "dont", r"flags \[none\]"),
            ("udpsum=0", 33, r"no cksum", "do", r"flags \[DF\]")):
        pair.a.type(f"ciped-cb {LINK} {words}".strip())
        labs.ping(pair.a, "10.0.1.2")
        capture = pair.b.start("tcpdump", "-n", "-l", "-vv", "-c", 2, "-i", "eth0",
                               "udp and src host 10.0.0.1")
        labs.wait_for("tcpdump to listen", lambda c=capture: "listening" in c.stdout.readline())
        pair.a.run("ping", "-n", "-c", 3, "-i", "0.2", "-W", 2, "-t", 33, "-Q", "0x10",
                   "-M", discovery, "10.0.1.2")
        text, _ = capture.communicate(timeout=15)
        for wanted in (checksum, flags):
            expect(len(re.findall(wanted, text)) == 2, f"{words!r}: no {wanted!r} twice in {text}")
        outer = model.do("state")["outer"]
        expect(outer == {"ttl": ttl, "tos": 0x10}, f"{words!r}: outer header has {outer}")
        down(pair.a, "cipcb0")
    model.expect_content()


CASES = {"precedence": precedence, "devices": devices, "debug": debug, "up-file": up_file,
         "refused": refused, "open-files": open_files, "key-spellings": key_spellings,
         "outer-header": outer_header}
