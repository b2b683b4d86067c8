"""The contract between tools/bench and an adapter, with small adapters made for it; and what its
command line takes."""

import contextlib
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/lib"))

import bench  # noqa: E402
import bench_adapter as adapters  # noqa: E402
import bench_run  # noqa: E402
import lab as labs  # noqa: E402
import unittest_xml  # noqa: E402

GOOD = """#!/bin/sh
case $1 in
  describe) echo "version: 1.2"; echo "settings: x: y, of $BENCH_VARIANT" ;;
  up) env | grep ^BENCH_ | sort; sleep 60 & echo $! >"$BENCH_DIR/$BENCH_END.pid" ;;
  down) kill "$(cat "$BENCH_DIR/$BENCH_END.pid")" ;;
esac
"""


class WithAdapter(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)

    def made(self, text, name="other", mode=0o755):
        path = self.directory / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def contestant(self, text, variant=""):
        return adapters.added(f"{self.made(text)}:{variant}")


class Describe(WithAdapter):
    def test_facts(self):
        facts = adapters.describe(self.contestant(GOOD, "colour 7"))
        self.assertEqual(facts, {"version": "1.2", "settings": "x: y, of colour 7"})

    def test_not_here_has_the_adapters_reason(self):
        one = self.contestant("#!/bin/sh\necho the first line >&2\necho no such module >&2\nexit 77\n")
        with self.assertRaises(adapters.NotHere) as caught:
            adapters.describe(one)
        self.assertEqual(str(caught.exception), "no such module")

    def test_a_broken_one_is_told_and_why(self):
        for text, words in (("#!/bin/sh\necho oops >&2; exit 3\n", "exit 3: oops"),
                            ("#!/bin/sh\nexit 1\n", "it said nothing"),
                            ("#!/bin/sh\necho version 1\n", "no line 'key: value'"),
                            ("#!/bin/sh\necho version: 1\n", "'settings: ...'"),
                            ("#!/nonexistent\n", "describe:")):
            with self.assertRaises(labs.LabError) as caught:
                adapters.describe(self.contestant(text))
            self.assertIn(words, str(caught.exception))

    def test_one_that_hangs_is_ended(self):
        with unittest.mock.patch.object(adapters, "VERB_SECONDS", 0.5):
            with self.assertRaises(labs.LabError) as caught:
                adapters.describe(self.contestant("#!/bin/sh\nexec sleep 30\n"))
        self.assertIn("not done after", str(caught.exception))


class UpAndDown(WithAdapter):
    def call(self, contestant, verb, end):
        return adapters.call(contestant, verb,
                             adapters.environment(contestant, self.directory, end),
                             log=self.directory / f"{end}.log")

    def test_a_daemon_in_the_background_does_not_hold_it_up(self):
        contestant, start = self.contestant(GOOD), time.monotonic()
        self.call(contestant, "up", "a")
        self.assertLess(time.monotonic() - start, 20)
        pid = int((self.directory / "a.pid").read_text())
        os.kill(pid, 0)  # it is there
        self.call(contestant, "down", "a")
        labs.wait_for("the daemon to end", lambda: ended(pid))

    def test_it_is_told_everything(self):
        contestant = self.contestant(GOOD, "v")
        for end in adapters.ENDS:
            self.call(contestant, "up", end)
            self.call(contestant, "down", end)
        a, b = (dict(line.split("=", 1) for line in
                     (self.directory / f"{end}.log").read_text().splitlines())
                for end in adapters.ENDS)
        self.assertEqual(set(a), {
            "BENCH_BIN", "BENCH_CARRIER", "BENCH_CARRIER_LOCAL", "BENCH_CARRIER_REMOTE",
            "BENCH_DEVICE", "BENCH_DIR", "BENCH_END", "BENCH_LOCAL", "BENCH_MTU", "BENCH_PORT",
            "BENCH_REMOTE", "BENCH_VARIANT"})
        self.assertEqual((a["BENCH_END"], a["BENCH_VARIANT"], b["BENCH_END"]), ("a", "v", "b"))
        for kind in ("", "CARRIER_"):
            self.assertEqual(a[f"BENCH_{kind}LOCAL"], b[f"BENCH_{kind}REMOTE"])
            self.assertNotEqual(a[f"BENCH_{kind}LOCAL"], a[f"BENCH_{kind}REMOTE"])
        page = (ROOT / "docs/performance.md").read_text()
        for name in a:
            self.assertIn(f"`{name}`", page)

    def test_a_failure_has_the_last_line_of_the_log(self):
        contestant = self.contestant("#!/bin/sh\necho first; echo cannot open tun >&2; exit 4\n")
        with self.assertRaises(labs.LabError) as caught:
            self.call(contestant, "up", "a")
        self.assertEqual(str(caught.exception), "up: exit 4: cannot open tun")

    def test_77_is_a_failure_when_it_comes_from_up(self):
        self.assertRaises(labs.LabError, self.call, self.contestant("#!/bin/sh\nexit 77\n"), "up", "a")


