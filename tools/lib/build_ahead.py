"""Builds for later tiers what the processor has time for while the network tests wait.

They run under SCHED_IDLE (sched(7)): whoever else wants the processor gets it at once, so that a
test beside it does not notice, and when nobody does, they are as fast as always.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import threading

IDLE = ("chrt", "--idle", "0")


class BuildAhead:
    """Builds `presets`, [(name, targets())], one after the other, until close().

    What goes wrong is not told: the tier builds again what is missing, and tells.
    """

    def __init__(self, root, presets):
        self.root = pathlib.Path(root)
        self.lock = threading.Lock()
        self.process, self.closed = None, False
        self.done = {name: threading.Event() for name, _ in presets}
        self.thread = threading.Thread(target=self._build, args=(list(presets),), daemon=True)
        self.thread.start()

    def _build(self, presets):
        try:
            for name, targets in presets:
                with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
                    wanted = targets()
                    if wanted:
                        self._run("tools/lib/build", name, *wanted)
                self.done[name].set()
        finally:
            for event in self.done.values():
                event.set()

    def _run(self, *command):
        prefix = IDLE if shutil.which(IDLE[0]) else ("nice", "-n", "19")
        with self.lock:
            if self.closed:
                return
            self.process = subprocess.Popen([*prefix, *command], cwd=self.root,
                                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL, start_new_session=True)
        self.process.wait()

    def wait(self, preset):
        """Returns when this preset is built, or cannot be, or was none of ours."""
        if preset in self.done:
            self.done[preset].wait()

    @contextlib.contextmanager
    def paused(self):
        """Nothing new is begun meanwhile; a compiler that runs ends by itself."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number):
        with self.lock:
            if self.process is not None and self.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, number)

    def close(self):
        """Ends what still runs."""
        with self.lock:
            self.closed = True
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        self.thread.join(timeout=20)
