"""What is measured of a tunnel, and in which figures it is told."""

import dataclasses

import bench_cpu as cpu
import bench_statistics as statistics
import lab as labs
import measure

LOSS_BOUND = 0.005
PING_INTERVAL_US = 2000
PATIENCE_US = 1e6  # what a question without an answer counts as
ATTEMPTS = 2       # a rate has failed when it did so twice
TRIALS = 16
PRECISION = 0.04
FAR, NEAR = 1.6, 1.15  # first step of a search from a guess, and from the turn before
FOUR = 4
LOAD_BEGUN = 1_000_000  # octets
# Simple IMIX, 7:4:1, with the payloads that are measured alone as well; the large ones spread out.
IMIX = (64, 512, 64, 64, 512, 64, 1400, 64, 512, 64, 512, 64)


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number of a contestant. `scale` turns what is measured (Mbit/s, 1/s, microseconds) into
    what is shown."""

    key: str
    title: str
    unit: str
    more_is_better: bool
    digits: int
    scale: float = 1.0


FIGURES = {figure.key: figure for figure in (
    Figure("tcp1", "TCP, 1 stream", "Gbit/s", True, 2, 1e-3),
    Figure("tcp4", "TCP, 4 streams", "Gbit/s", True, 2, 1e-3),
    Figure("reverse", "TCP, reverse", "Gbit/s", True, 2, 1e-3),
    Figure("fairness", "fairness of 4", "Jain", True, 3),
    Figure("cpu", "CPU", "s/GB", False, 2),
    Figure("udp64", "UDP 64", "1000/s", True, 0, 1e-3),
    Figure("udp512", "UDP 512", "1000/s", True, 0, 1e-3),
    Figure("udp1400", "UDP 1400", "1000/s", True, 0, 1e-3),
    Figure("imix", "UDP IMIX", "1000/s", True, 0, 1e-3),
    Figure("rtt_p50", "RTT idle p50", "ms", False, 3, 1e-3),
    Figure("rtt_p99", "RTT idle p99", "ms", False, 3, 1e-3),
    Figure("load_p50", "RTT loaded p50", "ms", False, 3, 1e-3),
    Figure("load_p99", "RTT loaded p99", "ms", False, 3, 1e-3),
)}


@dataclasses.dataclass
class Turn:
    """One contestant's turn. `seconds`: of each TCP run and each series of pings; `hints`: {key: the
    rate of the turn before}, where the search for a rate starts."""

    world: object
    seconds: int
    trial_seconds: float
    hints: dict

    def tcp(self, **options):
        return measure.iperf(self.world.a, self.world.b, self.world.address, self.seconds,
                             **options)


def warm_up(turn):
    measure.iperf(turn.world.a, turn.world.b, turn.world.address, 1)


def tcp_one(turn):
    """One stream, and what processor time it took."""
    pids = turn.world.tunnel_pids()
    before = cpu.Moment.now(pids)
    result = turn.tcp()
    cost = cpu.Cost.between(before, cpu.Moment.now(pids))
    if result.octets <= 0:
        raise labs.LabError("TCP, one stream: nothing arrived")
    return {"tcp1": result.mbit, "cpu": cost.per_gigabyte(result.octets)}, {
        "cpu_seconds": dataclasses.asdict(cost), "octets": result.octets}


def tcp_four(turn):
    result = turn.tcp(streams=FOUR)
    return {"tcp4": result.mbit, "fairness": statistics.jain(result.streams)}, {
        "streams": result.streams}


def tcp_reverse(turn):
    return {"reverse": turn.tcp(reverse=True).mbit}, {}


def rate(key, size, first):
    """Function that finds the highest rate of datagrams of `size`, starting from `first`."""
    def run(turn):
        world, tried = turn.world, []

        def trial(asked):
            kept, lost = measure.udp_run(world.a, world.b, world.address, asked,
                                         turn.trial_seconds, size)
            tried.append([round(asked), round(kept), round(lost, 5)])
            return kept, lost

        known = turn.hints.get(key)
        best = measure.highest_rate(trial, start=known or first, bound=LOSS_BOUND,
                                    precision=PRECISION, attempts=ATTEMPTS, trials=TRIALS,
                                    step=NEAR if known else FAR)
        return {key: best}, {"asked_kept_lost": tried}
    return run


def pings(turn, prefix, seconds):
    world = turn.world
    times, sent = measure.round_trips(world.a, world.b, world.address, seconds, PING_INTERVAL_US)
    # Without this, losing the slow ones would make a tunnel look quick.
    times += [PATIENCE_US] * (sent - len(times))
    lost = times.count(PATIENCE_US)
    return {f"{prefix}_p50": statistics.percentile(times, 0.50),
            f"{prefix}_p99": statistics.percentile(times, 0.99)}, {"sent": sent, "lost": lost}


def rtt_idle(turn):
    return pings(turn, "rtt", turn.seconds)


def rtt_loaded(turn):
    """Round trips while one TCP stream goes the way of the questions."""
    world = turn.world
    server = world.b.start("iperf3", "-s", "-1", "-B", world.address, "-p", 5203, echo=False)
    labs.wait_listening(world.b, 5203)
    # The pings take a second longer than asked when the last of them get no answer.
    load = world.a.start("iperf3", "-c", world.address, "-p", 5203, "-t", turn.seconds + 3, "-J",
                         echo=False)
    try:
        sent = world.device_octets("a")[1]
        labs.wait_for("the load to begin",
                      lambda: world.device_octets("a")[1] > sent + LOAD_BEGUN, 10)
        figures, extra = pings(turn, "load", turn.seconds)
        if load.poll() is not None:
            raise labs.LabError("RTT loaded: the load ended before the pings")
        output, _ = load.communicate(timeout=turn.seconds + 20)
        extra["load_mbit"] = measure.read_iperf(output).mbit
    except (ValueError, KeyError) as error:
        raise labs.LabError(f"iperf3 under the pings: {measure.iperf_error(output)}") from error
    finally:
        for process in (load, server):
            process.kill()
            process.wait()
    return figures, extra


@dataclasses.dataclass(frozen=True)
class Measure:
    name: str
    run: object    # Turn -> ({figure key: value}, {what else is worth keeping})
    figures: tuple
    what: str


MEASURES = {entry.name: entry for entry in (
    Measure("tcp1", tcp_one, ("tcp1", "cpu"),
            "TCP, one stream from a to b (iperf3), and CPU seconds per 10^9 octets of it"),
    Measure("tcp4", tcp_four, ("tcp4", "fairness"),
            "TCP, four streams, and Jain's index of their shares"),
    Measure("reverse", tcp_reverse, ("reverse",), "TCP, one stream from b to a"),
    Measure("udp64", rate("udp64", 64, 200_000), ("udp64",),
            "highest rate of UDP datagrams of 64 octets with at most 0.5 % lost"),
    Measure("udp512", rate("udp512", 512, 150_000), ("udp512",), "the same with 512 octets"),
    Measure("udp1400", rate("udp1400", 1400, 100_000), ("udp1400",), "the same with 1400 octets"),
    Measure("imix", rate("imix", IMIX, 150_000), ("imix",),
            "the same with 64, 512 and 1400 octets, 7:4:1"),
    Measure("rtt", rtt_idle, ("rtt_p50", "rtt_p99"),
            "round-trip time of a datagram every 2 ms, nothing else going on"),
    Measure("rtt-load", rtt_loaded, ("load_p50", "load_p99"),
            "the same beside one TCP stream"),
)}


def seconds_needed(names, seconds, trial_seconds):
    """About how long the measures of one turn take, with the searches' usual eight trials."""
    return sum(8 * (trial_seconds + 0.5) if name.startswith(("udp", "imix")) else seconds + 2
               for name in names)
