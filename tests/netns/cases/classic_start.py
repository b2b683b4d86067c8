"""ciped-cb, ciped-ci and `cipectl up FILE`: options, devices, scripts, what is refused, SOCKS. Whether
packets get through is another file's business."""

import json
import os
import signal
import stat
import time

import lab as labs
from sites import Skip, expect

KEY = "101112131415161718191a1b1c1d1e1f"
SCRIPT = """#!/bin/sh
{{ echo "args $*"; env | grep ^CIPE_ | sort; }} >>{file}
echo "said by the script"
"""


def two_hosts(lab):
    lab.echo("host-a 10.0.0.1 ---- veth ---- 10.0.0.2 host-b")
    a, b = lab.site("host-a"), lab.site("host-b")
    lab.veth((a.namespace, "eth0", ["10.0.0.1/24"]), (b.namespace, "eth0", ["10.0.0.2/24"]))
    for site in (a, b):
        site.write("options", f"key {KEY}  -\n{scripts(site)}")
    return a, b


def scripts(site):
    lines = ""
    for option in ("ipup", "ipdown"):
        path = site.write(option, SCRIPT.format(file=site.directory / option), mode=0o700)
        lines += f"{option} {path}\n"
    return lines


def classic(site, *words, program="ciped-cb", **options):
    return site.run(labs.BIN / program, *site.options(), *words, timeout=60, **options)


def link_file(site, name):
    return site.directory / "run/links" / f"{name}.options"


def device(site, name):
    shown = json.loads(site.run("ip", "-j", "-d", "address", "show", "dev", name, echo=False,
                                check=False).stdout or "[]")
    return shown[0] if shown else None


def tunnels(site):
    return {tunnel["name"]: tunnel for tunnel in
            json.loads(site.cipectl("-j", "show", "tunnels", echo=False).stdout)["tunnels"]}


def wait_text(path, text, timeout=10):
    def there():
        return path.exists() and text in path.read_text()
    labs.wait_for(f"{text!r} in {path.name}", there, timeout)


def howto(lab):
    a, b = two_hosts(lab)
    result = classic(a, "me=10.0.0.1:6789", "peer=10.0.0.2:6543", "ipaddr=10.0.1.1",
                     "ptpaddr=10.0.1.2")
    expect("INSECURE" in result.stderr and "cipectl convert" in result.stderr,
           f"no warning in {result.stderr!r}")
    expect(KEY not in result.stderr, "the key is in the output")
    classic(b, "peer=10.0.0.1:6789", "me=10.0.0.2:6543", "ptpaddr=10.0.1.1", "ipaddr=10.0.1.2",
            program="ciped-ci")
    shown = device(a, "cipcb0")
    expect(shown and shown["mtu"] == 1442, f"cipcb0 is {shown}")
    address = next(x for x in shown["addr_info"] if x["family"] == "inet")
    expect((address["local"], address["address"]) == ("10.0.1.1", "10.0.1.2"), f"{address}")
    expect(device(b, "cipci0"), "no cipci0 at host-b")
    route = a.run("ip", "route", "get", "10.0.1.2").stdout
    expect("dev cipcb0" in route and "src 10.0.1.1" in route, f"route: {route}")
    expect("10.0.0.1:6789" in a.run("ss", "-uln").stdout, "host-a does not listen on me")
    mode = stat.S_IMODE(link_file(a, "cipcb0").stat().st_mode)
    folder = stat.S_IMODE(link_file(a, "cipcb0").parent.stat().st_mode)
    expect((mode, folder) == (0o600, 0o700), f"modes {mode:o} {folder:o}")
    broker, _ = a.daemons()
    wait_text(a.directory / "ipup", "CIPE_PTPADDR")
    up = (a.directory / "ipup").read_text()
    expect(up.startswith(f"args cipcb0 10.0.0.1:6789 {broker} 10.0.1.1 10.0.1.2 \n"), up)
    for line in ("CIPE_DEVICE=cipcb0", "CIPE_ME=10.0.0.1:6789", "CIPE_PEER=10.0.0.2:6543",
                 f"CIPE_PID={broker}", "CIPE_IPADDR=10.0.1.1", "CIPE_PTPADDR=10.0.1.2",
                 "CIPE_ARG=", "CIPE_EVENT=up", "CIPE_CIPHER=blowfish", "CIPE_MTU=1442",
                 "CIPE_PROTOCOL=3"):
        expect(line in up.splitlines(), f"{line} is missing in {up}")
    expect(tunnels(a)["cipcb0"]["protocol"] == 3, "show says another protocol")
    a.down("cipcb0")
    wait_text(a.directory / "ipdown", "CIPE_REASON")
    expect((a.directory / "ipdown").read_text().startswith(
        f"args cipcb0 10.0.0.1:6789 {broker} 10.0.1.1 10.0.1.2 \n"), "arguments of ip-down")
    expect(not link_file(a, "cipcb0").exists(), "the links file is still there")
    expect(device(a, "cipcb0") is None, "cipcb0 is still there")
    # A plain stop says goodbye too, and keeps the link for the next start.
    b.stop_daemon()
    expect("CIPE_EVENT=down" in (b.directory / "ipdown").read_text(), "no ip-down at the stop")
    expect(link_file(b, "cipci0").exists(), "the links file went with the daemon")
    b.cipectl("up", "cipci0", "--no-wait", timeout=60)
    expect(device(b, "cipci0"), "cipci0 did not come back")


