"""Nobody is there: ciped comes back, and finds something in its way; reboots; `down` without it."""

import time

import lab as labs
from sites import PORT, TUNNEL, expect, make_pair

HOLD_PORT = ("import socket, sys\n"
             "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
             f"s.bind(('', {PORT})); print('ready', flush=True); sys.stdin.read()\n")


def of_ours(site, what):
    """Lines of `ip route show table all` or `ip rule` with our protocol number, that start with
    `what`."""
    words = ("rule",) if what == "rule" else ("route", "show", "table", "all")
    listed = site.run("ip", *words, echo=False).stdout.splitlines()
    return {line.strip() for line in listed if f"proto {labs.ROUTE_PROTOCOL}" in line
            and (what == "rule" or line.startswith(what))}


def is_up(site):
    return site.run("ip", "link", "show", "dev", TUNNEL, check=None, echo=False).returncode == 0


def tries_again(lab):
    """What kept a wanted tunnel down at the start goes away: it comes up, nobody says `up`."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    pair.a.crash_daemon()
    holder = pair.a.start("python3", "-c", HOLD_PORT, stdin=-1)
    expect(holder.stdout.readline().strip() == "ready", "nobody holds the port")
    pair.a.start_daemon()
    labs.wait_for("the log to say why", lambda: f"port {PORT} is in use" in pair.a.daemon_log, 5)
    time.sleep(4)  # two more attempts
    expect(not is_up(pair.a), "up although the port is taken")
    told = pair.a.daemon_log.count("cannot bring")
    expect(told == 1, f"told {told} times")
    holder.stdin.close()
    holder.wait(timeout=5)
    labs.wait_for("the tunnel to come up by itself", lambda: is_up(pair.a), 20)
    pair.wait_handshake()
    pair.ping_all()
    # `down` ends the attempts, too.
    pair.a.crash_daemon()
    good = (pair.a.config / f"{TUNNEL}.conf").read_text()
    pair.a.write(f"{TUNNEL}.conf", "Nonsense\n")
    pair.a.start_daemon()
    pair.a.down(TUNNEL)
    pair.a.write(f"{TUNNEL}.conf", good)
    time.sleep(4)
    expect(not is_up(pair.a), "it came up although `down` was said")
    pair.a.stop_daemon()
    pair.b.down(TUNNEL)
    pair.expect_nothing_left()


def rejects_first(lab):
    """After a reboot reject routes are there at once, however long the tunnel takes."""
    pair = make_pair(lab)
    pair.configure(only_here={"site-a": (
        {"RejectWhenDown": "yes"}, {"AllowedIPs": "10.9.0.2/32, 0.0.0.0/0"})})
    pair.up()
    pair.a.run("ip", "route", "add", "default", "via", "192.0.2.2")
    before = of_ours(pair.a, "unreachable"), of_ours(pair.a, "rule")
    expect((len(before[0]), len(before[1])) == (2, 2), f"reject routes and rules: {before}")
    pair.a.crash_daemon()
    # As a reboot does.
    pair.a.run("ip", "route", "flush", "table", "all", "proto", labs.ROUTE_PROTOCOL)
    pair.a.run("ip", "rule", "flush", "protocol", labs.ROUTE_PROTOCOL)
    expect(not of_ours(pair.a, "unreachable") | of_ours(pair.a, "rule"), "nothing was flushed")
    path = pair.a.config / f"{TUNNEL}.conf"
    pair.a.write(f"{TUNNEL}.conf", path.read_text().replace("[Peer]", "PreUp = sleep 5\n[Peer]"))
    pair.a.start_daemon()
    expect(not is_up(pair.a), "the tunnel is up already")
    now = of_ours(pair.a, "unreachable"), of_ours(pair.a, "rule")
    expect(now == before, f"reject routes and rules: {now}")
    got = pair.a.run("ip", "route", "get", "198.51.100.9", check=None)
    expect(got.returncode != 0, f"198.51.100.9 is reached by {got.stdout}")
    labs.wait_for("the tunnel", lambda: is_up(pair.a), 15)
    pair.wait_handshake()
    labs.ping(pair.a, "10.9.0.2")
    pair.a.down(TUNNEL)
    left = of_ours(pair.a, "unreachable") | of_ours(pair.a, "rule")
    expect(not left and not pair.a.leftovers([TUNNEL]), f"left: {left}")
    pair.a.stop_daemon()  # it was started by hand
    pair.b.down(TUNNEL)


def down_without_ciped(lab):
    """After a crash or a stop `down` takes away what was left, and the tunnel stays down."""
    pair = make_pair(lab)
    pair.configure(only_here={"site-a": (
        {"RejectWhenDown": "yes"}, {"AllowedIPs": "10.9.0.2/32, 0.0.0.0/0"})})
    for end in (labs.Site.crash_daemon, labs.Site.stop_daemon):
        pair.up()
        end(pair.a)
        expect(of_ours(pair.a, "unreachable") and of_ours(pair.a, "rule"), "nothing was left")
        nobody = pair.a.cipectl("down", "nobody", check={3})
        expect("not running" in nobody.stderr, nobody.stderr)
        expect(of_ours(pair.a, "unreachable"), "the wrong tunnel was forgotten")
        expect(pair.a.down(TUNNEL).stdout == f"{TUNNEL} is down\n", "it was not said")
        left = of_ours(pair.a, "unreachable") | of_ours(pair.a, "rule")
        expect(not left, f"left: {left}")
        pair.a.cipectl("down", TUNNEL, check={3})
        pair.a.start_daemon()
        expect(not is_up(pair.a), "up although `down` was said")
        pair.a.stop_daemon()
        pair.b.down(TUNNEL)
    pair.expect_nothing_left()


def moved_away(lab):
    """The tunnel's interface in another namespace: the log says what it is, and it works there."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    inside = lab.namespace("inside")
    pair.a.run("ip", "link", "set", "dev", TUNNEL, "netns", inside)
    labs.wait_for("the log to say it", lambda: "not in this network namespace" in
                  pair.a.daemon_log, 5)
    expect("switched off" not in pair.a.daemon_log, "called switched off")
    for words in (("link", "set", "dev", TUNNEL, "up"),
                  ("address", "add", "10.9.0.1/32", "dev", TUNNEL),
                  ("route", "add", "10.9.0.2/32", "dev", TUNNEL)):
        lab.run("ip", "-n", inside, *words)
    lab.run("ping", "-n", "-c", 2, "-W", 2, "10.9.0.2", namespace=inside)
    pair.down()
    expect(TUNNEL not in lab.quiet("ip", "-n", inside, "-br", "link"), "the interface is left")


