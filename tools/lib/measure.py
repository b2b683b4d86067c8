"""Figures of one road between two sites: TCP by iperf3, datagrams and round trips by udp_load.

Used by tools/demo, tools/bench and tests/netns. A site is lab.Site, or anything with its run() and
start(). Every run has a deadline; LabError says what did not happen.
"""

import contextlib
import dataclasses
import itertools
import json
import math
import subprocess

import lab as labs

_run_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Tcp:
    """What the receiver of an iperf3 run got."""

    mbit: float    # of all streams together, payload
    octets: int
    streams: list  # Mbit/s of each


def iperf(client, server, address, seconds=3, streams=1, reverse=False, port=5201):
    """TCP from client to `address` of the server; the other way with `reverse`."""
    daemon = server.start("iperf3", "-s", "-1", "-B", address, "-p", port, echo=False,
                          stdout=subprocess.DEVNULL)
    labs.wait_listening(server, port)
    try:
        result = client.run("iperf3", "-c", address, "-p", port, "-t", seconds, "-P", streams,
                            *(["-R"] if reverse else []), "-J", check=False, timeout=seconds + 20)
        return read_iperf(result.stdout)
    except (ValueError, KeyError) as error:
        raise labs.LabError(f"iperf3 {client.name} -> {address}: {iperf_error(result.stdout)}"
                            ) from error
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(timeout=5)
        if daemon.poll() is None:
            daemon.kill()
            daemon.wait()


def iperf_error(text):
    with contextlib.suppress(ValueError):
        return json.loads(text).get("error", text[-300:])
    return text[-300:]


def read_iperf(text):
    """Tcp of what `iperf3 -J` printed; ValueError or KeyError when that is no finished run."""
    end = json.loads(text)["end"]
    total = end["sum_received"]
    return Tcp(total["bits_per_second"] / 1e6, total["bytes"],
               [stream["receiver"]["bits_per_second"] / 1e6 for stream in end["streams"]])


def iperf_tcp(client, server, address, seconds=3):
    """Mbit/s received by the server of one TCP stream from client to `address`."""
    return iperf(client, server, address, seconds).mbit


def listener(site, *arguments, address, port):
    """A udp_load sink or echo that is ready; the caller waits for its end."""
    process = site.start(labs.BIN / "udp_load", *arguments, "--bind", address, "--port", port,
                         echo=False)
    said = process.stdout.readline().strip()
    if said != "ready":
        raise labs.LabError(f"udp_load {arguments[0]} at {address}: {said} "
                            f"{process.stdout.read().strip()}")
    return process


def udp_run(client, server, address, rate, seconds=1.0, size=64, port=5301):
    """One udp_load run: (datagrams a second sent, share lost). `size` is the payload in octets, or
    several of them to be used in turn."""
    number = next(_run_numbers)
    sizes = ",".join(map(str, [size] if isinstance(size, int) else size))
    sink = listener(server, "sink", "--run", number, "--seconds", seconds + 5,
                    address=address, port=port)
    sent = json.loads(client.run(
        labs.BIN / "udp_load", "send", "--to", address, "--port", port, "--run", number,
        "--size", sizes, "--rate", max(int(rate), 1), "--seconds", seconds, echo=False,
        timeout=seconds + 30).stdout)
    output, _ = sink.communicate(timeout=seconds + 15)
    received = json.loads(output.strip().splitlines()[-1])
    if not sent["sent"]:
        raise labs.LabError(f"udp_load sent nothing to {address}")
    lost = 1 - received["received"] / (sent["sent"] + sent["refused"])
    return sent["sent"] / sent["seconds"], lost


def round_trips(client, server, address, seconds=1.0, interval_us=2000, port=5302):
    """(microseconds of each answered question, questions asked) at one every `interval_us`."""
    echo = listener(server, "echo", "--seconds", seconds + 10, address=address, port=port)
    try:
        result = json.loads(client.run(
            labs.BIN / "udp_load", "ping", "--to", address, "--port", port, "--interval-us",
            interval_us, "--seconds", seconds, echo=False, timeout=seconds + 30).stdout)
    finally:
        echo.kill()
        echo.wait()
    return result["round_trips_us"], result["sent"]


def highest_rate(measure, start=250_000.0, top=4_000_000.0, bound=0.02, precision=0.05,
                 attempts=1, trials=10, step=1.6):
    """Highest datagrams a second with at most `bound` lost, by bisection over measure(rate), which
    gives (rate kept, share lost).

    From `start` by growing steps, the first one `step`, until the limit lies between a rate that
    passed and one that did not; then half way between them (geometrically) until they are within
    `precision`, in `trials` measurements at most. A rate has failed when it did so `attempts`
    times. The result is a rate that was really kept, not the one that was asked for; 0 when none
    passed.
    """
    low, high, best, failures = 0.0, math.inf, 0.0, 0
    asked = min(start, top)
    for _ in range(trials):
        kept, lost = measure(asked)
        if lost > bound:
            failures += 1
            if failures < attempts:
                continue
            high = asked
        else:
            best = max(best, kept)
            low = max(low, asked)
            if kept < asked * 0.95:  # the sender is at its own limit
                high, low = asked, min(best, asked)
        failures = 0
        if high <= low * (1 + precision) or low >= top or high < 2:
            break
        if low and high < math.inf:
            asked = math.sqrt(low * high)
        else:
            asked = min(low * step, top) if low else high / step
            step = min(step * step, 4.0)
    return best
