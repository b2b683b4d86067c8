"""Statistics, processor time, verdicts, and what the proof lets pass."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/lib"))

import bench_cpu as cpu  # noqa: E402
import bench_statistics as statistics  # noqa: E402
import bench_verdict as verdict  # noqa: E402
import bench_world  # noqa: E402
import lab as labs  # noqa: E402
import traffic  # noqa: E402
import unittest_xml  # noqa: E402
from bench_measures import FIGURES, IMIX, MEASURES  # noqa: E402

STAT = """cpu  1000 200 3000 40000 500 60 700 80 11 12
cpu0 500 100 1500 20000 250 30 350 40 0 0
intr 1 2 3
"""
PROCESS = "4711 (a) b (c) S 1 4711 4711 0 -1 4194560 2 0 0 0 250 150 7 8 20 0 3 0 99 1 1"


class Statistics(unittest.TestCase):
    def test_spread(self):
        spread = statistics.Spread.of([3, 1, 2, 10])
        self.assertEqual((spread.median, spread.low, spread.high), (2.5, 1, 10))
        self.assertRaises(ValueError, statistics.Spread.of, [])

    def test_percentile_is_the_nearest_rank(self):
        hundred = list(range(100, 0, -1))
        self.assertEqual([statistics.percentile(hundred, p) for p in (0.5, 0.99, 1.0)],
                         [50, 99, 100])
        self.assertEqual(statistics.percentile([7], 0.01), 7)
        self.assertEqual(statistics.percentile([1, 2, 3, 4], 0.5), 2)
        self.assertRaises(ValueError, statistics.percentile, [], 0.5)

    def test_jain(self):
        self.assertEqual(statistics.jain([5, 5, 5, 5]), 1)
        self.assertEqual(statistics.jain([9, 0, 0, 0]), 0.25)
        self.assertAlmostEqual(statistics.jain([1, 2]), 0.9)
        self.assertEqual(statistics.jain([0, 0]), 0)


class Processor(unittest.TestCase):
    def test_busy_is_neither_idle_nor_waiting_nor_stolen(self):
        busy, softirq = cpu.busy_seconds(STAT)
        self.assertEqual(busy * cpu.TICKS, 1000 + 200 + 3000 + 60 + 700)
        self.assertEqual(softirq * cpu.TICKS, 700)
        for text in ("", "cpu0 1 2 3 4 5 6 7\n", "cpu  1 2 3\n"):
            self.assertRaises(ValueError, cpu.busy_seconds, text)

    def test_a_process_with_an_ugly_name(self):
        self.assertEqual(cpu.process_seconds(PROCESS) * cpu.TICKS, 400)

    def test_generators_are_taken_off_and_processes_are_known_by_both_ends(self):
        before = cpu.Moment(10.0, 1.0, 2.0, {1: 5.0, 2: 1.0})
        after = cpu.Moment(16.0, 1.5, 3.5, {1: 8.0, 3: 9.0})
        cost = cpu.Cost.between(before, after)
        self.assertEqual((cost.busy, cost.generators, cost.tunnel, cost.processes, cost.softirq),
                         (6.0, 1.5, 4.5, 3.0, 0.5))
        self.assertEqual(cost.per_gigabyte(3_000_000_000), 1.5)
        self.assertRaises(ValueError, cost.per_gigabyte, 0)

    def test_rounding_of_ticks_never_makes_it_negative(self):
        cost = cpu.Cost.between(cpu.Moment(1, 0, 1, {}), cpu.Moment(1.1, 0, 1.2, {}))
        self.assertEqual(cost.tunnel, 0)

    def test_a_child_that_was_waited_for_is_a_generator(self):
        burn = "import time\nwhile time.process_time() < 0.3: pass"
        before = cpu.Moment.now()
        subprocess.run([sys.executable, "-c", burn], check=True, timeout=60)
        cost = cpu.Cost.between(before, cpu.Moment.now())
        self.assertGreaterEqual(cost.generators, 0.3)
        self.assertGreaterEqual(cost.busy, 0.2)

    def test_a_process_that_was_not_is_the_tunnel(self):
        burn = ("import time\ninput()\nstart = time.process_time()\n"
                "while time.process_time() < start + 0.3: pass\nprint(1, flush=True)\ninput()")
        with subprocess.Popen([sys.executable, "-c", burn], stdout=subprocess.PIPE,
                              stdin=subprocess.PIPE) as process:
            before = cpu.Moment.now([process.pid])
            process.stdin.write(b"\n")
            process.stdin.flush()
            process.stdout.readline()
            cost = cpu.Cost.between(before, cpu.Moment.now([process.pid]))
            process.communicate(b"\n", timeout=60)
        self.assertGreaterEqual(cost.processes, 0.28)
        self.assertLess(cost.generators, 0.25)


def entry(name, kind="rival", **medians):
    return {"name": name, "kind": kind,
            "figures": {key: {"median": value} for key, value in medians.items()}}


def found(rows, point, rung):
    return next(row for row in rows if row.point == point and rung in row.text)


class Verdicts(unittest.TestCase):
    RUN = [entry("veth", "bare", tcp1=20_000, udp64=600_000),
           entry("cipe-rung3", "ours", tcp1=10_000, udp64=390_000, rtt_p50=210, load_p99=900, cpu=1),
           entry("cipe-rung2", "ours", tcp1=8_000, udp64=300_000, rtt_p50=300, load_p99=1200, cpu=2),
           entry("openvpn", tcp1=1_600, udp64=165_000, rtt_p50=200, load_p99=1000, cpu=5),
           entry("wireguard-go", tcp1=3_000, udp64=90_000, rtt_p50=330, load_p99=4000, cpu=3),
           entry("mine", "added", tcp1=9_000, udp64=200_000, rtt_p50=205, load_p99=1100, cpu=2.5)]

    def test_each_demand_on_each_rung(self):
        rows = verdict.verdicts(self.RUN)
        self.assertEqual(len(rows), 14)
        seen = {(row.point, rung): row.met for row in rows for rung in verdict.RUNGS
                if rung in row.text}
        self.assertEqual(seen, {
            ("1a", "rung 3"): True, ("1a", "rung 2"): False,    # 0.50 and 0.40 of the veth
            ("1b", "rung 3"): True, ("1b", "rung 2"): False,    # 3.33 and 2.67 of wireguard-go
            ("2a", "rung 3"): True, ("2a", "rung 2"): False,    # 0.65 and 0.50
            ("2b", "rung 3"): True, ("2b", "rung 2"): True,     # 1.95 and 1.5 of the added one
            ("3a", "rung 3"): True, ("3a", "rung 2"): False,    # 1.05 and 1.5 of openvpn
            ("3b", "rung 3"): True, ("3b", "rung 2"): False,    # 1000 of openvpn
            ("4", "rung 3"): True, ("4", "rung 2"): False})     # 0.4 and 0.8 of the added one

    def test_lines_name_what_was_compared(self):
        rows = verdict.verdicts(self.RUN)
        line = found(rows, "1b", "rung 3").line()
        for words in ("at least 3 times", "3.33 times", "10.00 Gbit/s", "3.00 Gbit/s of wireguard-go"):
            self.assertIn(words, line)
        self.assertTrue(line.endswith(": met"))
        self.assertIn("NOT met", found(rows, "1a", "rung 2").line())

    def test_what_is_missing_is_not_shown_rather_than_met(self):
        for run in ([], self.RUN[:1], self.RUN[1:3], self.RUN[3:]):
            rows = verdict.verdicts(run)
            self.assertEqual(len(rows), 14)
            self.assertNotIn(True, [row.met for row in rows if row.point in ("1b", "2b", "3a", "4")])
            self.assertTrue(all("not shown" in row.line() for row in rows if row.met is None))

    def test_a_rival_that_got_nothing_through_is_no_rival(self):
        run = [entry("cipe-rung3", "ours", udp64=100), entry("tinc", udp64=0.0)]
        self.assertIsNone(found(verdict.verdicts(run), "2b", "rung 3").met)

    def test_losses_are_told(self):
        lost = {(figure.key, name) for figure, name, *_ in verdict.losses(self.RUN, FIGURES)}
        self.assertIn(("rtt_p50", "cipe-rung3"), lost)
        self.assertIn(("tcp1", "cipe-rung2"), lost)
        self.assertNotIn(("tcp1", "cipe-rung3"), lost)
        self.assertNotIn(("cpu", "cipe-rung3"), lost)


class Measures(unittest.TestCase):
    def test_every_figure_is_made_by_one_measure(self):
        made = [key for entry in MEASURES.values() for key in entry.figures]
        self.assertEqual(sorted(made), sorted(FIGURES))

    def test_imix_is_seven_four_one(self):
        self.assertEqual([IMIX.count(size) for size in (64, 512, 1400)], [7, 4, 1])


class Proof(unittest.TestCase):
    GOOD = {"arrived": [200, 199], "device_octets": 20_000, "carrier_octets": 60_000,
            "markers_readable": 0, "control_markers": 10}

    def refused(self, beside=10, clear=False, **changes):
        with self.assertRaises(labs.LabError) as caught:
            bench_world.judge({**self.GOOD, **changes}, beside, clear)
        return str(caught.exception)

    def test_good_ones_pass(self):
        bench_world.judge(self.GOOD, 10, clear=False)
        bench_world.judge({**self.GOOD, "markers_readable": 399}, 10, clear=True)

    def test_each_doubt_is_refused(self):
        self.assertIn("can be read", self.refused(markers_readable=1))
        self.assertIn("cleartext, but", self.refused(clear=True))
        self.assertIn("arrived", self.refused(arrived=[200, 0]))
        self.assertIn("beside", self.refused(beside=0))
        self.assertIn("netdev counted", self.refused(device_octets=100))
        self.assertIn("carrier carried", self.refused(carrier_octets=500))
        self.assertIn("capture lacks", self.refused(control_markers=0))

    def test_the_capture_is_read_right(self):
        frames = [udp_frame("10.9.0.2", bench_world.MARKER_PORT, traffic.MARKER * 2),
                  udp_frame("192.0.2.2", bench_world.MARKER_PORT, traffic.MARKER),
                  udp_frame("192.0.2.2", 6789, b"sealed"),
                  udp_frame("192.0.2.2", 6789, b"leaks " + traffic.MARKER),
                  udp_frame("192.0.2.2", 6789, b"part", flags=0x2000), b"\x00" * 12]
        with tempfile.NamedTemporaryFile(suffix=".pcap") as file:
            file.write(pcap_file(frames))
            file.flush()
            seen = bench_world.read_capture(file.name)
        self.assertEqual(seen, {"carrier_octets": sum(map(len, frames)), "markers_readable": 3,
                                "control_markers": 1, "fragments": 1})


def udp_frame(destination, port, payload, flags=0x4000):
    """An Ethernet frame; checksums are left zero, nobody looks at them here."""
    size = 28 + len(payload)
    header = (b"\x45\x00" + size.to_bytes(2, "big") + b"\x00\x01" + flags.to_bytes(2, "big")
              + b"\x40\x11\x00\x00" + bytes([192, 0, 2, 1])
              + bytes(map(int, destination.split("."))))
    udp = (5000).to_bytes(2, "big") + port.to_bytes(2, "big") + (size - 20).to_bytes(2, "big")
    return b"\x02" * 12 + b"\x08\x00" + header + udp + b"\x00\x00" + payload


def pcap_file(frames):
    def word(value):
        return value.to_bytes(4, "little")
    head = word(0xA1B2C3D4) + b"\x02\x00\x04\x00" + word(0) * 2 + word(65535) + word(1)
    return head + b"".join(word(0) * 2 + word(len(f)) * 2 + f for f in frames)


if __name__ == "__main__":
    unittest_xml.main()