def ended(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


class BuiltIn(unittest.TestCase):
    def test_names_are_unique_and_the_programs_are_there(self):
        contestants = adapters.built_in()
        self.assertEqual(len({c.name for c in contestants}), len(contestants))
        for contestant in contestants:
            self.assertTrue(os.access(contestant.adapter, os.X_OK), contestant.adapter)
            self.assertIn(contestant.kind, adapters.KINDS)

    def test_shells_take_them(self):
        for path in adapters.ADAPTERS.iterdir():
            result = subprocess.run(["sh", "-n", path], capture_output=True, text=True, timeout=20)
            self.assertEqual((result.returncode, result.stderr), (0, ""), path)

    def test_every_package_they_need_is_installed_by_the_bench(self):
        listed = (ROOT / "tools/install-dependencies").read_text()
        for package in ("wireguard-go", "wireguard-tools", "openvpn", "fastd", "tinc", "openssl"):
            self.assertRegex(listed, rf'packages="\$packages.*\b{package}\b')
            self.assertIn(package, (ROOT / "docs/architecture.md").read_text())


class CommandLine(WithAdapter):
    def read(self, *arguments):
        return bench.read_options(list(arguments))[1]

    def refused(self, *arguments):
        errors = io.StringIO()
        with self.assertRaises(SystemExit) as caught, contextlib.redirect_stderr(errors):
            self.read(*arguments)
        self.assertEqual(caught.exception.code, 2)
        return errors.getvalue()

    def test_everything_without_options(self):
        options = self.read()
        self.assertEqual(options.contestants, adapters.built_in())
        self.assertEqual((options.repeat, options.seconds, options.trial_seconds), (3, 5, 1.0))

    def test_less_and_more(self):
        adapter = self.made(GOOD)
        options = self.read("--contestants", "tinc,veth", "--measures", "rtt,tcp1", "--adapter",
                            f"{adapter}:fast", "--seconds", "10", "--repeat", "5")
        self.assertEqual([c.name for c in options.contestants], ["veth", "tinc", "other-fast"])
        self.assertEqual(options.measures, ["tcp1", "rtt"])
        self.assertEqual((options.repeat, options.trial_seconds), (5, 2.0))

    def test_quick_is_quick(self):
        options = self.read("--quick", "--contestants", "veth,cipe-rung3")
        self.assertEqual((options.repeat, options.seconds), (1, 1))
        self.assertLess(options.estimate(), 120)

    def test_longer_runs_are_announced_as_longer(self):
        self.assertGreater(self.read("--repeat", "6").estimate(),
                           self.read("--repeat", "3").estimate() * 1.8)

    def test_what_is_refused_says_what_there_is(self):
        self.assertIn("there are: veth", self.refused("--contestants", "weth"))
        self.assertIn("tcp1", self.refused("--measures", "tcp9"))
        self.assertIn("is named", self.refused("--measures", ","))
        self.assertIn("executed", self.refused("--adapter", str(self.made(GOOD, mode=0o644))))
        self.assertIn("executed", self.refused("--adapter", "/nonexistent"))
        self.assertIn("already", self.refused("--adapter", str(self.made(GOOD, "tinc"))))
        self.assertIn("--write-docs", self.refused("--quick", "--write-docs"))
        for text in ("0", "x", "99999"):
            self.assertIn("--repeat", self.refused("--repeat", text))


class Finish(unittest.TestCase):
    def test_medians_and_status(self):
        entry = {"runs": {"tcp1": [3.0, 1.0, 2.0]}, "figures": {}, "failures": [], "status": "",
                 "reason": ""}
        bench_run.finish(entry)
        self.assertEqual(entry["figures"]["tcp1"],
                         {"median": 2.0, "low": 1.0, "high": 3.0, "runs": [3.0, 1.0, 2.0]})
        self.assertEqual(entry["status"], "measured")

    def test_one_failure_among_good_turns_is_not_hidden(self):
        entry = {"runs": {"tcp1": [3.0]}, "figures": {}, "status": "", "reason": "",
                 "failures": [{"during": "repetition 2", "reason": "gone", "log": []}]}
        bench_run.finish(entry)
        self.assertEqual((entry["status"], entry["reason"]), ("failed", "gone"))
        self.assertEqual(entry["figures"]["tcp1"]["median"], 3.0)


if __name__ == "__main__":
    unittest_xml.main()
