"""What the project demands of its speed, held against the medians of one run."""

import dataclasses

RUNGS = {"rung 3": "cipe-rung3", "rung 2": "cipe-rung2"}
SHARE_OF_VETH = {"rung 3": 0.50, "rung 2": 0.42}
BARE = "veth"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """`met` is None when the run lacks what it takes to say."""

    point: str
    text: str
    asked: str
    seen: str
    met: object

    def line(self):
        word = {True: "met", False: "NOT met", None: "not shown"}[self.met]
        return f"{self.point} {self.text}: asked {self.asked}, seen {self.seen}: {word}"


class Medians:
    """Medians by contestant and figure; None where there are none."""

    def __init__(self, contestants):
        self._of = {entry["name"]: (entry["kind"], {key: figure["median"] for key, figure in
                                                    entry.get("figures", {}).items()})
                    for entry in contestants}

    def get(self, name, key):
        return self._of.get(name, (None, {}))[1].get(key)

    def best(self, key, better, kinds):
        """(value, name) of the best of these kinds that has a figure above 0, or None."""
        values = [(figures[key], name) for name, (kind, figures) in self._of.items()
                  if kind in kinds and figures.get(key)]
        return better(values) if values else None


def compare(point, text, seen, other, asked, at_least, show):
    """A Verdict on seen/other against `asked`; both None or numbers, `other` with its name."""
    sign = "at least" if at_least else "at most"
    wanted = f"{sign} {asked:g} times {other[1] if other else 'theirs'}"
    if seen is None or other is None or not other[0]:
        lacks = "no figure of ours" if seen is None else "nothing to compare with"
        return Verdict(point, text, wanted, lacks, None)
    ratio = seen / other[0]
    met = ratio >= asked if at_least else ratio <= asked
    return Verdict(point, text, wanted,
                   f"{ratio:.2f} times ({show(seen)} to {show(other[0])} of {other[1]})", met)


def verdicts(contestants):
    """The demands one by one, for each rung; `contestants` as in the JSON document."""
    medians = Medians(contestants)
    found = []
    for rung, name in RUNGS.items():
        found += of_rung(medians, rung, name)
    return sorted(found, key=lambda verdict: verdict.point)


def of_rung(medians, rung, name):
    def gigabit(value):
        return f"{value / 1e3:.2f} Gbit/s"

    def thousands(value):
        return f"{value:,.0f}/s".replace(",", " ")

    def milliseconds(value):
        return f"{value / 1e3:.3f} ms"

    def seconds(value):
        return f"{value:.2f} s/GB"

    def bare(key):
        value = medians.get(BARE, key)
        return (value, BARE) if value else None

    def mine(key):
        return medians.get(name, key)

    packaged, others = ("rival",), ("rival", "added")
    return [
        compare("1a", f"TCP, one stream, {rung}, of the bare veth", mine("tcp1"), bare("tcp1"),
                SHARE_OF_VETH[rung], True, gigabit),
        compare("1b", f"TCP, one stream, {rung}, and the best packaged rival", mine("tcp1"),
                medians.best("tcp1", max, packaged), 3, True, gigabit),
        compare("2a", f"64-octet UDP, {rung}, of the bare veth", mine("udp64"), bare("udp64"),
                0.65, True, thousands),
        compare("2b", f"64-octet UDP, {rung}, and the best rival", mine("udp64"),
                medians.best("udp64", max, others), 1.5, True, thousands),
        compare("3a", f"idle round trip (p50), {rung}, and the best rival", mine("rtt_p50"),
                medians.best("rtt_p50", min, others), 1.1, False, milliseconds),
        below("3b", f"round trip under TCP (p99), {rung}, and the best rival", mine("load_p99"),
              medians.best("load_p99", min, others), milliseconds),
        compare("4", f"CPU seconds per gigabyte, {rung}, and the best rival", mine("cpu"),
                medians.best("cpu", min, others), 0.5, False, seconds),
    ]


def below(point, text, seen, other, show):
    """A Verdict on seen < other."""
    if seen is None or other is None:
        return dataclasses.replace(compare(point, text, seen, other, 1, False, show),
                                   asked="below theirs")
    return Verdict(point, text, f"below {show(other[0])} of {other[1]}", show(seen),
                   seen < other[0])


def losses(contestants, figures):
    """Where somebody is better than ours: [(figure, name of ours, median, rival, median)], for every
    rung's plain contestant and every figure, against the best rival."""
    medians = Medians(contestants)
    found = []
    for figure in figures.values():
        better = max if figure.more_is_better else min
        best = medians.best(figure.key, better, ("rival", "added"))
        for name in (*RUNGS.values(), "cipe-afxdp"):
            mine = medians.get(name, figure.key)
            if mine is None or best is None or mine == best[0]:
                continue
            if better(mine, best[0]) == best[0]:
                found.append((figure, name, mine, best[1], best[0]))
    return found
