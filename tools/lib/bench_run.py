"""A run of tools/bench: every contestant's turns, interleaved, and the document they make."""

import dataclasses
import signal
import subprocess
import time

import bench_adapter as adapters
import bench_machine
import bench_measures as measures
import bench_statistics as statistics
import bench_verdict as verdict
import bench_world
import lab as labs

SCHEMA = 1
UP_AND_DOWN = 4   # seconds, about
PROOF_SECONDS = 6
FAILURES = (labs.LabError, subprocess.SubprocessError, OSError, ValueError)


@dataclasses.dataclass(frozen=True)
class Options:
    contestants: list  # adapters.Contestant
    measures: list     # names, in the order of measures.MEASURES
    repeat: int
    seconds: int
    trial_seconds: float

    def estimate(self):
        """About how many seconds the whole run takes."""
        turn = measures.seconds_needed(self.measures, self.seconds, self.trial_seconds)
        return len(self.contestants) * (PROOF_SECONDS + self.repeat * (turn + 1 + UP_AND_DOWN))

    def turn_limit(self):
        """Seconds after which a turn is given up: every search at its longest, and then some."""
        slow = measures.TRIALS * (self.trial_seconds + 2)
        return int(120 + len(self.measures) * (self.seconds + 25 + slow))


class Bench:
    """`say` takes lines on what goes on, `echo` every command."""

    def __init__(self, options, say, echo):
        self.options, self.say, self.echo = options, say, echo
        self.entries = {c.name: {"name": c.name, "kind": c.kind, "variant": c.variant,
                                 "status": "not measured", "reason": "", "facts": {}, "proof": {},
                                 "busy_before": [], "runs": {}, "details": [], "failures": [], "figures": {}}
                        for c in options.contestants}

    def run(self):
        """The document."""
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        machine = bench_machine.describe()
        begin = time.monotonic()
        ready = [c for c in self.options.contestants if self._introduce(c)]
        ready = [c for c in ready if self._prove(c)]
        for repetition in range(1, self.options.repeat + 1):
            for contestant in ready:
                self._take_turn(contestant, repetition)
        for entry in self.entries.values():
            finish(entry)
        document = {"schema": SCHEMA, "started": started,
                    "took_seconds": round(time.monotonic() - begin), "machine": machine,
                    "options": {"repeat": self.options.repeat, "seconds": self.options.seconds,
                                "trial_seconds": self.options.trial_seconds,
                                "measures": self.options.measures,
                                "loss_bound": measures.LOSS_BOUND,
                                "inner_mtu": adapters.MTU},
                    "contestants": list(self.entries.values())}
        document["verdicts"] = [dataclasses.asdict(row)
                                for row in verdict.verdicts(document["contestants"])]
        return document

    def _introduce(self, contestant):
        """True when it can run here."""
        entry = self.entries[contestant.name]
        try:
            entry["facts"] = adapters.describe(contestant)
            return True
        except adapters.NotHere as error:
            entry.update(status="not here", reason=str(error))
            self.say(f"{contestant.name}: not here: {error}")
        except FAILURES as error:
            self._failed(contestant, "describe", error, [])
        return False

    def _prove(self, contestant):
        """True when its traffic crosses its tunnel and cannot be read on the way."""
        self.say(f"{contestant.name}: proof")

        def proof(world):
            self.entries[contestant.name]["proof"] = world.prove()
            for facts in world.facts.values():
                self.entries[contestant.name]["facts"].update(facts)
        return self._in_world(contestant, "proof", proof, bridged=True)

    def _take_turn(self, contestant, repetition):
        entry = self.entries[contestant.name]

        def turn(world):
            hints = {key: runs[-1] for key, runs in entry["runs"].items()}
            now = measures.Turn(world, self.options.seconds, self.options.trial_seconds, hints)
            measures.warm_up(now)
            for name in self.options.measures:
                self._measure(entry, name, now, repetition)
        busy = bench_machine.other_load()
        entry["busy_before"].append(busy)
        self.say(f"{contestant.name}: repetition {repetition} of {self.options.repeat}"
                 + (f", while something else keeps {busy:.2f} processors busy"
                    if busy > bench_machine.NOISE else ""))
        self._in_world(contestant, f"repetition {repetition}", turn)

    def _measure(self, entry, name, turn, repetition):
        pids = turn.world.tunnel_pids()
        figures, details = measures.MEASURES[name].run(turn)
        gone = set(pids) - set(turn.world.tunnel_pids())
        if gone:
            raise labs.LabError(f"{name}: a process of the tunnel ended")
        for key, value in figures.items():
            entry["runs"].setdefault(key, []).append(value)
        entry["details"].append({"repetition": repetition, "measure": name, **details})
        text = ", ".join(show(key, value) for key, value in figures.items())
        self.say(f"  {name}: {text}")

    def _in_world(self, contestant, during, function, bridged=False):
        """True when it went well; a failure is told and recorded, and the run goes on."""
        world = None
        signal.alarm(self.options.turn_limit())
        try:
            world = bench_world.World(contestant, self.echo, bridged)
            with world:
                function(world)
            return True
        except FAILURES as error:
            self._failed(contestant, during, error, world.last_log if world else [])
            return False
        finally:
            signal.alarm(0)

    def _failed(self, contestant, during, error, log):
        self.say(f"{contestant.name}: FAILED in {during}: {error}")
        for line in log:
            self.say(f"    {line}")
        self.entries[contestant.name]["failures"].append(
            {"during": during, "reason": str(error), "log": log})


def show(key, value):
    figure = measures.FIGURES[key]
    return f"{figure.title} {value * figure.scale:.{figure.digits}f} {figure.unit}"


def finish(entry):
    """Adds medians and spreads, and what became of the contestant."""
    for key, runs in entry["runs"].items():
        spread = statistics.Spread.of(runs)
        entry["figures"][key] = {"median": spread.median, "low": spread.low, "high": spread.high,
                                 "runs": list(spread.runs)}
    del entry["runs"]
    if entry["failures"]:
        entry["status"] = "failed"
        entry["reason"] = entry["failures"][-1]["reason"]
    elif entry["figures"]:
        entry["status"] = "measured"


def out_of_time(*_):
    raise labs.LabError("the turn took longer than it may")


def ended(number, _):
    raise SystemExit(128 + number)


def guard():
    """A signal ends the run like an error, so that everything is removed on the way out."""
    signal.signal(signal.SIGALRM, out_of_time)
    for number in bench_world.ENDING:
        signal.signal(number, ended)
