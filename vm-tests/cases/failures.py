"""What breaks around ciped: its processes, the carrier, the disk, the clock, an image that was copied."""

from sites import TUNNEL, configured_pair, expect, ping_both, up
from streams import RATE, Streams, expect_same_sessions, processes, sessions
from traces import differences, traces

STATE = "/var/lib/cipe"
# An engine that dies takes along what it had read, and its AF_XDP sockets, which keep what comes until the next one has
# sockets of its own: some milliseconds on a machine, up to some seconds on one that is emulated beside others.
LOST_WITH_AN_ENGINE = 5 * RATE


def engine_killed(lab):
    """kill -9 of the engine under traffic: the next one goes on with the same sessions."""
    a, b = configured_pair(lab)
    up(a, b)
    ping_both(a, b)
    streams = Streams(a, b)
    before, (broker, engine) = sessions(a), processes(a)
    a.host.run(f"kill -9 {engine}")
    streams.flow()
    expect_same_sessions(a, before)
    now = processes(a)
    expect(now[0] == broker and now[1] != engine, f"processes were {(broker, engine)}, are {now}")
    streams.check(LOST_WITH_AN_ENGINE)
    ping_both(a, b)


def broker_killed(lab):
    """kill -9 of the broker under traffic: systemd starts it again, and the tunnel is up by itself, with new sessions;
    what the killed one had made is not there twice."""
    a, b = configured_pair(lab)
    up(a, b)
    ping_both(a, b)
    was = traces(a.host)
    streams = Streams(a, b)
    broker, engine = processes(a)
    a.host.run(f"kill -9 {broker}")
    # The peer's session is with a daemon that is no more: it finds out by silence, or hears of the next one.
    streams.flow(seconds=120)
    expect(not set(processes(a)) & {broker, engine}, "one of the processes lives on")
    restarts = a.host.run("systemctl show -P NRestarts ciped.service")
    expect(restarts == "1", f"systemd restarted ciped.service {restarts} times")
    streams.check(lost_at_most=1 << 20)
    ping_both(a, b)
    found = [line for line in differences(was, traces(a.host)) if not line.startswith("processes")]
    expect(not found, f"not as before the crash: {found}")


def carrier_flaps(lab):
    """The cable is pulled, the link taken down, once and many times, under traffic: the tunnel is there again by itself
    with the session it had, unless a handshake was due meanwhile."""
    a, b = configured_pair(lab)
    up(a, b)
    ping_both(a, b)
    streams = Streams(a, b)
    before, daemons = sessions(a), processes(a)
    a.host.plug(0, False)
    a.host.wait_for("ip link show eth0 | grep -q NO-CARRIER", 20)
    expect(a.host.code(f"ping -n -q -c 1 -W 2 {b.inner4}")[0] != 0, "the cable is out, and ping is answered")
    a.host.plug(0, True)
    streams.flow(seconds=90)
    expect_same_sessions(a, before)
    a.host.run("ip link set eth0 down")
    expect(a.host.code(f"ping -n -q -c 1 -W 2 {b.inner4}")[0] != 0, "the link is down, and ping is answered")
    a.host.run("ip link set eth0 up")
    streams.flow(seconds=90)
    a.host.run("for i in 1 2 3 4 5; do ip link set eth0 down; ip link set eth0 up; done")
    streams.flow(seconds=90)
    streams.check(lost_at_most=1 << 20)
    expect(processes(a) == daemons, "a process was replaced")
    expect(a.peer()["status"] == "connected", f"{a.peer()}")
    a.ping(b.inner4)
    b.ping(a.inner4)


def fill(host):
    """To the last block, root's reserve included."""
    host.run("fallocate -l $(($(stat -f -c '%f * %S' /) - 4194304)) /fill; "
             "cat /dev/zero > /fill.rest 2>/dev/null; sync; "
             "for i in 1 2 3 4; do echo x > /fill.small.$i; done 2>/dev/null; true", 120)
    code, said = host.code("echo x > /fill.probe && sync")
    expect(code != 0 and "No space left" in said, f"the disk is not full: {said}")


def refused_for_space(host, command):
    code, said = host.code(command, 60)
    expect(code not in (0, 4), f"`{command}` succeeds while the disk is full: {said}")
    expect("No space left on device" in said and STATE in said, f"`{command}` does not name disk and file: {said}")


