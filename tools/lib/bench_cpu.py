"""Processor time of a measurement, and whose it was.

The time that a tunnel costs is what the whole machine was busy, by the line `cpu` of /proc/stat
(user, nice, system, irq, softirq), less what the traffic's generators and this program itself used,
by getrusage(2). What remains is user and system time of the tunnel's processes, of kernel threads
that work for it, and the softirq time that no process was charged with. Two things follow: what
else runs on the machine at that time counts too, and what the kernel does inside a generator's own
system call (TCP, and on a bare veth most of the receiving side) does not.
"""

import dataclasses
import os
import pathlib
import resource

TICKS = os.sysconf("SC_CLK_TCK")
_BUSY = (0, 1, 2, 5, 6)  # user nice system [idle iowait] irq softirq [steal guest guest_nice]


def busy_seconds(stat):
    """(busy, of that softirq) since boot, from the text of /proc/stat. ValueError without a cpu line."""
    for line in stat.splitlines():
        if line.startswith("cpu "):
            ticks = [int(word) for word in line.split()[1:]]
            if len(ticks) < 7:
                break
            return sum(ticks[i] for i in _BUSY) / TICKS, ticks[6] / TICKS
    raise ValueError("/proc/stat has no line of all processors")


def process_seconds(stat):
    """User and system time from the text of /proc/PID/stat, its threads included."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def own_seconds():
    """This program and every child it has waited for."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


def read_stat(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None


@dataclasses.dataclass(frozen=True)
class Moment:
    """The counters at one time. `processes`: {pid: seconds} of those that make the tunnel."""

    busy: float
    softirq: float
    own: float
    processes: dict

    @classmethod
    def now(cls, pids=()):
        """Generators must have been waited for before the second moment is taken."""
        busy, softirq = busy_seconds(pathlib.Path("/proc/stat").read_text())
        stats = {pid: read_stat(pid) for pid in pids}
        return cls(busy, softirq, own_seconds(),
                   {pid: process_seconds(stat) for pid, stat in stats.items() if stat})


@dataclasses.dataclass(frozen=True)
class Cost:
    """Seconds between two moments."""

    busy: float
    generators: float
    tunnel: float     # busy less generators
    processes: float  # of that, the tunnel's own processes
    softirq: float    # of the whole machine; some of it may be in `generators`

    @classmethod
    def between(cls, before, after):
        busy, generators = after.busy - before.busy, after.own - before.own
        processes = sum(seconds - before.processes[pid] for pid, seconds in after.processes.items()
                        if pid in before.processes)
        return cls(busy, generators, max(busy - generators, 0.0), processes,
                   after.softirq - before.softirq)

    def per_gigabyte(self, octets):
        """Seconds for each 10^9 octets of payload. ValueError when nothing was carried."""
        if octets <= 0:
            raise ValueError("nothing was carried")
        return self.tunnel / (octets / 1e9)
