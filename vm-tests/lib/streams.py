"""Numbered datagrams through a tunnel, both ways at once, for what must not lose any."""

import json
import pathlib
import signal

from channel import VmError
from sites import TUNNEL, expect

PROGRAM = pathlib.Path(__file__).resolve().parents[1] / "guest/stream.py"
# What waits for a ciped that is being replaced waits in the netdev, which holds 500 packets: 20 s.
PORT, RATE = 7200, 25
LONGEST = 300  # seconds that a stream may go on


class Streams:
    """`a` and `b` are Sites. Flows when it is made; check() ends it."""

    def __init__(self, a, b, rate=RATE):
        self._sites, self._jobs = (a, b), {}
        for site, other in ((a, b), (b, a)):
            site.host.put_file("/root/stream.py", PROGRAM)
            site.host.run("rm -f /run/stream.received")
            self._jobs[site] = site.host.start(
                f"exec python3 /root/stream.py {site.inner4} {other.inner4} {PORT} {rate}", LONGEST)
        for site in self._sites:
            self._await(site, 20)

    def _received(self, site):
        return int(site.host.machine.run("cat /run/stream.received").out or 0)

    def _await(self, site, count, seconds=60):
        site.host.wait_for(f"[ $(cat /run/stream.received 2>/dev/null || echo 0) -ge {count} ]",
                           seconds, f"datagrams come to {site.host.name}")

    def flow(self, more=30, seconds=60):
        """Until so many more have come at both ends."""
        counts = {site: self._received(site) for site in self._sites}
        for site, count in counts.items():
            self._await(site, count + more, seconds)

    def check(self, lost_at_most):
        """{site: how many of those sent to it were lost}; fails when more were."""
        for site in self._sites:
            site.host.run("pkill -USR1 -f /root/stream.py")
        said = {site: json.loads(job.stop(signal.SIGTERM)) for site, job in self._jobs.items()}
        lost = {}
        for site, other in (self._sites, self._sites[::-1]):
            got = said[site]
            # What came before this end listened is not lost.
            sent = said[other]["sent"] - said[other]["refused"] - got["first"]
            lost[site] = sent - got["received"]
            site.host.say(
                f"{sent} were sent to it, {lost[site]} lost {got['missing']}, longest silence "
                f"{got['longest_silence'] * 1000:.0f} ms, {said[other]['refused']} not accepted by the "
                "kernel")
            expect(got["repeated"] == 0, f"{site.host.name}: {got['repeated']} datagrams came twice")
            expect(lost[site] <= lost_at_most, f"{lost[site]} of {sent} datagrams to {site.host.name} "
                   f"were lost, more than {lost_at_most}: {got}")
        return lost


def sessions(site):
    """{(own index, peer's index): (send counter, greatest received)}."""
    return {(entry["local_index"], entry["remote_index"]):
            (entry["tx_counter"], entry["rx_greatest"] or 0)
            for entry in site.show("sessions")["sessions"] if entry["tunnel"] == TUNNEL}


def expect_same_sessions(site, before):
    """The same, with counters that went on."""
    now = sessions(site)
    name = site.host.name
    expect(now.keys() == before.keys(), f"{name}: sessions {list(now)}, were {list(before)}")
    for index, counters in now.items():
        expect(all(new >= old for new, old in zip(counters, before[index])),
               f"{name}: counters of session {index} are {counters}, were {before[index]}")
    drops = {drop["reason"]: drop["count"] for drop in site.show("drops")["drops"]}
    # Nothing is doubled on these wires: a counter that is seen twice was used twice.
    expect(not drops.get("rx_replayed"), f"{name}: counters were used twice: {drops}")


def processes(site):
    """(process of the broker, process of the engine)."""
    daemon = json.loads(site.host.run("cipectl version -j"))
    if not daemon.get("engine_pid"):
        raise VmError(f"{site.host.name}: no daemon, says `cipectl version`")
    return daemon["ciped_pid"], daemon["engine_pid"]
