"""A debug look: what the kernel says and keeps when tunnels come and go."""

from sites import TUNNEL, configured_pair, expect, ping_both, up
from traces import differences, traces

TURNS = 3
MAY_GROW = 1024  # KB, of what grew between the first turn and the last; an AF_XDP socket's frames take more


def memory(host):
    """KB that belong to nobody who could be asked: BPF maps, per-CPU data, locked pages of a socket."""
    host.run("sync; echo 3 > /proc/sys/vm/drop_caches")
    fields = dict(line.split(":") for line in host.run("cat /proc/meminfo").splitlines())
    return {name: int(fields[name].split()[0]) for name in ("Percpu", "VmallocUsed", "Mlocked", "SUnreclaim")}


def come_and_go(lab):
    """Up, traffic, down, several times: afterwards links, routes, BPF programs and maps are as before, and so is the
    memory that they take."""
    a, b = configured_pair(lab)
    before = [traces(site.host) for site in (a, b)]
    grown = []
    for turn in range(TURNS):
        up(a, b)
        ping_both(a, b)
        shown = differences(before[0], traces(a.host)) if turn == 0 else []
        for what in ("netdevs", "BPF", "XDP") if turn == 0 else ():
            expect(any(line.startswith(f"{what}: +") for line in shown), f"no {what} while the tunnel is up: {shown}")
        # Both ways to say it.
        a.host.run(f"cipectl down {TUNNEL}", 60)
        a.host.run(f"systemctl stop cipe@{TUNNEL}", 60)
        b.host.run(f"systemctl stop cipe@{TUNNEL}", 60)
        for site in (a, b):
            site.host.wait_for("[ $(systemctl is-active ciped.service) = inactive ]", 60, "ciped ends by itself")
        for site, was in zip((a, b), before) if turn == TURNS - 1 else ():
            # Maps are freed after a grace period.
            site.host.wait_for("! bpftool map show | grep -q cipe", 20, "the maps are gone")
            found = differences(was, traces(site.host))
            expect(not found, f"{site.host.name}: left after `down`: {found}")
        a.host.wait_for("! bpftool map show | grep -q cipe", 20, "the maps are gone")
        grown.append(memory(a.host))
        lab.say(f"memory after turn {turn + 1}: {grown[-1]}")
    for name, first in grown[0].items():
        more = grown[-1][name] - first
        expect(more < MAY_GROW, f"{name} grew by {more} KB in {TURNS - 1} turns: {grown}")


CASES = {"come-and-go": come_and_go}
