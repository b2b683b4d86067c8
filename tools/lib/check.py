"""The body of tools/check: builds, runs the tiers, counts test cases from what the runners wrote."""

import argparse
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

from build_ahead import BuildAhead

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOGS = ROOT / "build/check"
JOBS = os.environ.get("CIPE_JOBS", "2")
# A skip whose reason starts so cannot be helped by installing something or by becoming root.
CHECKED = ("unit", "sim")  # labels of the tests that run under sanitizers
UNAVOIDABLE = ("needs kernel:", "needs hardware:")


@dataclasses.dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    notes: list = dataclasses.field(default_factory=list)

    def add(self, outcome, name="", reason=""):
        if outcome == "skipped" and skips_count_as_failures() and not reason.startswith(UNAVOIDABLE):
            self.notes.append(f"skipped, but it can run here: {name}: {reason}")
            outcome = "failed"
        elif outcome != "passed":
            self.notes.append(f"{outcome}: {name}" + (f": {reason}" if reason else ""))
        setattr(self, outcome, getattr(self, outcome) + 1)


def skips_count_as_failures():
    return os.environ.get("CI") == "true" and os.geteuid() == 0


def skip_reason(text):
    """The last line of what a skipped case or program said, without "skipped, because"."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1].removeprefix("skipped, because ") if lines else ""


def failure_reason(case):
    """The last words of what a failed case said: enough to know what it was, where the log is gone."""
    elements = [e for e in case if e.tag in ("failure", "error")]
    lines = (elements[0].get("message") or elements[0].text or "").strip().splitlines()
    return " ".join(line.strip() for line in lines[-6:])[-1000:]


def add_xml(tally, path):
    """Adds the cases of one GoogleTest or JUnit file; returns how many of them failed."""
    failures = 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name', '')}"
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failures += 1
            tally.add("failed", name, failure_reason(case))
        elif skip is not None or case.get("result") in ("skipped", "suppressed"):
            tally.add("skipped", name, skip_reason(skip.get("message") if skip is not None else ""))
        elif case.get("status") == "notrun":
            continue  # disabled by its name or by a filter
        else:
            tally.add("passed")
    return failures


def run_logged(log, *command, timeout, env=None):
    """Exit code of the command, its output appended to the log; 124 when its time was up."""
    with open(log, "ab") as file:
        file.write(("$ " + " ".join(map(str, command)) + "\n").encode())
        file.flush()
        # Its own process group, so that a timeout ends the children too.
        process = subprocess.Popen([str(word) for word in command], cwd=ROOT, stdout=file,
                                   stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   env={**os.environ, **(env or {})}, start_new_session=True)
        try:
            return process.wait(timeout=timeout)
        except BaseException as error:
            # SIGTERM first: the network tests remove their namespaces on it.
            for number, seconds in ((signal.SIGTERM, 90), (signal.SIGKILL, 20)):
                try:
                    os.killpg(process.pid, number)
                    process.wait(timeout=seconds)
                    break
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
            if isinstance(error, subprocess.TimeoutExpired):
                file.write(f"\ntools/check: ended after {timeout} s\n".encode())
                return 124
            raise


def build(preset, log, *targets):
    """True when it was built; what went wrong is in the log."""
    return run_logged(log, "tools/lib/build", preset, *targets, timeout=2400) == 0


def ctest_tier(tier, preset, labels, prefix=(), env=None, only_tests=False):
    """Builds the preset and runs the tests with any of the labels."""
    log, results, tally = LOGS / f"{tier}.log", LOGS / tier, Tally()
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    if not build_for(preset, log, labels, only_tests):
        tally.add("failed", f"build of {preset}")
        return tally
    junit = results / "ctest.junit"
    code = run_logged(log, *prefix, "ctest", "--test-dir", f"build/{preset}", "-j", JOBS, "-L",
                      f"^({'|'.join(labels)})$", "--output-on-failure", "--no-tests=error",
                      "--output-junit", junit, timeout=1200,
                      env={"GTEST_OUTPUT": f"xml:{results}/", **(env or {})})
    if not junit.exists():
        tally.add("failed", f"ctest ended with {code} and left no results")
        return tally
    for test in ElementTree.parse(junit).getroot().iter("testcase"):
        add_ctest(tally, test, results / f"{test.get('name')}.xml")
    if code != 0 and not tally.failed:
        tally.add("failed", f"ctest ended with {code}")
    return tally


def add_ctest(tally, test, xml):
    """One CTest test: its cases where it wrote them down, else itself as one case."""
    name, status = test.get("name"), test.get("status")
    skip = test.find("skipped")
    failures = 0
    if xml.exists():
        try:
            failures = add_xml(tally, xml)
        except ElementTree.ParseError:
            tally.add("failed", name, "result file is broken; the program crashed")
            return
        # The program can still fail as a whole: a crash or a sanitizer report at its end.
        if status == "fail" and not failures:
            tally.add("failed", name, "ended with an error after its last case")
    elif status == "run":
        tally.add("passed")
    elif status == "notrun" and skip is not None and "SKIP_RETURN_CODE" in skip.get("message", ""):
        tally.add("skipped", name, skip_reason(test.findtext("system-out")))
    else:
        tally.add("failed", name, skip.get("message", "") if skip is not None else "")


def build_for(preset, log, labels, only_tests):
    """The whole preset, or (sanitizers) just the test programs of these labels."""
    if not only_tests:
        return build(preset, log)
    targets = test_targets(preset, labels, log)
    return bool(targets) and build(preset, log, *targets)


def test_targets(preset, labels, log):
    """Targets of the test programs with any of the labels; none when it cannot be configured."""
    if run_logged(log, "cmake", "--preset", preset, timeout=300, env=launcher()) != 0:
        return []
    listed = subprocess.run(
        ["ctest", "--test-dir", f"build/{preset}", "--show-only=json-v1", "-L",
         f"^({'|'.join(labels)})$"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    names = {test["name"] for test in json.loads(listed.stdout or "{}").get("tests", [])}
    return sorted(names & ninja_targets(preset))


def fuzz_targets(log):
    """Names of the fuzz targets; None when it cannot be configured."""
    if run_logged(log, "cmake", "--preset", "fuzz", timeout=300, env=launcher()) != 0:
        return None
    # "all" lists each program by path as well; the plain names are the targets.
    return sorted(name for name in ninja_targets("fuzz")
                  if name.endswith("_fuzz") and "/" not in name and "depends" not in name)


def launcher():
    if shutil.which("ccache") and "CMAKE_CXX_COMPILER_LAUNCHER" not in os.environ:
        return {"CMAKE_CXX_COMPILER_LAUNCHER": "ccache", "CMAKE_C_COMPILER_LAUNCHER": "ccache"}
    return {}


def ninja_targets(preset):
    output = subprocess.run(["ninja", "-C", f"build/{preset}", "-t", "targets", "all"], cwd=ROOT,
                            capture_output=True, text=True, timeout=120).stdout
    return {line.partition(":")[0] for line in output.splitlines()}


def netns_tier(ahead):
    """Programs that make a namespace of their own, then real daemons in several; cases that must be
    alone have no compiler beside them either."""
    tally = ctest_tier("netns", "release", ["netns"])
    netns_part(tally, "beside")
    with ahead.paused():
        netns_part(tally, "alone")
    return tally


def netns_part(tally, part):
    results = LOGS / f"netns-{part}.xml"
    results.unlink(missing_ok=True)
    code = run_logged(LOGS / "netns.log", "tests/netns/run", "--jobs", JOBS, "--part", part,
                      "--results", results, timeout=3600)
    failures = add_xml(tally, results) if results.exists() else 0
    if code not in (0, 77) and not failures:
        tally.add("failed", f"tests/netns/run --part {part} ended with {code}")


def fuzz_tier(seconds):
    """Each target is one case; its corpus starts from tests/fuzz/corpus/TARGET."""
    log, tally = LOGS / "fuzz.log", Tally()
    targets = fuzz_targets(log)
    if targets is None:
        tally.add("failed", "configuring fuzz")
        return tally
    if targets and not build("fuzz", log, *targets):
        tally.add("failed", "build of fuzz")
        return tally
    for target in targets:
        corpus = LOGS / "fuzz" / target
        corpus.mkdir(parents=True, exist_ok=True)
        seeds = [path for path in [ROOT / "tests/fuzz/corpus" / target] if path.is_dir()]
        code = run_logged(log, f"build/fuzz/tests/fuzz/{target}", f"-max_total_time={seconds}",
                          "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1",
                          f"-artifact_prefix={LOGS}/fuzz/{target}-", corpus, *seeds,
                          timeout=seconds + 120)
        tally.add("passed" if code == 0 else "failed", target, f"exit {code}")
    return tally


def vm_tier():
    """The cases on every kernel, then that the harness finds what is broken on purpose."""
    log, tally = LOGS / "vm.log", Tally()
    for name, options in (("vm", []), ("vm-self-test", ["--self-test"])):
        results = LOGS / f"{name}.xml"
        results.unlink(missing_ok=True)
        code = run_logged(log, "vm-tests/run", "--results", results, *options, timeout=3600)
        failures = add_xml(tally, results) if results.exists() else 0
        if code not in (0, 77) and not failures:
            tally.add("failed", f"vm-tests/run {' '.join(options)} ended with {code}")
    return tally


def tiers(fuzz_seconds):
    """Name -> function, cheapest first; netns, which is given the BuildAhead, before those that can
    be built beside it."""
    sanitized = functools.partial(ctest_tier, labels=CHECKED, only_tests=True)
    table = {tier: functools.partial(ctest_tier, tier, "release", [tier])
             for tier in ("arch", "unit", "sim", "bpf")}
    if any((ROOT / "tests/interop").glob("*_test.py")):
        table["interop"] = lambda: ctest_tier("interop", "release", ["interop"])
    table |= {
        "netns": netns_tier,
        "asan": lambda: sanitized("asan", "asan", env={
            "ASAN_OPTIONS": "detect_stack_use_after_return=1",
            "UBSAN_OPTIONS": "print_stacktrace=1"}),
        "tsan": lambda: sanitized("tsan", "tsan", prefix=fixed_addresses(), env={
            "TSAN_OPTIONS": "halt_on_error=1 second_deadlock_stack=1"}),
        "fuzz": lambda: fuzz_tier(fuzz_seconds),
    }
    if (ROOT / "vm-tests/run").exists():
        table["vm"] = vm_tier
    return table


def build_beside_netns(names):
    """Builds the sanitizers' presets of these tiers from now on; None when there are none."""
    log = LOGS / "ahead.log"
    log.unlink(missing_ok=True)
    presets = [(tier, functools.partial(test_targets, tier, CHECKED, log))
               for tier in ("asan", "tsan") if tier in names]
    presets += [("fuzz", lambda: fuzz_targets(log))] if "fuzz" in names else []
    return BuildAhead(ROOT, presets)


