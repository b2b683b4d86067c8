"""What systemd does for a service that we use: descriptor store, control socket, watchdog."""

import os
import signal
import socket
import time

import lab as labs


class Manager:
    """Starts ciped as a unit would (sd_notify(3), sd_listen_fds(3))."""

    def __init__(self, site, socket_unit=False, watchdog=None):
        self.site = site
        self.path = site.directory / "notify.sock"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(20)
        self.socket.bind(str(self.path))
        self.stored, self.process = {}, None
        self.watchdog = watchdog  # seconds
        self.log = site.directory / "service.log"
        self.listener = self._listen() if socket_unit else None

    def _listen(self):
        (self.site.directory / "run").mkdir(exist_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self.site.directory / "run/ciped.sock"))
        listener.listen(64)
        return listener

    def start(self, stop="keep"):
        """Starts the service with what is stored, as the store does: names, no order."""
        names = sorted(self.stored, reverse=True)
        given = [self.stored[name] for name in names]
        if self.listener is not None:
            names.append("ciped.socket")
            given.append(os.dup(self.listener.fileno()))
        keep = [200 + number for number in range(len(names))]
        for number, fd in zip(keep, given):
            os.dup2(fd, number)
        shuffle = "; ".join(f"exec {3 + n}<&{fd} {fd}<&-" for n, fd in enumerate(keep))
        setting = f"export NOTIFY_SOCKET='{self.path}'; "
        if names:
            setting += (f"export LISTEN_PID=$$ LISTEN_FDS={len(names)} "
                        f"LISTEN_FDNAMES={':'.join(names)}; ")
        if self.watchdog:
            setting += f"export WATCHDOG_PID=$$ WATCHDOG_USEC={int(self.watchdog * 1e6)}; "
        words = " ".join(f"'{word}'" for word in (
            labs.BIN / "ciped", *self.site.options(), "--on-stop", stop))
        # bash: sh knows descriptors of one digit only.
        self.process = self.site.start(
            "bash", "-c", f"{shuffle or ':'}; {setting}exec {words} 2>>'{self.log}'", pass_fds=keep)
        for fd in keep + given:
            os.close(fd)
        self.stored.clear()
        self.wait_for("READY=1")

    def wait_for(self, word):
        while word not in self._receive():
            pass

    def count(self, word, seconds):
        """How often it is said within that time."""
        end, heard = time.monotonic() + seconds, 0
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                heard += word in self._receive()
            except TimeoutError:
                break
        self.socket.settimeout(20)
        return heard

    def _receive(self):
        text, fds, _, _ = socket.recv_fds(self.socket, 65536, 253)
        lines = dict(line.partition("=")[::2] for line in text.decode().splitlines())
        if lines.get("FDSTORE") == "1":
            self.stored[lines["FDNAME"]] = fds[0]
        else:
            for fd in fds:  # the barrier: closing it is the answer
                os.close(fd)
        return text.decode()

    def stop(self, wait_for="BARRIER=1"):
        """As before a restart."""
        broker, _ = self.site.daemons()
        os.kill(broker, signal.SIGTERM)
        self.wait_for(wait_for)
        self.process.wait(timeout=20)
