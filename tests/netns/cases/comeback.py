"""Wanted tunnels that cannot be had when ciped starts, and a ciped with many tunnels."""

import os
import pathlib
import re
import signal

import lab as labs
from cases.restart import down_under_manager, up_under_manager
from sites import TUNNEL, expect, make_pair


def in_the_way(lab):
    """What stands in the way of a wanted tunnel goes away: the tunnel comes up by itself."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    pair.a.crash_daemon(timeout=10)
    labs.wait_for("its netdev to go", lambda: not pair.a.leftovers([TUNNEL]))
    pair.a.run("ip", "tuntap", "add", TUNNEL, "mode", "tun")
    pair.a.start_daemon(timeout=60)
    labs.wait_for("the reason in the log",
                  lambda: "a netdev of that name exists" in pair.a.daemon_log, 5)
    told = pair.a.daemon_log.count("cannot bring")
    pair.a.run("ip", "link", "delete", TUNNEL)
    labs.wait_for("the tunnel",
                  lambda: "is up on rung" in pair.a.daemon_log.rpartition("cannot bring")[2],
                  15)
    pair.ping_all()
    expect(told == pair.a.daemon_log.count("cannot bring") == 1, "the same reason is told again")
    # What is not wanted any more does not come back.
    pair.a.crash_daemon(timeout=10)
    labs.wait_for("its netdev to go", lambda: not pair.a.leftovers([TUNNEL]))
    pair.a.run("ip", "tuntap", "add", TUNNEL, "mode", "tun")
    pair.a.start_daemon(timeout=60)
    pair.a.down(TUNNEL)
    pair.a.run("ip", "link", "delete", TUNNEL)
    ended = len(pair.a.daemon_log)
    try:
        labs.wait_for("nothing", lambda: "is up" in pair.a.daemon_log[ended:], 5)
    except labs.LabError:
        pass
    else:
        raise labs.LabError("a tunnel came up after `down`")
    pair.b.down(TUNNEL)


def many_files(lab):
    """The soft limit of open files, 1024 nearly everywhere, is no limit to the number of tunnels."""
    pair = make_pair(lab)
    pair.configure()
    pair.b.up(TUNNEL, "--no-wait")
    pair.a.run("prlimit", "--nofile=48:4096", labs.BIN / "cipectl", *pair.a.options(), "up", TUNNEL,
               timeout=60)
    for pid in pair.a.daemons():
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        soft = int(re.search(r"Max open files\s+(\d+)", limits).group(1))
        expect(soft == 4096, f"process {pid} may open {soft} files")
    for number in range(12):
        name = f"more{number}"
        labs.key_pair(pair.a, name)
        pair.a.write(f"{name}.conf", f"[Interface]\nAddress = 10.77.{number}.1/32\n"
                     f"PrivateKeyFile = {name}.key\nCarrier = eth0\n")
        pair.a.up(name, "--no-wait")
    pair.ping_all()
    for number in range(12):
        pair.a.down(f"more{number}")
    pair.down()


def giver_dies(lab):
    """The running ciped is killed while it hands over: the next one starts clean."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    broker, _ = pair.a.daemons()
    os.kill(broker, signal.SIGSTOP)
    successor = pair.a.start(labs.BIN / "ciped", *pair.a.options(), "--replace", "--daemon")
    try:
        # The socket that listens, and the one that nobody takes from it.
        labs.wait_for("the successor to ask", lambda: pair.a.run(
            "cat", "/proc/net/unix", echo=False).stdout.count(
                str(pair.a.directory / "run/handover.sock")) >= 2)
    finally:
        os.kill(broker, signal.SIGKILL)
    output, _ = successor.communicate(timeout=30)
    expect(successor.returncode == 0, f"the successor ended: {output}")
    labs.wait_for("the tunnel", lambda: labs.ping(pair.a, pair.inner(pair.b), 1, check=False), 20)
    pair.ping_all()
    pair.b.down(TUNNEL)
    pair.a.down(TUNNEL)


def giver_hangs(lab):
    """The successor of a ciped that hangs says which process that is, and changes nothing."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    broker, _ = pair.a.daemons()
    os.kill(broker, signal.SIGSTOP)
    try:
        result = pair.a.run(labs.BIN / "ciped", *pair.a.options(), "--replace", "--daemon",
                            timeout=40, check={1})
    finally:
        os.kill(broker, signal.SIGCONT)
    expect(f"kill -9 {broker}" in result.stderr, f"no way out is said: {result.stderr}")
    pair.ping_all()
    pair.down()


def store_mixed_up(lab):
    """Descriptors of the store that are not what the document says: a clean start, no failed one."""
    pair, manager = up_under_manager(lab)
    for name in ("cipe-2", "cipe-10"):  # a map; the lock of the runtime directory
        manager.stop()
        os.close(manager.stored[name])
        manager.stored[name] = os.open("/dev/null", os.O_RDWR)
        manager.start()
        expect("starting clean" in manager.log.read_text(), f"{name}: {manager.log.read_text()}")
        labs.wait_for("the tunnel", lambda: labs.ping(pair.a, pair.inner(pair.b), 1, check=False),
                      20)
    down_under_manager(pair, manager)


CASES = {"in-the-way": in_the_way, "many-files": many_files, "giver-dies": giver_dies,
         "giver-hangs": giver_hangs, "store-mixed-up": store_mixed_up}