def route_replaced(lab):
    """Somebody's route in the place of ours stays and is told; ours is back as soon as it goes."""
    pair = make_pair(lab)
    pair.configure(only_here={"site-a": ({"RejectWhenDown": "yes"}, {
        "AllowedIPs": "10.9.0.2/32, 10.0.2.0/24, fd09::2/128"})})
    pair.up()
    for family, theirs in (("-4", ("10.0.2.0/24", "via", "192.0.2.2")),
                           ("-6", ("fd09::2/128", "via", "2001:db8:1::2", "metric", "1024"))):
        pair.a.run("ip", family, "route", "replace", *theirs, "dev", "eth0")
        labs.wait_for("the log to name the route", lambda t=theirs: any(
            "go elsewhere" in line and f"route to {t[0]}" in line and "by way of eth0" in line
            for line in pair.a.daemon_log.splitlines()), 3)
        time.sleep(0.3)
        got = pair.a.run("ip", family, "route", "get", theirs[0].split("/")[0]).stdout
        expect("eth0" in got, f"the foreign route was touched: {got}")
        expect(not any("put back" in line and theirs[0] in line
                       for line in pair.a.daemon_log.splitlines()), "told to be put back")
        pair.a.run("ip", family, "route", "delete", *theirs, "dev", "eth0")
        labs.wait_for("our route to be back", lambda t=theirs, f=family: f" dev {TUNNEL} " in
                      pair.a.run("ip", f, "route", "get", t[0].split("/")[0], check=None).stdout, 3)
    pair.down()


CASES = {"moved-away": moved_away, "route-replaced": route_replaced,
         "down-without-ciped": down_without_ciped, "tries-again": tries_again,
         "rejects-first": rejects_first}
