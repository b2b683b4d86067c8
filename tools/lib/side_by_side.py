"""Runs cases in processes of their own, several side by side, and those that ask for it alone.

A case has nothing on the host that another could have too: its lab names everything by the process.
So all that cases share is the processor, which most leave idle while they wait.
"""

import contextlib
import dataclasses
import json
import os
import signal
import sys
import tempfile
import time
import typing

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
CLEANING_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Alone:
    """A case beside which no other runs, and why it must be so."""

    why: str
    case: typing.Callable

    def __call__(self, lab):
        self.case(lab)


@dataclasses.dataclass
class Running:
    name: str
    alone: bool
    place: str  # of the files PLACE.log and PLACE.json
    log: bool  # else it writes to our output
    pid: int = 0
    started: float = 0.0


def part_of(function):
    return "alone" if isinstance(function, Alone) else "beside"


def in_order(cases, seconds):
    """[(name, function)]: what runs beside others first, the longest at the front, so that the end
    is not one long case with nobody beside it. `seconds` are those of an earlier run, by name."""
    return sorted(cases.items(), key=lambda item: (isinstance(item[1], Alone),
                                                   -seconds.get(item[0], 0)))


def earlier_seconds(path):
    """{name: seconds}; empty where nothing was measured yet."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def remember_seconds(path, rows):
    measured = {row[0]: round(row[1], 1) for row in rows if row[2] == "passed"}
    fresh = path.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        fresh.write_text(json.dumps({**earlier_seconds(path), **measured}, indent=0))
        fresh.rename(path)


def start(case, function, run_case, running):
    """Forks; the child runs the case, writes (outcome, reason) to PLACE.json and ends."""
    sys.stdout.flush()
    # A signal before the child's own try would unwind our stack in the child, and one before the
    # child is in `running` would forget it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    case.started = time.monotonic()
    case.pid = os.fork()
    if case.pid == 0:
        code = 1
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            if case.log:
                with open(case.place + ".log", "wb") as file:
                    os.dup2(file.fileno(), 1)
                    os.dup2(file.fileno(), 2)
            result = run_case(function)
            with open(case.place + ".json", "w") as file:
                json.dump(result, file)
            code = 0
        except SystemExit as end:
            code = end.code
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
            os._exit(code)
    running.append(case)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def result_of(case, status, remove_remains):
    """(outcome, reason) of a process that has ended."""
    try:
        with open(case.place + ".json") as file:
            return tuple(json.load(file))
    except (OSError, ValueError):
        remove_remains(case.pid)
        return "failed", f"its process ended with {os.waitstatus_to_exitcode(status)}"


def show_log(case):
    if case.log:
        print(f"=== {case.name}", flush=True)
        with contextlib.suppress(OSError), open(case.place + ".log", errors="replace") as file:
            sys.stdout.write(file.read())


def reaped(pid, wait=False):
    """Its wait status, once it has ended; None as long as it runs."""
    try:
        found, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
    except ChildProcessError:  # an interruption came between waiting for it and forgetting it
        return 0
    return status if found else None


def end_all(running, remove_remains):
    """Asks them to end, waits until they have cleaned up, and does it for those that cannot."""
    for case in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(case.pid, signal.SIGTERM)
    deadline = time.monotonic() + CLEANING_SECONDS
    for case in running:
        while reaped(case.pid) is None:
            if time.monotonic() > deadline:
                os.kill(case.pid, signal.SIGKILL)
                reaped(case.pid, wait=True)
                remove_remains(case.pid)
                break
            time.sleep(0.05)


def may_start(running, function, jobs):
    if isinstance(function, Alone):
        return not running
    return len(running) < jobs and not any(case.alone for case in running)


def ended(running, most_seconds):
    """Takes those out of `running` that have ended, or took too long: [(case, seconds, status)]."""
    found = []
    for case in list(running):
        status, took = reaped(case.pid), time.monotonic() - case.started
        if status is None and took > most_seconds:
            os.kill(case.pid, signal.SIGKILL)
            status = reaped(case.pid, wait=True)
        if status is not None:
            running.remove(case)
            found.append((case, took, status))
    return found


def run_all(cases, run_case, jobs, most_seconds, remove_remains, seconds=None):
    """Yields (name, seconds, outcome, reason) as cases end; their output is printed in one piece
    (with one job as it comes). When the generator is closed early, the processes end first and
    remove what they made. `remove_remains(pid)` does it for one that could not."""
    waiting = in_order(cases, seconds or {}) if jobs > 1 else list(cases.items())
    running = []
    with tempfile.TemporaryDirectory(prefix="cipe-cases-") as directory:
        try:
            while waiting or running:
                while waiting and may_start(running, waiting[0][1], jobs):
                    name, function = waiting.pop(0)
                    if jobs == 1:
                        print(f"=== {name}", flush=True)
                    case = Running(name, isinstance(function, Alone),
                                   f"{directory}/{len(waiting)}", jobs > 1)
                    start(case, function, run_case, running)
                for case, took, status in ended(running, most_seconds):
                    outcome, reason = result_of(case, status, remove_remains)
                    show_log(case)
                    yield case.name, took, outcome, reason
                time.sleep(0.02)
        finally:
            # Whoever asks twice must not interrupt this; every wait in it is bounded.
            before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
            end_all(running, remove_remains)
            for number, handler in before.items():
                signal.signal(number, handler)
