"""SOCKS5 relaying through dante-server, which stands between two networks that do not know each other."""

import functools
import os
import re
import shlex
import shutil
import signal

import lab as labs
from classic_hosts import KEY, find_program, make_host, require, start_model
from sites import Skip, expect

CONFIG = """logoutput: stderr
internal: 10.0.0.9 port = 1080
external: 10.0.2.9
clientmethod: none
socksmethod: {method}
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 command: udpassociate udpreply }}
"""
LOGIN = "cipetest:sesame-7f3a"
COMMAND = ("ciped-cb peer=10.0.2.2:6543 socks=10.0.0.9:1080 ipaddr=10.0.1.1 ptpaddr=10.0.1.2 "
           "tokxc=1")


def dante_server(lab):
    """The command of danted: installed, else from the packages unpacked under build/.

    Not installed for the tests' sake: the package would leave a service on the machine.
    """
    installed = find_program("danted")
    if installed:
        return [installed]
    place = labs.ROOT / "build/dante"
    program = place / "usr/sbin/danted"
    if not program.exists():
        fresh = place.with_suffix(f".{os.getpid()}")  # another case may be at it, too
        fresh.mkdir(parents=True)
        try:
            lab.run("sh", "-c", f"cd {shlex.quote(str(fresh))} && apt-get -o APT::Sandbox::User=root"
                    " download dante-server libwrap0 && for file in *.deb; do dpkg -x $file .; done",
                    timeout=100)
        except labs.LabError as error:
            shutil.rmtree(fresh, ignore_errors=True)
            raise Skip(f"dante-server is not installed and cannot be fetched: {error}") from error
        try:
            fresh.rename(place)
        except OSError:  # it was there first
            shutil.rmtree(fresh, ignore_errors=True)
    libraries = {str(path.parent) for path in place.glob("**/libwrap.so.0")}
    return ["env", f"LD_LIBRARY_PATH={':'.join(libraries)}", program]


class Relayed:
    """A -- relay -- B; no route between A and B but through the relay."""

    def __init__(self, lab, login=None):
        self.program = dante_server(lab)
        require("ciped-cb")
        self.lab = lab
        self.a, self.b, self.relay = (make_host(lab, name) for name in ("A", "B", "relay"))
        lab.echo("A [10.0.0.1] ---- [10.0.0.9] relay [10.0.2.9] ---- [10.0.2.2] B")
        lab.veth((self.a.namespace, "eth0", ["10.0.0.1/24"]),
                 (self.relay.namespace, "eth0", ["10.0.0.9/24"]))
        lab.veth((self.b.namespace, "eth0", ["10.0.2.2/24"]),
                 (self.relay.namespace, "eth1", ["10.0.2.9/24"]))
        self.relay.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=0", check=False, echo=False)
        self.method = "none"
        if login:
            # In an /etc of the relay's own: the machine never has this user.
            self.method, (name, _, _) = "username", login.partition(":")
            self.relay.run("useradd", "--no-create-home", name)
            self.relay.run("chpasswd", stdin=login + "\n")
        self.start_server()

    def start_server(self):
        path = self.relay.write("danted.conf", CONFIG.format(method=self.method))
        with open(self.relay.directory / "danted.log", "ab") as log:
            # Its own session: dante answers a signal by telling its whole process group.
            self.server = self.relay.start(*self.program, "-f", path, stdout=log,
                                           start_new_session=True)
        labs.wait_listening(self.relay, 1080)

    def stop_server(self):
        os.killpg(self.server.pid, signal.SIGTERM)
        self.server.wait(timeout=10)
        labs.wait_for("dante-server to end", lambda: not self.relay.run(
            "ss", "-Hlnt", "sport = :1080", echo=False).stdout.strip())

    def start_b(self):
        self.b.write("options", f"key {KEY}\ntokxc 1\n")
        self.b.type("ciped-cb me=10.0.2.2:6543 peer=0.0.0.0:0 ptpaddr=10.0.1.1 ipaddr=10.0.1.2")

    def end(self, *hosts):
        try:
            self.stop_server()
        except (labs.LabError, ProcessLookupError) as error:
            self.lab.echo(f"  dante-server: {error}")
        for host in hosts:
            host.down("cipcb0")
            labs.wait_for("clean-up", lambda h=host: not h.leftovers(["cipcb0"]))


def expect_header_fits(host):
    """MTU is 1442 with and without SOCKS: ten octets are counted in always."""
    link, _ = host.link("cipcb0")
    expect(link["mtu"] == 1442, f"MTU is {link['mtu']}")
    labs.ping(host, "10.0.1.2", size=1400)