def devices(lab):
    a, _ = two_hosts(lab)
    words = ["peer=10.0.0.2:6543"]
    a.run("ip", "link", "add", "cipcb1", "type", "veth", "peer", "name", "other")
    for n in range(3):
        classic(a, *words, f"ipaddr=10.1.{n}.1", f"ptpaddr=10.1.{n}.2", "arg=x y",
                f"metric={n * 5}")
    expect(set(tunnels(a)) == {"cipcb0", "cipcb2", "cipcb3"}, f"{set(tunnels(a))}")
    route = a.run("ip", "route", "show", "10.1.2.2").stdout
    expect("metric 10" in route, f"metric: {route!r}")
    classic(a, *words, "ipaddr=10.1.9.1", "ptpaddr=10.1.9.2", "device=old-link")
    expect(device(a, "old-link"), "device= was not honoured")
    again = classic(a, *words, "ipaddr=10.1.8.1", "ptpaddr=10.1.8.2", "device=old-link", check={1})
    expect("up already" in again.stderr, again.stderr)
    taken = classic(a, *words, "ipaddr=10.1.8.1", "ptpaddr=10.1.8.2", "device=cipcb1", check={1})
    expect("cipcb1" in taken.stderr and not link_file(a, "cipcb1").exists(), taken.stderr)
    wait_text(a.directory / "ipup", "CIPE_ARG=x y")
    expect(" x y\n" in (a.directory / "ipup").read_text(), "arg is not $6")
    # `me` left out: the system picks, and the scripts learn it.
    port = tunnels(a)["cipcb0"]["listen_port"]
    expect(f"CIPE_ME=10.0.0.1:{port}" in (a.directory / "ipup").read_text(), "me was not reported")
    for name in tunnels(a):
        a.down(name)


def refusals(lab):
    a, _ = two_hosts(lab)
    link = ["peer=10.0.0.2:6543", "ipaddr=10.0.1.1", "ptpaddr=10.0.1.2"]

    def refused(*words, code=2, text):
        result = classic(a, *words, check={code})
        expect(text in result.stderr, f"expected {text!r} in {result.stderr!r}")
        expect(KEY not in result.stderr, "the key is in the message")

    refused(*link, f"key={KEY}", text="every user of this host can read it")
    refused(*link, "nokey", text="found nokey beside key")
    refused("ipaddr=10.0.1.1", text="found no peer")
    refused(*link, "mtu=12", text="command line:4:5: found '12', expected a number from 68")
    refused(*link, "-s", "4", text="is not offered")
    refused(*link, "-o", "/nonexistent/options", code=1, text="/nonexistent/options")
    path = a.write("other", f"key {KEY}\n")
    os.chmod(path, 0o640)
    refused("-o", path, *link, code=1, text=f"chmod 600 {path}")
    os.chmod(path, 0o600)
    os.chown(path, 12345, 0)
    refused("-o", path, *link, code=1, text="belongs to user 12345")
    os.chown(path, 0, 0)
    os.chmod(a.config, 0o770)
    refused(*link, code=1, text="may be written by group or others")
    os.chmod(a.config, 0o700)
    path.write_text("mtu 1400\nwheel 4\n")
    refused("-o", path, *link, text=f"{path}:2:1: found 'wheel'")
    expect(a.daemons() == (None, None), "a refused command started ciped")


