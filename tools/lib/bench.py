"""The body of tools/bench: its options, and what becomes of a run's document."""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import bench_adapter as adapters
import bench_docs
import bench_measures as measures
import bench_report as report
import bench_run
import lab as labs

OUTPUT = labs.ROOT / "build/bench"
SETUP_SECONDS = 3600
QUICK = {"repeat": 1, "seconds": 1, "trial_seconds": 0.3}


def parser():
    made = argparse.ArgumentParser(
        prog="tools/bench", description="Measures tunnels side by side on one machine; see "
        "docs/performance.md for how, and for the contract of an adapter.")
    made.add_argument("--contestants", metavar="A,B", help="only these; --list names them")
    made.add_argument("--measures", metavar="X,Y", help="only these; --list names them")
    made.add_argument("--adapter", metavar="FILE[:VARIANT]", action="append", default=[],
                      help="one more contestant, by an adapter program; may be repeated")
    made.add_argument("--repeat", metavar="N", type=positive, default=3,
                      help="repetitions, interleaved (default 3)")
    made.add_argument("--seconds", metavar="S", type=positive, default=5,
                      help="of each TCP run and series of pings (default 5); one trial of the "
                      "search for a UDP rate takes a fifth of it")
    made.add_argument("--quick", action="store_true",
                      help="one short repetition, to see that all of it works; no figures to rely on")
    made.add_argument("--json", action="store_true", help="the document instead of the tables")
    made.add_argument("--output", metavar="DIR", type=pathlib.Path, default=OUTPUT,
                      help="where results.json, report.txt and charts go (default build/bench)")
    made.add_argument("--write-docs", action="store_true",
                      help="write docs/performance.md between its markers, and its charts")
    made.add_argument("--from", metavar="FILE", type=pathlib.Path, dest="source",
                      help="measure nothing: take the results.json of an earlier run")
    made.add_argument("--list", action="store_true", help="contestants and measures, then end")
    made.add_argument("--no-setup", action="store_true",
                      help="install and build nothing: take what is there")
    return made


def positive(text):
    number = int(text)
    if not 1 <= number <= 3600:
        raise ValueError(text)
    return number


def chosen(text, known, what, error):
    """The items of {name: item} that the option asks for, all without it, in the known order."""
    if text is None:
        return list(known.values())
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        error(f"no {what} {', '.join(unknown) or 'is named'}; there are: {' '.join(known)}")
    return [item for name, item in known.items() if name in names]


def read_options(arguments):
    made = parser()
    options = made.parse_args(arguments)
    if options.quick and options.write_docs:
        made.error("--quick gives no figures that belong on a page; leave --write-docs out")
    try:
        extra = [adapters.added(text) for text in options.adapter]
    except ValueError as error:
        made.error(str(error))
    known = {c.name: c for c in adapters.built_in()}
    for contestant in extra:
        if contestant.name in known:
            made.error(f"--adapter: there is a contestant {contestant.name} already")
        known[contestant.name] = contestant
    picked = chosen(options.contestants, known, "contestant", made.error)
    picked += [c for c in extra if c not in picked]
    names = [entry.name for entry in
             chosen(options.measures, measures.MEASURES, "measure", made.error)]
    how = QUICK if options.quick else {"repeat": options.repeat, "seconds": options.seconds,
                                       "trial_seconds": max(options.seconds / 5, 0.3)}
    return options, bench_run.Options(picked, names, **how)


def print_list():
    print("Contestants:")
    for contestant in adapters.built_in():
        print(f"  {contestant.name:22} {contestant.kind:6} {contestant.variant}")
    print("Measures:")
    for entry in measures.MEASURES.values():
        print(f"  {entry.name:22} {entry.what}")


def set_up():
    """Packages and programs; LabError when that fails, for which the tools have said why."""
    for command in (["tools/install-dependencies", "--bench"],
                    ["tools/lib/build", "release", "ciped", "cipectl", "udp_load"]):
        # A signal may end this one as well: it has nothing to clean up yet.
        if subprocess.run(command, cwd=labs.ROOT, stdin=subprocess.DEVNULL, stdout=sys.stderr,
                          timeout=SETUP_SECONDS).returncode:
            raise labs.LabError(f"{command[0]} failed")


def measure(options, how):
    """The document of a new run; its commands are in commands.log of the output directory."""
    if os.geteuid() != 0:
        raise labs.LabError("network namespaces and XDP need root; run it with sudo")
    if not options.no_setup:
        set_up()
    options.output.mkdir(parents=True, exist_ok=True)
    minutes = how.estimate() / 60
    labs.log_to_stderr(f"{len(how.contestants)} contestants, {how.repeat} repetitions: about "
                       f"{minutes:.0f} minutes")
    bench_run.guard()
    with open(options.output / "commands.log", "w", buffering=1) as log:
        bench = bench_run.Bench(how, labs.log_to_stderr, lambda line: print(line, file=log))
        return bench.run()


def main():
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    options, how = read_options(sys.argv[1:])
    if options.list:
        print_list()
        return 0
    try:
        document = (json.loads(options.source.read_text()) if options.source
                    else measure(options, how))
        bench_docs.write_results(document, options.output)
        if options.write_docs:
            bench_docs.write_page(document)
    except (labs.LabError, subprocess.SubprocessError, OSError, ValueError) as error:
        print(f"tools/bench: FAILED: {error}", file=sys.stderr)
        return 1
    print(json.dumps(document, indent=1) if options.json else report.for_people(document))
    failed = [entry["name"] for entry in document["contestants"] if entry["failures"]]
    if failed:
        print(f"tools/bench: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