def through_the_relay(lab):
    """A reaches B through the server only; B takes the relay for the peer."""
    net = Relayed(lab)
    net.start_b()
    net.a.write("options", f"key {KEY}\n")
    net.a.type(COMMAND)
    labs.ping(net.a, "10.0.1.2")
    labs.ping(net.b, "10.0.1.1")
    expect_header_fits(net.a)
    seen = net.b.peer()["endpoint"]
    expect(re.match(r"10\.0\.2\.9:\d+$", seen or ""), f"B's peer is {seen}, not the relay")
    net.end(net.a, net.b)


def server_restarts(lab):
    """When the control connection ends a new one is made, and the tunnel works again by itself."""
    net = Relayed(lab)
    net.start_b()
    net.a.write("options", f"key {KEY}\n")
    net.a.type(COMMAND)
    labs.ping(net.a, "10.0.1.2")
    net.stop_server()
    # Both go on sending, long enough for more errors than maxerr allows.
    pings = [host.start("ping", "-n", "-q", "-i", "0.5", "-c", "28", address)
             for host, address in ((net.a, "10.0.1.2"), (net.b, "10.0.1.1"))]
    for process in pings:
        said = process.communicate(timeout=30)[0]
        expect(" 0 received" in said, f"a ping without a relay: {said}")
    for host in (net.a, net.b):
        expect(host.devices() == ["cipcb0"], f"{host.name}: the tunnel ended: {host.log[-600:]}")
    net.start_server()
    labs.wait_for("the tunnel to work again",
                  lambda: labs.ping(net.a, "10.0.1.2", count=1, check=False), 40)
    labs.ping(net.a, "10.0.1.2")
    labs.ping(net.b, "10.0.1.1")
    expect("socks" in net.a.log.lower(), f"no line about the server: {net.a.log}")
    net.end(net.a, net.b)


def login(lab):
    """Name and password (RFC 1929); wrong ones are refused, and neither is ever shown."""
    net = Relayed(lab, LOGIN)
    net.start_b()
    name, _, password = LOGIN.partition(":")
    net.a.write("options", f"key {KEY}\nmaxerr -1\nsocks-user {name}\nsocks-password wrong\n")
    net.a.type(COMMAND, check=False)
    expect(not labs.ping(net.a, "10.0.1.2", count=1, check=False), "a ping with a wrong password")
    for device in net.a.devices():
        net.a.down(device)
        labs.wait_for("the netdev to go", lambda: not net.a.devices())
    net.a.write("options", f"key {KEY}\nsocks-user {name}\nsocks-password {password}\n")
    net.a.type(COMMAND)
    labs.ping(net.a, "10.0.1.2")
    shown = net.a.log + net.a.cipectl("-j", "show").stdout + net.a.cipectl("show").stdout
    expect(password not in shown, "the password is shown")
    net.end(net.a, net.b)


def no_server(lab):
    """A server that refuses the connection is named; nothing is sent past it."""
    net = Relayed(lab)
    net.stop_server()
    model = start_model(net.b, "10.0.2.2:6543", "10.0.2.9:9")
    net.a.write("options", f"key {KEY}\nmaxerr -1\n")
    net.a.type(COMMAND, check=False)
    labs.ping(net.a, "10.0.1.2", count=1, check=False)
    labs.wait_for("a line that names the server",
                  lambda: "10.0.0.9:1080" in net.a.log + net.a.cipectl(
                      "show", check=None, echo=False).stdout)
    expect(not model.do("state")["events"], f"something came without a relay: {model.state}")


def model_behind_the_relay(lab):
    """The Python model at A, through the server, with ciped at B."""
    net = Relayed(lab)
    net.start_b()
    model = start_model(net.a, "10.0.0.1:7000", "10.0.2.2:6543", socks="10.0.0.9:1080",
                        inner="10.0.1.1", other="10.0.1.2")
    model.ping()
    labs.ping(net.b, "10.0.1.1")
    model.ping(size=1400)
    model.expect_content()
    net.end(net.b)


def models_and_dante(lab, login):
    """The server itself, with the model at both ends: proves the cases, not ciped."""
    net = Relayed(lab, login)
    b = start_model(net.b, "10.0.2.2:6543", "127.0.0.1:9")
    a = start_model(net.a, "10.0.0.1:7000", "10.0.2.2:6543", socks="10.0.0.9:1080",
                    socks_login=login, inner="10.0.1.1", other="10.0.1.2")
    a.ping()
    b.ping()
    expect(b.state["peer"].startswith("10.0.2.9:"), f"B's peer is {b.state['peer']}")
    a.expect_content(), b.expect_content()
    net.end()


CASES = {"relay": through_the_relay, "login": login, "server-restarts": server_restarts,
         "no-server": no_server, "model": model_behind_the_relay,
         "models-and-dante": functools.partial(models_and_dante, login=None),
         "models-and-dante-login": functools.partial(models_and_dante, login=LOGIN)}