def fixed_addresses():
    """A prefix for ThreadSanitizer of g++ 12, which cannot map its shadow where the kernel
    randomises widely; nothing where that is not permitted (containers)."""
    prefix = ("setarch", os.uname().machine, "-R")
    probe = subprocess.run([*prefix, "true"], capture_output=True, timeout=30)
    return prefix if probe.returncode == 0 else ()


def terminated(*_):
    raise SystemExit(143)


def report(name, tally, seconds):
    print(f"{name + ':':9}{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped"
          f"  ({seconds:.0f} s, build/check/{name}.log)")
    sys.stdout.flush()
    for note in tally.notes[:40]:
        print(f"         {note}", file=sys.stderr)
    if len(tally.notes) > 40:
        print(f"         and {len(tally.notes) - 40} more", file=sys.stderr)


def run_tiers(table):
    """Runs and reports them; the sum."""
    total, ahead = Tally(), None
    try:
        for name, run in table.items():
            (LOGS / f"{name}.log").unlink(missing_ok=True)
            started = time.monotonic()
            if name == "netns":
                ahead = build_beside_netns(table)
                tally = run(ahead)
            else:
                if ahead is not None:
                    ahead.wait(name)
                tally = run()
            if not tally.passed + tally.failed + tally.skipped:
                tally.add("failed", f"tier {name} has no test case")
            report(name, tally, time.monotonic() - started)
            total.passed += tally.passed
            total.failed += tally.failed
            total.skipped += tally.skipped
    finally:
        if ahead is not None:
            ahead.close()
    return total


def main():
    parser = argparse.ArgumentParser(prog="tools/check")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--only", action="append", metavar="TIER")
    parser.add_argument("--without", action="append", metavar="TIER")
    parser.add_argument("--fuzz-seconds", type=int, metavar="N")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, terminated)
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # ip and bpftool, which not every root's PATH has
    table = tiers(options.fuzz_seconds or (10 if options.fast else 60))
    unknown = {*(options.only or ()), *(options.without or ())} - set(table)
    if unknown:
        parser.error(f"no tier {', '.join(sorted(unknown))} here; there are: {' '.join(table)}")
    LOGS.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    total = run_tiers({name: run for name, run in table.items()
                       if name in (options.only or table) and name not in (options.without or ())})
    print(f"took {time.monotonic() - started:.0f} s")
    print(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
