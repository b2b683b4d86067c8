"""tools/bench, shortly: that it measures what it says, goes on when a contestant fails, and leaves
nothing behind however it ends."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys

import lab as labs
from side_by_side import Alone
from sites import expect

# Neither installs nor builds: what is there is tested.
BENCH = [sys.executable, str(labs.ROOT / "tools/lib/bench.py"), "--no-setup", "--quick", "--json"]
SECONDS = 150
RATES = {"udp64", "udp512", "udp1400", "imix"}
FIGURES = RATES | {"tcp1", "tcp4", "reverse", "fairness", "cpu", "rtt_p50", "rtt_p99", "load_p50",
                   "load_p99"}
FAILING = """#!/bin/sh
case $1 in
  describe) echo "version: 0"; echo "settings: none" ;;
  up) echo "the licence has expired" >&2; exit 9 ;;
esac
"""


def start(lab, *arguments):
    """Its temporary files are in a directory of ours, so that it can be seen what it leaves."""
    temporary(lab).mkdir()
    return subprocess.Popen(
        [*BENCH, "--output", lab.directory / "bench", *arguments], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**labs.command_environment(), "CIPE_BIN_DIR": str(labs.BIN),
             "TMPDIR": str(temporary(lab))})


def temporary(lab):
    return lab.directory / "tmp"


def finish(process, seconds=SECONDS):
    """(exit code, standard output, standard error); it is ended when it takes too long."""
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        process.terminate()
        _, errors = process.communicate(timeout=30)
        raise labs.LabError(f"tools/bench still ran after {seconds} s: {errors[-800:]}") from error
    return process.returncode, output, errors


def expect_nothing_left(lab, process):
    """No namespace of that process, no process of its tunnels, no file, no BPF program."""
    mark = f"cipe{process.pid}x"
    left = [line for line in lab.quiet("ip", "netns", "list").splitlines() if mark in line]
    expect(not left, f"tools/bench left namespaces: {left}")
    files = list(temporary(lab).iterdir())
    expect(not files, f"tools/bench left files: {files}")
    daemons = [line for line in command_lines() if str(temporary(lab)) in line]
    expect(not daemons, f"tools/bench left processes: {daemons}")
    programs = lab.new_programs()
    expect(not programs, f"tools/bench left BPF programs: {programs}")


def command_lines():
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")


def smoke(lab):
    """Every measure of the bare carrier and of CIPE: figures, proof, verdicts, charts."""
    process = start(lab, "--contestants", "veth,cipe-rung3")
    code, output, errors = finish(process)
    expect(code == 0, f"exit {code}: {errors[-1500:]}")
    document = json.loads(output)
    veth, ours = document["contestants"]
    expect((veth["name"], ours["name"]) == ("veth", "cipe-rung3"), "other contestants than asked for")
    for entry in (veth, ours):
        expect(entry["status"] == "measured", f"{entry['name']}: {entry['reason']}")
        seen = {key: figure["median"] for key, figure in entry["figures"].items()}
        expect(set(seen) == FIGURES, f"{entry['name']} has {sorted(seen)}")
        # A loaded machine may lose too much at any rate; TCP and pings get through all the same.
        # The bare carrier costs next to nothing beyond its load: zero, by the clock of the kernel.
        may = RATES if entry is ours else RATES | {"cpu"}
        zero = [key for key, value in seen.items() if value <= 0 and key not in may]
        expect(not zero, f"{entry['name']}: nothing for {zero}")
        expect(entry["figures"]["fairness"]["median"] <= 1, "a fairness above 1")
    expect(veth["proof"]["markers_readable"] > 0 and ours["proof"]["markers_readable"] == 0,
           f"proofs: {veth['proof']}, {ours['proof']}")
    expect(ours["facts"]["rung"] == "3", f"facts: {ours['facts']}")
    by_point = {row["point"]: row for row in document["verdicts"] if "rung 3" in row["text"]}
    expect(isinstance(by_point["1a"]["met"], bool), "nothing is said on TCP of rung 3 and veth")
    expect(by_point["1b"]["met"] is None, "something is said on rivals that did not take part")
    charts = sorted(path.name for path in (lab.directory / "bench/charts").glob("*.svg"))
    expect(charts == ["cpu.svg", "rtt.svg", "tcp.svg", "udp.svg"], f"charts: {charts}")
    expect_nothing_left(lab, process)


def goes_on(lab):
    """A contestant that cannot be set up is told with its reason and its log; the rest is measured."""
    adapter = lab.directory / "expired"
    adapter.write_text(FAILING)
    adapter.chmod(0o755)
    process = start(lab, "--contestants", "veth", "--measures", "rtt", "--adapter", adapter)
    code, output, errors = finish(process)
    expect(code == 1, f"exit {code}: {errors[-1500:]}")
    veth, failed = json.loads(output)["contestants"]
    expect(veth["figures"]["rtt_p50"]["median"] > 0, "the veth was not measured")
    expect(failed["status"] == "failed" and "the licence has expired" in failed["reason"],
           f"not told why: {failed}")
    expect(any("the licence has expired" in line for line in failed["failures"][0]["log"]),
           f"no log: {failed['failures']}")
    expect("expired: FAILED" in errors and "failed: expired" in errors, f"not said: {errors[-800:]}")
    expect_nothing_left(lab, process)


def ended(lab):
    """SIGTERM in the middle of a turn: everything is gone, and the exit code says so."""
    process = start(lab, "--contestants", "cipe-rung2", "--measures", "tcp4")
    try:
        for line in process.stderr:
            if "repetition 1" in line:
                break
        labs.wait_for("the load", lambda: running(lab, process, "iperf3"), 60)
        process.send_signal(signal.SIGTERM)
        code, *_ = finish(process, 60)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    expect(code == 128 + signal.SIGTERM, f"exit {code}")
    expect_nothing_left(lab, process)


def running(lab, process, program):
    """True when this program runs in one of the bench's namespaces."""
    for name in lab.quiet("ip", "netns", "list").split():
        if name.startswith(f"cipe{process.pid}x"):
            for pid in lab.pids(name):
                try:
                    if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == program:
                        return True
                except OSError:
                    continue
    return False


WHY = "it measures with all the processors there are"
CASES = {"smoke": Alone(WHY, smoke), "goes-on": Alone(WHY, goes_on), "ended": ended}
