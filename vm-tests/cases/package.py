"""The package's life: restart, upgrade and removal under traffic."""

from sites import configured_pair, ping_both, up


def comes_up(lab):
    """A pair from the snapshot with the package in it."""
    a, b = configured_pair(lab)
    up(a, b)
    ping_both(a, b)


CASES = {"comes-up": comes_up}