def files(lab):
    a, _ = two_hosts(lab)
    path = a.directory / "site.options"
    path.write_text("peer 10.0.0.2:6543\nipaddr 10.0.1.1\nptpaddr 10.0.1.2\ncipher idea\n"
                    "mtu 1300\ndebug\n")
    path.chmod(0o600)
    up = a.cipectl("up", path, timeout=60)
    expect("INSECURE" in up.stderr, up.stderr)
    expect(device(a, "cipci0")["mtu"] == 1300, "options of the file")
    a.down("cipci0")
    # A tunnel file without sections.
    a.write("old.conf", f"key {KEY}\npeer 10.0.0.2:6543\nipaddr 10.0.2.1\nptpaddr 10.0.2.2\n")
    a.cipectl("up", "old", "--no-wait", timeout=60)
    expect(device(a, "old"), "old.conf is not up")
    a.down("old")


def foreground(lab):
    a, _ = two_hosts(lab)
    words = ["peer=10.0.0.2:6543", "ipaddr=10.0.1.1", "ptpaddr=10.0.1.2"]
    classic(a, *words)  # ciped runs from here on
    with open(a.directory / "debug.log", "w") as log:
        process = a.start(labs.BIN / "ciped-cb", *a.options(), "debug", "peer=10.0.0.2:7000",
                          "ipaddr=10.0.3.1", "ptpaddr=10.0.3.2", stderr=log)
    labs.wait_for("cipcb1", lambda: device(a, "cipcb1"))
    wait_text(a.directory / "debug.log", "cipcb1 ip-up: said by the script")
    expect("cipcb0" not in (a.directory / "debug.log").read_text(), "another tunnel's log is shown")
    expect(process.poll() is None, "debug did not stay in the foreground")
    process.send_signal(signal.SIGINT)
    expect(process.wait(timeout=15) == 0, "exit status after SIGINT")
    expect(device(a, "cipcb1") is None and device(a, "cipcb0"), "SIGINT took the wrong tunnel")
    # Taken down by somebody else: the command ends as well.
    process = a.start(labs.BIN / "ciped-cb", *a.options(), "debug", "peer=10.0.0.2:7000",
                      "ipaddr=10.0.3.1", "ptpaddr=10.0.3.2")
    labs.wait_for("cipcb1", lambda: "cipcb1" in tunnels(a))
    a.down("cipcb1")
    expect(process.wait(timeout=15) == 1, "exit status after another's down")
    a.down("cipcb0")


def slow_scripts(lab):
    a, _ = two_hosts(lab)
    slow = a.write("slow", "#!/bin/sh\nsleep 20\n", mode=0o700)
    begin = time.monotonic()
    classic(a, "peer=10.0.0.2:6543", "ipaddr=10.0.1.1", "ptpaddr=10.0.1.2", f"ipup={slow}",
            "ipdown=/nonexistent")
    tunnels(a)
    a.down("cipcb0")
    expect(time.monotonic() - begin < 15, "a slow ip-up held things up")


DANTE = """logoutput: {log}
internal: 10.0.0.2 port = 1080
external: 10.0.0.2
socksmethod: {method}
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 10.0.0.0/24 to: 0.0.0.0/0 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 command: udpassociate udpreply }}
"""


def socks(lab):
    danted = next((path for path in ("/usr/sbin/danted", "/usr/sbin/sockd")
                   if os.path.exists(path)), None)
    if danted is None:
        raise Skip("danted (package dante-server) is not installed")
    a, b = two_hosts(lab)
    config = b.write("danted.conf", DANTE.format(log=b.directory / "danted.log", method="none"),
                     mode=0o644)

    def serve():
        # A session of its own: danted is several processes, which end together.
        server = b.start(danted, "-f", config, start_new_session=True)
        labs.wait_for("danted", lambda: ":1080" in b.run("ss", "-tln", echo=False).stdout)
        return server

    def end(server):
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(timeout=10)

    def associations():
        listed = a.run("ss", "-tn", "dst", "10.0.0.2:1080", echo=False).stdout
        return listed.count("ESTAB")

    server = serve()
    try:
        classic(a, "peer=10.0.0.2:6543", "ipaddr=10.0.1.1", "ptpaddr=10.0.1.2",
                "socks=10.0.0.2:1080")
        labs.wait_for("a control connection", lambda: associations() == 1)
        time.sleep(1)
        expect(associations() == 1, "danted ended the association")
        # The server goes: noticed, tried again, found again.
        end(server)
        labs.wait_for("the end of the association", lambda: associations() == 0)
        server = serve()
        labs.wait_for("a new association", lambda: associations() == 1, 20)
        a.down("cipcb0")
        labs.wait_for("the end of the control connection", lambda: associations() == 0)
    finally:
        end(server)


CASES = {"howto": howto, "devices": devices, "refusals": refusals, "files": files,
         "foreground": foreground, "slow_scripts": slow_scripts, "socks": socks}
