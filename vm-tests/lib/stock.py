"""What the cases start from: the package, the image, the accelerator, disks with a booted system."""

import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from channel import AGENT, VmError
from image import CACHE, ROOT, Image, digest
from machine import NICS, Machine, Shape, overlay
from wire import Switch

PACKAGE = ROOT / "build/package"
# Changes in these need no new package.
NOT_PACKAGED = ("vm-tests/", "tests/", "docs/howto", ".ci/", ".github/", "README.md", "CHANGELOG.md")


def source_key():
    """Changes when what the package is made of changes."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=ROOT, capture_output=True, check=True, timeout=60).stdout.split(b"\0")
    parts = []
    for name in sorted(filter(None, map(os.fsdecode, listed))):
        path = ROOT / name
        if not name.startswith(NOT_PACKAGED) and path.is_file():
            parts += [name, path.read_bytes()]
    return digest(*parts)


def built_package(say):
    """The .deb of this tree; builds it where it is not there or stale."""
    stamp, key = PACKAGE / "source-key", source_key()
    debs = [path for path in PACKAGE.glob("cipe_*.deb")]
    if len(debs) != 1 or not stamp.exists() or stamp.read_text() != key:
        say("building the package: tools/package --nocheck")
        done = subprocess.run([ROOT / "tools/package", "--nocheck"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=3000, check=False)
        if done.returncode != 0:
            raise VmError(f"tools/package: exit {done.returncode}: {done.stderr[-3000:]}")
        stamp.write_text(key)
        debs = [path for path in PACKAGE.glob("cipe_*.deb")]
    return debs[0]


def depends(deb):
    """Names of the packages it needs (of alternatives, the first)."""
    field = subprocess.run(["dpkg-deb", "-f", str(deb), "Depends"], capture_output=True, text=True,
                           check=True, timeout=60).stdout
    return [re.split(r"[ (|:]", entry.strip())[0] for entry in field.split(",")]


class Stock:
    def __init__(self, deb, say, kvm="probe", snapshots=CACHE):
        self.deb = deb
        self._say, self._kvm, self._accelerators = say, kvm, {}
        self._snapshots = snapshots
        self.image = Image(depends(deb))
        self.image.make(say)

    def kernel(self, series):
        return self.image.kernel(series), self.image.initrd(series)

    def accelerator(self, series, say):
        """KVM only where a whole system boots with it."""
        if series not in self._accelerators:
            self._accelerators[series] = self._probe(series, say)
        return self._accelerators[series]

    def _probe(self, series, say):
        tcg = ["-accel", "tcg,thread=multi", "-cpu", "max"]
        if self._kvm == "never" or not os.access("/dev/kvm", os.R_OK | os.W_OK):
            return tcg
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        known = CACHE / f"kvm-{digest(series, boot, self.image.key)}"
        if not known.exists():
            works = self._boots(["-accel", "kvm", "-cpu", "host"], series)
            known.write_text("yes" if works else "no")
            say(f"KVM: a probe boot of {series} " + ("works" if works else "fails: TCG"))
        return ["-accel", "kvm", "-cpu", "host"] if known.read_text() == "yes" else tcg

    def _boots(self, accelerator, series):
        try:
            with self._booted(accelerator, series, Shape(), 15) as (_, machine):
                return machine.run("true").code == 0
        except VmError:
            return False

    def snapshot(self, series, shape, state, say):
        """A disk with a snapshot named `state` of a running system in it."""
        accelerator = self.accelerator(series, say)
        key = digest(self.image.key, series, shape, NICS, *accelerator,
                     pathlib.Path(__file__).with_name("machine.py").read_bytes(),
                     AGENT.read_bytes(),
                     self.deb.read_bytes() if state == "installed" else "")
        made = self._snapshots / f"{state}-{series}-{shape}-{key}.qcow2"
        with open(self._snapshots / f"{state}-{series}-{shape}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of cases side by side the first makes it
            if not made.exists():
                self._make(made, series, shape, state, accelerator, say)
        return made

    def _make(self, made, series, shape, state, accelerator, say):
        for old in self._snapshots.glob(f"{state}-{series}-{shape}-*.qcow2"):
            old.unlink()
        say(f"making a snapshot of {series}, {shape}, {state}")
        with self._booted(accelerator, series, shape) as (disk, machine):
            self._prepare(machine, state)
            machine.save(state)
            machine.end()
            shutil.move(disk, made)

    def _prepare(self, machine, state):
        steps = ["systemctl is-system-running --wait"]
        if state == "installed":
            machine.put(f"/root/{self.deb.name}", self.deb.read_bytes())
            steps += [f"apt-get install -qq -y /root/{self.deb.name} && rm /root/{self.deb.name}",
                      # Twins must not share the id by which a host knows its own handshakes.
                      "systemctl stop ciped.socket ciped.service && rm -rf /var/lib/cipe/* && "
                      "systemctl start ciped.socket"]
        # What was written must not wait for whoever is restored from it.
        for step in [*steps, "udevadm settle; sync"]:
            result = machine.run(step, 180)
            if result.code != 0:
                raise VmError(f"{state}: `{step}`: exit {result.code}: {result.out}{result.err}")

    def _booted(self, accelerator, series, shape, seconds=None):
        return _Booted(self, accelerator, series, shape, seconds)


class _Booted:
    """A machine on its own, as a context."""

    def __init__(self, stock, accelerator, series, shape, seconds):
        self._directory = pathlib.Path(tempfile.mkdtemp(prefix="cipe-vm-", dir="/tmp"))
        self._switch = Switch(self._directory)
        self._disk = self._directory / "disk.qcow2"
        self._stock, self._seconds = stock, seconds
        self._machine = Machine("vm", 0, self._directory, stock.kernel(series), shape, accelerator)

    def __enter__(self):
        try:
            overlay(self._stock.image.disk, self._disk)
            ports = [self._switch.port(f"vm-{index}") for index in range(NICS)]
            self._machine.start(self._disk, [port.netdev() for port in ports])
            self._machine.await_boot(*([self._seconds] if self._seconds else []))
            return self._disk, self._machine
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self._machine.end()
        self._switch.close()
        shutil.rmtree(self._directory, ignore_errors=True)
