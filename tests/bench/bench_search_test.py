"""The search for the highest rate, on roads whose limit is known."""

import json
import pathlib
import random
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/lib"))

import measure  # noqa: E402
import unittest_xml  # noqa: E402


class Road:
    """Carries `limit` datagrams a second and loses the rest; `sender`: more than that are not sent."""

    def __init__(self, limit, sender=10_000_000):
        self.limit, self.sender, self.asked = limit, sender, []

    def __call__(self, rate):
        self.asked.append(rate)
        kept = min(rate, self.sender)
        return kept, max(kept - self.limit, 0) / kept


class Search(unittest.TestCase):
    def search(self, road, **options):
        return measure.highest_rate(road, **{"bound": 0.005, "precision": 0.04, "trials": 30,
                                             **options})

    def test_it_comes_within_the_precision_below_the_limit(self):
        for limit in (700, 9_000, 64_000, 151_000, 399_000, 1_900_000):
            for start in (1_000, 150_000, 2_000_000):
                found = self.search(Road(limit), start=start)
                self.assertLessEqual(found, limit * 1.0051, (limit, start))
                self.assertGreaterEqual(found, limit * 0.955, (limit, start))

    def test_what_it_gives_was_measured_and_passed(self):
        road = Road(100_000)
        found = self.search(road, start=80_000)
        self.assertIn(found, road.asked)
        self.assertLessEqual(road(found)[1], 0.005)

    def test_a_good_start_needs_few_trials(self):
        road = Road(100_000)
        self.search(road, start=98_000)
        self.assertLess(len(road.asked), 9)

    def test_a_start_near_the_limit_needs_fewer_trials_with_a_small_step(self):
        for limit in (100_000, 93_000, 107_000):
            road = Road(limit)
            found = self.search(road, start=99_000, step=1.15)
            self.assertLess(len(road.asked), 6)
            self.assertGreater(found, limit * 0.955)

    def test_a_small_step_grows_when_the_limit_is_far(self):
        for limit in (1_000, 1_500_000):
            road = Road(limit)
            self.assertGreater(self.search(road, start=100_000, step=1.15), limit * 0.955)
            self.assertLess(len(road.asked), 20)

    def test_it_never_measures_more_often_than_it_may(self):
        road = Road(100_000)
        self.search(road, start=1, trials=5)
        self.assertEqual(len(road.asked), 5)

    def test_the_loss_bound_counts(self):
        strict = self.search(Road(100_000), bound=0.005)
        loose = self.search(Road(100_000), bound=0.20)
        self.assertGreater(loose, 118_000)
        self.assertLess(strict, 101_000)

    def test_nothing_passes(self):
        road = Road(0)
        self.assertEqual(self.search(road, start=1000), 0)
        self.assertLess(len(road.asked), 15)

    def test_the_top_is_not_exceeded(self):
        road = Road(10_000_000)
        self.assertEqual(self.search(road, start=100_000, top=500_000), 500_000)
        self.assertLessEqual(max(road.asked), 500_000)

    def test_a_sender_at_its_own_limit_ends_the_search_there(self):
        road = Road(10_000_000, sender=230_000)
        self.assertEqual(self.search(road, start=200_000), 230_000)
        self.assertLess(len(road.asked), 25)

    def test_a_hiccup_is_forgiven_once_with_two_attempts(self):
        for attempts, least in ((1, 0), (2, 95_000)):
            road, calls = Road(100_000), []

            def hiccup(rate, road=road, calls=calls):
                calls.append(rate)
                kept, lost = road(rate)
                return (kept, 0.5) if len(calls) == 1 else (kept, lost)

            found = self.search(hiccup, start=90_000, attempts=attempts)
            self.assertGreaterEqual(found, least)
            if attempts == 1:
                self.assertLess(found, 90_000)

    def test_a_noisy_road_is_not_overrated(self):
        generator = random.Random(7)
        for _ in range(50):
            road = Road(100_000)

            def noisy(rate, road=road):
                kept, lost = road(rate)
                return kept, min(lost + generator.choice((0, 0, 0, 0.02)), 1)

            self.assertLessEqual(self.search(noisy, start=50_000, attempts=2), 100_600)


class Iperf(unittest.TestCase):
    def document(self, **end):
        return json.dumps({"end": {
            "sum_received": {"bits_per_second": 3e9, "bytes": 1_875_000_000},
            "streams": [{"receiver": {"bits_per_second": 1e9}},
                        {"receiver": {"bits_per_second": 2e9}}], **end}})

    def test_what_the_receiver_got(self):
        result = measure.read_iperf(self.document())
        self.assertEqual((result.mbit, result.octets, result.streams),
                         (3000, 1_875_000_000, [1000, 2000]))

    def test_an_unfinished_run_is_an_error_with_its_reason(self):
        text = json.dumps({"start": {}, "end": {}, "error": "unable to connect"})
        self.assertRaises(KeyError, measure.read_iperf, text)
        self.assertEqual(measure.iperf_error(text), "unable to connect")
        self.assertRaises(ValueError, measure.read_iperf, "")


if __name__ == "__main__":
    unittest_xml.main()
