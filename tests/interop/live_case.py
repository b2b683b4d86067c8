"""What the live_*_test.py programs share: what they need, a bound on time, common checks.

Import this before anything else of the folder: it says "skipped" and ends the program when the
tests cannot run here.
"""

import concurrent.futures
import os
import pathlib
import signal
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / directory) for directory in
                ("tests/interop", "tests/netns", "tools/lib")]
os.environ["PATH"] += ":/usr/sbin:/sbin"

if os.geteuid() != 0:
    print("skipped, because it makes network namespaces, which needs root")
    sys.exit(77)
try:
    import live_world
    from live_world import INNER
except ModuleNotFoundError as missing:
    if not (missing.name or "").startswith("cryptography"):
        raise
    print("skipped, because python3-cryptography is not installed")
    sys.exit(77)
import unittest_xml  # noqa: E402

PROGRAM_SECONDS = 240  # below the limit of CTest, which kills without giving time to tidy up
AT_ONCE = 12


def take_ping(live, family=4, **options):
    """The lane of ciped's host's answer to our inner ping."""
    theirs, ours = INNER[family]
    return live.ping(ours, theirs, **options)


class Case(unittest.TestCase):

    def kernel_ping(self, world, live, family):
        """A ping by ciped's host, which we answer."""
        process = world.kernel_ping(family)
        live.poll_until(lambda: process.poll() is not None, 5)
        self.assertEqual(process.wait(timeout=5), 0, process.stdout.read())

    def check_traffic(self, world, live):
        """Both families, both directions, small, large and padded."""
        for family in (4, 6):
            for size, padding in ((0, 0), (32, 0), (33, 7), (1300, 0), (1300, 60)):
                self.assertEqual(take_ping(live, family, size=size, padding=padding), 0,
                                 f"inner IPv{family}, {size} octets, padding {padding}")
            self.kernel_ping(world, live, family)
        self.assertEqual(dict(live.drops), {})


class Together(Case):
    """Cases that mostly wait: all of one class run at once, each in a world of its own.

    A subclass names its cases wait_*; each shows up as test_*. Which of them a command line asked
    for makes no difference to what runs, only to what is shown.
    """

    _results = None

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)

        def shown(name):
            return lambda self: self.result_of(name)

        for name in [name for name in vars(cls) if name.startswith("wait_")]:
            setattr(cls, "test_" + name.removeprefix("wait_"), shown(name))

    @classmethod
    def setUpClass(cls):
        names = [name for name in vars(cls) if name.startswith("wait_")]
        pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        cls._results = {name: pool.submit(getattr(cls(name), name)) for name in names}
        pool.shutdown(wait=False)

    def result_of(self, name):
        self._results[name].result()


def _ended(number, _):
    # Not SystemExit, which unittest takes for the failure of one case and goes on.
    raise KeyboardInterrupt(f"signal {signal.Signals(number).name}")


def main():
    """Runs the cases; whatever ends the program but SIGKILL, no namespace is left."""
    live_world.require_binaries()
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _ended)
    signal.alarm(PROGRAM_SECONDS)
    try:
        unittest_xml.main()
    except KeyboardInterrupt as reason:
        print(f"ended by {reason}", flush=True)
        live_world.close_all()
        os._exit(1)  # threads of cases may still wait for something
    finally:
        signal.alarm(0)
        live_world.close_all()
