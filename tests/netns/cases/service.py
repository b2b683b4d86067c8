"""ciped as a unit of a service manager: socket activation and watchdog (debian/cipe.ciped.service)."""

import os
import signal
import time

import lab as labs
from service_manager import Manager
from sites import TUNNEL, expect, make_pair


def identity(path):
    info = os.stat(path)
    return info.st_ino, info.st_dev


def socket_unit(lab):
    """The control socket is the socket unit's: it answers before ciped was ready, its name outlives
    every ciped, and a restart with the descriptor store goes on with it."""
    pair = make_pair(lab)
    pair.configure()
    pair.b.up(TUNNEL, "--no-wait")
    manager = Manager(pair.a, socket_unit=True)
    path = pair.a.directory / "run/ciped.sock"
    before = identity(path)
    # Whoever asks first waits in the backlog until somebody takes the socket.
    asked = pair.a.start(labs.BIN / "cipectl", *pair.a.options(), "up", TUNNEL)
    time.sleep(0.5)
    expect(asked.poll() is None, "`up` did not wait for the socket unit's daemon")
    manager.start()
    expect(asked.wait(timeout=30) == 0, f"up: exit {asked.returncode}: {asked.stdout.read()}")
    expect(pair.a.cipectl("version").stdout.count(f"process {pair.a.daemons()[0]},"), "version")
    pair.ping_all()
    for _ in range(2):
        broker = pair.a.daemons()[0]
        manager.stop()
        expect(identity(path) == before, "a stopped ciped took the socket's name away")
        manager.start()
        expect(pair.a.daemons()[0] != broker, "no new ciped")
        pair.ping_all()
    for site in pair.both:
        site.down(TUNNEL)
    manager.stop()
    for fd in manager.stored.values():  # a plain stop
        os.close(fd)
    manager.stored.clear()
    expect(identity(path) == before, "the last ciped took the socket's name away")
    manager.start(stop="wipe")
    manager.stop(wait_for="STOPPING=1")
    expect(identity(path) == before, "a ciped that wipes took the socket's name away")
    manager.listener.close()
    path.unlink()
    pair.expect_nothing_left()


def watchdog(lab):
    """Fed while the engine's workers turn, and not while they do not."""
    pair = make_pair(lab)
    pair.configure()
    pair.b.up(TUNNEL, "--no-wait")
    manager = Manager(pair.a, watchdog=30)
    manager.start(stop="wipe")
    pair.a.up(TUNNEL)
    expect(2 <= manager.count("WATCHDOG=1", 7) <= 5, "one every two seconds while all is well")
    broker, engine = pair.a.daemons()
    os.kill(engine, signal.SIGSTOP)
    manager.count("WATCHDOG=1", 1)  # what was on its way
    expect(manager.count("WATCHDOG=1", 5) == 0, "fed although the engine stands still")
    os.kill(engine, signal.SIGCONT)
    expect(manager.count("WATCHDOG=1", 5) >= 1, "not fed although the engine goes on")
    expect(pair.a.daemons() == (broker, engine), "a process ended")
    pair.ping_all()
    for site in pair.both:
        site.down(TUNNEL)
    manager.stop(wait_for="STOPPING=1")


CASES = {"socket-unit": socket_unit, "watchdog": watchdog}
