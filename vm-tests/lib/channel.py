"""The host's end of a VM's control channel (virtio-serial; guest/agent.py is the other end)."""

import base64
import dataclasses
import itertools
import json
import pathlib
import socket
import threading
import time

AGENT = pathlib.Path(__file__).resolve().parents[1] / "guest/agent.py"


class VmError(Exception):
    """What went wrong, told so that it can be read without the log."""


@dataclasses.dataclass
class Result:
    code: int
    out: str
    err: str


class Request:
    """One request under way."""

    def __init__(self, channel, number, what, timeout):
        self._channel, self.number, self.what = channel, number, what
        self._ends = time.monotonic() + timeout
        self.done = threading.Event()
        self.result = None

    def wait(self, timeout=None):
        """The Result. A VM that does not answer in time hangs; the guest itself ends commands."""
        left = self._ends - time.monotonic() if timeout is None else timeout
        if not self.done.wait(max(0.0, left)):
            raise VmError(f"{self._channel.name} does not answer ({self.what})")
        if self.result is None:
            raise VmError(f"{self._channel.name}: the channel was closed ({self.what})")
        return self.result


class Channel:
    """Requests and their answers; gives the agent to every boot that asks for it."""

    def __init__(self, name, path, deadline):
        self.name = name
        self.boots = []  # boot ids in their order
        self._numbers, self._requests = itertools.count(1), {}
        self._changed = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        while True:
            try:
                self._socket.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline:
                    raise VmError(f"{name}: QEMU made no channel") from None
                time.sleep(0.02)
        threading.Thread(target=self._receive, daemon=True).start()

    def await_boot(self, count, timeout):
        """Until the guest's agent was started for the count-th time."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.boots) >= count, timeout):
                raise VmError(f"{self.name} did not boot within {timeout} s")

    def request(self, what, seconds, **content):
        """Sends; the answer is that of Request.wait(). `seconds` is what the guest may take."""
        with self._changed:
            number = next(self._numbers)
            request = Request(self, number, what, seconds + 20)
            self._requests[number] = request
        self._send({"id": number, **content})
        return request

    def run(self, words, timeout):
        return self.request(" ".join(words), timeout, run=words, timeout=timeout)

    def write(self, path, data, mode):
        return self.request(f"write {path}", 20, write=path, mode=mode,
                            data=base64.b64encode(data).decode())

    def close(self):
        self._socket.close()

    def _send(self, message):
        try:
            self._socket.sendall((json.dumps(message) + "\n").encode())
        except OSError as error:
            raise VmError(f"{self.name}: the channel is gone ({error})") from None

    def _receive(self):
        received = b""
        while True:
            try:
                data = self._socket.recv(1 << 20)
            except OSError:
                data = b""
            if not data:
                break
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))
        with self._changed:
            for request in self._requests.values():
                request.done.set()

    def _take(self, message):
        with self._changed:
            if "boot" in message:
                # Whatever the boot before it was asked for will not be answered.
                for request in self._requests.values():
                    request.result = Result(255, "", "the VM started again")
                    request.done.set()
                self._requests.clear()
                self._send(AGENT.read_text(encoding="utf-8"))
                self.boots.append(message["boot"])
                self._changed.notify_all()
                return
            request = self._requests.pop(message["id"], None)
        if request is not None:
            request.result = Result(message["code"], message["out"], message["err"])
            request.done.set()