def disk_full(lab):
    """What must be remembered is refused with the reason; what runs goes on, a restart included; and all is well when
    there is room again."""
    a, b = configured_pair(lab)
    other = "[Interface]\nAddress = 10.77.0.1/32\nPrivateKeyFile = /etc/cipe/site.key\n"
    for name in ("second", "third"):
        a.host.put(f"/etc/cipe/{name}.conf", other, 0o600)
    up(a, b)
    ping_both(a, b)
    a.configure(b, interface="MTU = 1380\n")
    streams = Streams(a, b)
    fill(a.host)
    refused_for_space(a.host, "cipectl up second")
    refused_for_space(a.host, f"cipectl forget-clock {TUNNEL} site-b")
    # Nothing of a reload has to be on the disk.
    a.host.run(f"cipectl reload {TUNNEL}", 60)
    expect("mtu 1380" in a.host.run("ip link show office"), "reload did not set the MTU")
    streams.flow()
    before = sessions(a)
    a.host.run("systemctl restart ciped.service", 90)
    streams.flow()
    expect_same_sessions(a, before)
    streams.check(3 * RATE)  # as package.restart
    a.host.run(f"cipectl down {TUNNEL}; true", 60)
    a.host.run("rm /fill*; sync")
    a.host.run(f"cipectl up {TUNNEL}", 60)
    a.host.run("cipectl up second", 60)
    ping_both(a, b)
    wanted = a.host.run(f"cat {STATE}/wanted")
    expect({TUNNEL, "second"} <= set(wanted.split()), f"wanted tunnels on disk: {wanted}")
    corrupt = a.host.run(f"ls {STATE}")
    expect("corrupt" not in corrupt and ".new" not in corrupt, f"{STATE} has {corrupt}")


def clock_back(lab):
    """One clock ten years back: the tunnel goes on, comes up again after a restart, and a state directory that is lost
    with it is told from an attack; `cipectl forget-clock` is the way out."""
    a, b = configured_pair(lab)
    # b waits to be asked: else it would make the session, with its own right clock.
    b.host.run(f"sed -i /^Endpoint/d /etc/cipe/{TUNNEL}.conf")
    up(a, b)
    a.ping(b.inner4)
    b.ping(a.inner6)
    now = a.host.run("date +%s")
    a.host.run("date -s '-10 years'")
    ping_both(a, b)
    # Time stamps go on above the last one that was sent, which the state directory knows.
    for command in (f"systemctl restart cipe@{TUNNEL}", f"cipectl down {TUNNEL}; systemctl restart ciped.service; "
                    f"systemctl restart cipe@{TUNNEL}"):
        a.host.run(command, 90)
        a.ping(b.inner4, seconds=60)
    a.host.run(f"systemctl stop cipe@{TUNNEL} ciped.service && rm {STATE}/floors", 90)
    a.host.run(f"cipectl up --no-wait {TUNNEL}", 60)
    a.host.start(f"ping -n -q -i 1 {b.inner4}", 300)
    b.host.wait_for("cipectl show peers | grep -q 'why.*clock'", 60, "`cipectl show` names the clock")
    shown = b.host.run("cipectl show peers")
    remedy = f"cipectl forget-clock {TUNNEL} site-a"
    expect(remedy in shown and "hs_clock_behind" in shown, f"`cipectl show` does not name the way out: {shown}")
    b.host.run(remedy)
    a.ping(b.inner4, seconds=60)
    ping_both(a, b)
    # And right again: years ahead of its last time stamps, which is nothing special.
    a.host.run(f"date -s @{now}")
    a.host.run(f"systemctl restart cipe@{TUNNEL}; cipectl up {TUNNEL}", 90)
    ping_both(a, b)


def copied_image(lab):
    """Two machines from one image, state directory included: told as what it is while they share a machine id, and
    mended by a machine id of one's own, as the tools that copy images give it."""
    a, b = configured_pair(lab)
    a.host.run("systemctl start ciped.service && systemctl stop ciped.service", 60)
    b.host.put(f"{STATE}/node-id", a.host.run(f"cat {STATE}/node-id") + "\n", 0o600)
    for site in (a, b):
        site.host.run(f"cipectl up --no-wait {TUNNEL}", 60)
        site.host.start(f"ping -n -q -i 1 {(b if site is a else a).inner4}", 300)
    for site in (a, b):
        site.host.wait_for("cipectl show peers | grep -q 'why.*copy of this machine'", 60,
                           "`cipectl show` says that it is a copy")
    lab.say(a.host.run("cipectl show peers"))
    b.host.run("rm /etc/machine-id && systemd-machine-id-setup && systemctl restart ciped.service", 90)
    ping_both(a, b)
    expect(a.host.run(f"head -n 1 {STATE}/node-id") != b.host.run(f"head -n 1 {STATE}/node-id"), "one node id")


CASES = {"engine-killed": engine_killed, "broker-killed": broker_killed, "carrier-flaps": carrier_flaps,
         "disk-full": disk_full, "clock-back": clock_back, "copied-image": copied_image}
