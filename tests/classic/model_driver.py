"""Starts live_model_peer.py and talks to it; every wait has a deadline."""

import json
import pathlib
import select
import subprocess
import sys
import time

PROGRAM = pathlib.Path(__file__).resolve().parent / "live_model_peer.py"


def words(bind, peer, key, **options):
    """The command line. Options by their names with _ for -; True means a bare flag."""
    line = [sys.executable, PROGRAM, "--bind", bind, "--peer", peer, "--key", key]
    for name, value in options.items():
        if value is not None and value is not False:
            line += [f"--{name.replace('_', '-')}"] + ([] if value is True else [value])
    return [str(word) for word in line]


class ModelError(Exception):
    """What was expected of the model and did not happen."""


class ModelPeer:
    """`start(words, **options)` makes the Popen: Site.start of a lab, or subprocess.Popen."""

    def __init__(self, start, bind, peer, key, **options):
        self._unread = b""
        self.process = start(words(bind, peer, key, **options), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=None, text=False)
        self.state = self._answer()

    def _answer(self, timeout=15):
        deadline = time.monotonic() + timeout
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, left))
            data = self.process.stdout.read1(65536) if ready else b""
            if not data:
                raise ModelError(f"model did not answer; exit code {self.process.poll()}")
            self._unread += data
        line, self._unread = self._unread.split(b"\n", 1)
        return json.loads(line)

    def do(self, command, **arguments):
        """Gives a command and returns the state after it."""
        self.process.stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
        self.process.stdin.flush()
        self.state = self._answer()
        return self.state

    def count(self, event):
        """How often something happened so far, e.g. "in NK_ACK"; 0 for what never did."""
        return self.do("state")["events"].get(event, 0)

    def wait(self, what, condition, timeout=10.0):
        """Until condition(state) is true; returns that state."""
        deadline = time.monotonic() + timeout
        while not condition(self.do("state")):
            if time.monotonic() > deadline:
                raise ModelError(f"waited {timeout:g} s for {what}; model: {self.state}")
            time.sleep(0.05)
        return self.state

    def wait_event(self, event, count=1, timeout=10.0):
        return self.wait(f"{count} times {event!r}",
                         lambda state: state["events"].get(event, 0) >= count, timeout)

    def wait_keys(self, timeout=10.0):
        """Until both directions have a dynamic key."""
        return self.wait("keys of both directions",
                         lambda state: state["sending"] and state["receiving"], timeout)

    def ping(self, count=3, size=56, interval=0.05, timeout=8.0):
        """Raises ModelError unless each of `count` echo requests is answered."""
        before = self.do("state")["echo"]["answered"]
        self.do("ping", count=count, size=size, interval=interval)
        return self.wait(f"answers to {count} pings",
                         lambda state: state["echo"]["answered"] >= before + count,
                         timeout + count * interval)

    def expect_content(self):
        """ModelError when the other end did something that protocol 3 does not allow."""
        complaints = self.do("state")["complaints"]
        if complaints:
            raise ModelError("the model complains: " + "; ".join(complaints))

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
