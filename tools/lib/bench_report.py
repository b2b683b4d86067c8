"""The result of a run for people: tables, verdicts, and where ours is not the best."""

import bench_machine
import bench_svg as svg
import bench_verdict as verdict
from bench_measures import FIGURES

TABLES = (
    ("Throughput", ("tcp1", "tcp4", "reverse", "fairness")),
    ("Highest rate of UDP datagrams, at most 0.5 % lost", ("udp64", "udp512", "udp1400", "imix")),
    ("Round trips of a datagram every 2 ms, and CPU seconds per 10^9 octets of TCP",
     ("rtt_p50", "rtt_p99", "load_p50", "load_p99", "cpu")),
)
CHARTS = (
    ("tcp", "TCP through the tunnel", ("tcp1", "tcp4", "reverse")),
    ("udp", "UDP datagrams, at most 0.5 % lost", ("udp64", "udp512", "udp1400", "imix")),
    ("rtt", "Round-trip time", ("rtt_p50", "rtt_p99", "load_p50", "load_p99")),
    ("cpu", "What a gigabyte of TCP costs", ("cpu",)),
)


def cell(entry, figure):
    """Median and spread of one figure of one contestant, or why there is none."""
    values = entry["figures"].get(figure.key)
    if values is None:
        return "-"
    middle, low, high = (f"{values[name] * figure.scale:.{figure.digits}f}"
                         for name in ("median", "low", "high"))
    return middle if len(values["runs"]) < 2 else f"{middle} ({low}..{high})"


def measured(document):
    return [entry for entry in document["contestants"] if entry["figures"]]


def shown(document, keys):
    """The figures of these keys that anybody has."""
    return [FIGURES[key] for key in keys
            if any(key in entry["figures"] for entry in document["contestants"])]


def grids(document):
    """[(title, [row of cells])], the first row being the head."""
    found = []
    for title, keys in TABLES:
        figures = shown(document, keys)
        if figures:
            head = ["", *(f"{figure.title}, {figure.unit}" for figure in figures)]
            found.append((title, [head] + [[entry["name"], *(cell(entry, f) for f in figures)]
                                           for entry in measured(document)]))
    return found


def plain(rows):
    """Columns of even width."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(word.ljust(width) if i == 0 else word.rjust(width)
                      for i, (word, width) in enumerate(zip(row, widths))) for row in rows]


def markdown(rows):
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]


def notes(document):
    """What whoever reads the figures must know."""
    found = [f"Medians of up to {document['options']['repeat']} interleaved repetitions of "
             f"{document['options']['seconds']} s, with the least and the greatest."]
    looks = [busy for entry in document["contestants"] for busy in entry["busy_before"]]
    noisy = [busy for busy in looks if busy > bench_machine.NOISE]
    if noisy:
        found.append(f"Before {len(noisy)} of {len(looks)} turns something else kept up to "
                     f"{max(noisy):.2f} processors busy: figures are too low, and CPU seconds too "
                     "high.")
    for entry in document["contestants"]:
        if entry["status"] == "not here":
            found.append(f"{entry['name']}: not here: {entry['reason']}")
        if entry["proof"].get("fragments") or not entry["proof"].get("carries_1400", True):
            found.append(f"{entry['name']}: what carries 1400 octets of UDP does not fit the carrier in "
                         "one piece, which costs it speed")
        for failure in entry["failures"]:
            found.append(f"{entry['name']}: failed in {failure['during']}: {failure['reason']}")
    return found


def contestants(document):
    """One line each: what exactly was measured."""
    return [f"{entry['name']}: {entry['facts']['version']}; {entry['facts']['settings']}"
            + (f"; AEAD by {entry['facts']['aead']}" if "aead" in entry["facts"] else "")
            for entry in document["contestants"] if entry["facts"]]


def where_others_win(document):
    """Sentences; ours on each rung against the best rival in each figure."""
    def show(figure, value):
        return f"{value * figure.scale:.{figure.digits}f}"
    return [f"{figure.title}: {name} {show(figure, mine)}, {other} {show(figure, theirs)} "
            f"{figure.unit}" for figure, name, mine, other, theirs in
            verdict.losses(document["contestants"], FIGURES)]


def judged(document):
    return [verdict.Verdict(**row).line() for row in document["verdicts"]]


def for_people(document):
    lines = [bench_machine.sentence(document["machine"]), ""]
    for title, rows in grids(document):
        lines += [title, *("  " + line for line in plain(rows)), ""]
    for title, found in (("Where a rival is better", where_others_win(document)),
                         ("Asked and seen", judged(document)),
                         ("Contestants", contestants(document)), ("Notes", notes(document))):
        lines += [title, *("  " + line for line in found or ["nothing"]), ""]
    return "\n".join(lines)


def for_docs(document, charts):
    """The generated part of docs/performance.md. `charts`: [(title, path relative to docs)]."""
    lines = [f"Measured {document['started'][:10]}. {bench_machine.sentence(document['machine'])}", ""]
    for title, path in charts:
        lines += [f"![{title}]({path})", ""]
    for title, rows in grids(document):
        lines += [f"### {title}", "", *markdown(rows), ""]
    for title, found in (("Where a rival is better", where_others_win(document)),
                         ("Asked and seen", judged(document)),
                         ("Contestants", contestants(document)), ("Notes", notes(document))):
        lines += [f"### {title}", "", *("- " + line for line in found or ["nothing"]), ""]
    return "\n".join(lines)


def panel(document, figure):
    bars = {}
    for entry in measured(document):
        values = entry["figures"].get(figure.key)
        if values:
            bars[entry["name"]] = svg.Bar(*(values[name] * figure.scale
                                            for name in ("median", "low", "high")))
    better = "more" if figure.more_is_better else "less"
    return svg.Panel(figure.title, f"{figure.unit}, {better} is better", figure.digits, bars)


def charts(document):
    """{name: (title, SVG)} of everything there are figures for."""
    machine, found = document["machine"], {}
    rows = [(entry["name"], entry["kind"]) for entry in measured(document)]
    note = f"{machine['processor']}, {machine['cores']} cores for both hosts and the load"
    for name, title, keys in CHARTS:
        figures = shown(document, keys)
        if figures:
            found[name] = (title, svg.chart(title, note, rows,
                                            [panel(document, figure) for figure in figures]))
    return found
