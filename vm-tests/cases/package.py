"""The package's life under traffic: restart, upgrade, removal, purge."""

import shutil
import subprocess

from image import CACHE
from sites import TUNNEL, configured_pair, expect, pair, ping_both, up
from streams import RATE, Streams, expect_same_sessions, processes, sessions
from traces import differences, traces

# A restart hands over every socket and every packet that waits in one. Lost is what AF_XDP sockets take that are bound
# already while the next engine, which gives them frames, is just starting: some milliseconds on a machine, up to some
# seconds on one that is emulated beside others.
LOST_AT_MOST = 3 * RATE
RESTARTS = 2
HIGHER = "9.9+vm"
# Kept by intent: the configuration is the administrator's, in /etc, until he purges it; directories of systemd's.
KEPT_BY_PURGE = ("files: + /etc/cipe ", "files: + /etc/cipe/",
                 "files: + /etc/systemd/system/sockets.target.wants drwx",
                 # Empty, of the image's making; deb-systemd-helper takes empty directories there away.
                 "files: - /etc/systemd/system/serial-getty@ttyS0.service.d drwx")
KEPT_BY_REMOVE = (*KEPT_BY_PURGE, "files: + /etc/modprobe.d/cipe.conf ", "files: + /var/lib/cipe",
                  "files: + /var/lib/systemd/deb-systemd-helper-",
                  "files: + /etc/systemd/system/sockets.target.wants/ciped.socket ",
                  "files: + /etc/systemd/system/multi-user.target.wants/cipe")


def flowing_pair(lab):
    a, b = configured_pair(lab)
    up(a, b)
    ping_both(a, b)
    return a, b, Streams(a, b)


def goes_on(site, streams, before, old):
    """Other processes, the same sessions, and datagrams come at both ends."""
    streams.flow()
    expect_same_sessions(site, before)
    new = processes(site)
    expect(not set(new) & set(old), f"{site.host.name}: processes were {old} and are {new}")
    return new


def restart(lab):
    """`systemctl restart` twice: sessions, counters and datagrams are kept."""
    a, b, streams = flowing_pair(lab)
    old = processes(a)
    for _ in range(RESTARTS):
        before = sessions(a)
        a.host.run("systemctl restart ciped.service", 90)
        old = goes_on(a, streams, before, old)
    expect_same_sessions(b, sessions(b))
    streams.check(RESTARTS * LOST_AT_MOST)
    ping_both(a, b)


def higher_version(deb):
    """The package again, as a version that follows."""
    directory = CACHE / "upgrade"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    made = directory / f"cipe_{HIGHER}_amd64.deb"
    subprocess.run(["dpkg-deb", "-R", str(deb), str(directory / "tree")], check=True, timeout=60)
    control = directory / "tree/DEBIAN/control"
    lines = [f"Version: {HIGHER}" if line.startswith("Version:") else line
             for line in control.read_text().splitlines()]
    control.write_text("\n".join(lines) + "\n")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", str(directory / "tree"), str(made)],
                   check=True, timeout=60, stdout=subprocess.DEVNULL)
    shutil.rmtree(directory / "tree")
    return made


def upgrade(lab):
    """`apt-get install` of a version that follows, as a restart: nothing is interrupted."""
    a, b, streams = flowing_pair(lab)
    old, before = processes(a), sessions(a)
    units = a.host.run("systemctl show -P ActiveState,InvocationID cipe@office ciped.socket")
    lab.install(a.host, deb=higher_version(lab.deb))
    version = a.host.run("dpkg-query -W -f '${Version} ${db:Status-Abbrev}' cipe")
    expect(version.split() == [HIGHER, "ii"], f"dpkg says {version}")
    new = goes_on(a, streams, before, old)
    program = a.host.run(f"readlink /proc/{new[0]}/exe")
    expect(program == "/usr/sbin/ciped", f"the old program runs on: {program}")
    expect(a.host.run("systemctl show -P ActiveState,InvocationID cipe@office ciped.socket") == units,
           "tunnel unit or socket unit was stopped and started")
    streams.check(LOST_AT_MOST)
    ping_both(a, b)


def left(host, before, kept):
    """What is there that was not, but for what is kept by intent."""
    return [line for line in differences(before, traces(host, files=True))
            if not any(line.startswith(beginning) for beginning in kept)]


def removal(lab):
    """Installed, used and removed while the tunnel is up, then purged: as if it had never been there."""
    sites = pair(lab, state="bare")
    a, b = sites
    a.host.wait_for("! ip -6 address show tentative | grep -q inet6", 20, "the link-local addresses are settled")
    before = traces(a.host, files=True)
    lab.install(a.host, b.host)
    for site in sites:
        site.make_key()
    for site, other in ((a, b), (b, a)):
        site.configure(other, interface="RejectWhenDown = yes\n")
        site.host.run(f"systemctl enable -q --now cipe@{TUNNEL}", 60)
    ping_both(a, b)
    during = differences(before, traces(a.host, files=True))
    for what in ("netdevs", "routes", "sockets", "processes", "files", "BPF", "XDP", "unit files", "loaded units"):
        expect(any(line.startswith(f"{what}: +") for line in during), f"no trace of the tunnel in {what}: {during}")
    a.host.run("apt-get remove -qq -y cipe 2>&1", 150)
    found = left(a.host, before, KEPT_BY_REMOVE)
    expect(not found, f"left by removal: {found}")
    config = a.host.run("ls /etc/cipe")
    expect(config.split() == [f"{TUNNEL}.conf", "site.key"], f"/etc/cipe: {config}")
    a.host.run("apt-get purge -qq -y cipe 2>&1", 150)
    found = left(a.host, before, KEPT_BY_PURGE)
    expect(not found, f"left by purging: {found}")
    # What is kept is what a later installation goes on with.
    lab.install(a.host)
    a.host.run(f"systemctl start cipe@{TUNNEL}", 60)
    ping_both(a, b)


CASES = {"restart": restart, "upgrade": upgrade, "removal": removal}
