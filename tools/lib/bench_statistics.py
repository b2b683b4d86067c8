"""The few statistics that tools/bench needs. Pure functions of numbers."""

import dataclasses
import math
import statistics


@dataclasses.dataclass(frozen=True)
class Spread:
    """Repetitions of one figure: the median and both ends."""

    median: float
    low: float
    high: float
    runs: tuple

    @classmethod
    def of(cls, runs):
        """ValueError when there are none."""
        runs = tuple(runs)
        if not runs:
            raise ValueError("no repetitions")
        return cls(statistics.median(runs), min(runs), max(runs), runs)


def percentile(values, share):
    """Nearest rank: the least of `values` that at least `share` of them (0 to 1) do not exceed."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def jain(shares):
    """Jain's index of fairness: 1 when all are equal, 1/n when one has everything.

    R. Jain, D. Chiu, W. Hawe: A quantitative measure of fairness and discrimination, DEC-TR-301.
    """
    squares = sum(share * share for share in shares)
    if not squares:
        return 0.0
    return sum(shares) ** 2 / (len(shares) * squares)
