"""The machines and wires of one case, what is done with them, and how they must be at its end."""

import contextlib
import os
import pathlib
import shutil
import signal
import tempfile
import time

import kernel_log
from channel import VmError
from machine import NICS, Machine, Shape, copy_disk, overlay
from wire import Bridges, Switch


# Sockets have short names, so not in the build tree.
PREFIX = "cipe-vm-"


def remove_remains(pid):
    """What a process that was killed could not remove; its VMs end with it."""
    for path in pathlib.Path("/tmp").glob(f"{PREFIX}{pid}-*"):
        Bridges.remove(path.name)
        shutil.rmtree(path, ignore_errors=True)


class Skip(Exception):
    """Why the case cannot run here."""


class Host:
    """A VM as a case sees it: every command is printed, and one that fails raises."""

    def __init__(self, lab, machine):
        self._lab, self.machine, self.name = lab, machine, machine.name
        self.lans = [None] * NICS
        self.ports = []  # of the switch, one for each NIC
        self.expected_failed_units = ()

    def say(self, text):
        self._lab.say(f"{self.name}: {text}")

    def run(self, command, timeout=30, check=True):
        """What it printed, without the last line end."""
        self._lab.say(f"{self.name}# {command}")
        result = self.machine.run(command, timeout)
        said = (result.out + result.err).strip()
        if check and result.code != 0:
            raise VmError(f"{self.name}: `{command}`: " +
                          ("took too long" if result.code == 124 else f"exit {result.code}") +
                          f": {said[-1500:]}")
        return result.out.rstrip("\n")

    def code(self, command, timeout=30):
        """(exit code, all it said)."""
        self._lab.say(f"{self.name}# {command}")
        result = self.machine.run(command, timeout)
        return result.code, result.out + result.err

    def start(self, command, timeout):
        """In the background: a Job."""
        self._lab.say(f"{self.name}# {command} &")
        return Job(self, command, self.machine.start_command(command, timeout))

    def wait_for(self, command, timeout=30, what=None):
        """Until the command succeeds; printed once."""
        self._lab.say(f"{self.name}# until {command}; do sleep 0.1; done")
        result = self.machine.run(f"until {command}; do sleep 0.1; done 2>&1 | tail -n 3", timeout)
        if result.code != 0:
            last = self.machine.run(command, 30)
            raise VmError(f"{self.name}: {what or command}: not so after {timeout} s: "
                          f"{(last.out + last.err).strip()[-1500:]}")

    def put(self, path, text, mode=0o644):
        self._lab.say(f"{self.name}# cat > {path}" if isinstance(text, bytes) or len(text) > 2000
                      else f"{self.name}# cat > {path} <<END\n{text.rstrip()}\nEND")
        self.machine.put(path, text, mode)

    def put_file(self, path, source, mode=0o644):
        self.put(path, pathlib.Path(source).read_bytes(), mode)

    def reboot(self, how="systemctl reboot"):
        self._lab.say(f"{self.name}# {how}")
        self.machine.reboot(how)

    def plug(self, index, plugged):
        self._lab.say(f"{self.name}: cable of eth{index} {'in' if plugged else 'out'}")
        self.machine.plug(index, plugged)

    def carry(self, index, lan):
        """To another LAN, as a laptop: cable out, and in there. Not with taps."""
        self.plug(index, False)
        self._lab.say(f"{self.name}: eth{index} is carried to {lan}")
        self._lab.switch.attach(self.ports[index], lan)
        self.plug(index, True)


class Job:
    """A command in the background."""

    def __init__(self, host, command, request):
        self._host, self._command, self._request = host, command, request

    def wait(self, check=True):
        result = self._request.wait()
        if check and result.code != 0:
            raise VmError(f"{self._host.name}: `{self._command}`: exit {result.code}: "
                          f"{(result.out + result.err).strip()[-1500:]}")
        return result.out.rstrip("\n")

    def ended(self):
        return self._request.done.is_set()

    def stop(self, number=signal.SIGTERM):
        """What it had printed."""
        self._host.machine.end_command(self._request, number)
        return self._request.wait().out.rstrip("\n")


class Lab:
    """For one case. `stock` knows disks and snapshots, `log` takes what is said."""

    def __init__(self, stock, kernel, log, logs):
        self.kernel, self._stock, self._log, self.logs = kernel, stock, log, logs
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir="/tmp"))
        self.hosts, self._wires = [], []
        self._switch = self._bridges = None
        self.started = time.monotonic()

    def say(self, text):
        self._log(f"[{time.monotonic() - self.started:6.1f}] {text}")

    # Topology

    def host(self, name, processors=1, queues=1):
        machine = Machine(name, len(self.hosts) + 1, self.directory, self._stock.kernel(self.kernel),
                          Shape(processors, queues), self._stock.accelerator(self.kernel, self.say))
        self.hosts.append(Host(self, machine))
        return self.hosts[-1]

    def wire(self, lan, *ends):
        """`ends`: (host, number of its NIC)."""
        for host, index in ends:
            host.lans[index] = lan
        if lan not in self._wires:
            self._wires.append(lan)

    def picture(self):
        """Machines as columns, LANs as rows."""
        width = max(max(len(host.name) for host in self.hosts) + 3, 9)
        label = max((len(lan) for lan in self._wires), default=0) + 2
        lines = [" " * label + "".join(host.name.ljust(width) for host in self.hosts)]
        for lan in self._wires:
            columns = [next((f"eth{i}" for i, l in enumerate(host.lans) if l == lan), "")
                       for host in self.hosts]
            ends = [i for i, text in enumerate(columns) if text]
            row = ""
            for i, text in enumerate(columns):
                fill = "-" if ends and ends[0] <= i < ends[-1] else " "
                row += (text or (fill if fill == "-" else "")).ljust(width, fill)
            lines.append(lan.ljust(label) + row.rstrip())
        return "\n".join("  " + line.rstrip() for line in lines)

    # Life

    def boot(self, state="installed", taps=False):
        """All machines at once, as `state` ("bare": nothing of ours, "installed": with the package)
        has them. `taps`: on bridges and not on the switch, and really booted (root only)."""
        self.say("the wires:\n" + self.picture())
        if taps:
            self._bridges = Bridges(self.directory.name)
        else:
            self._switch = Switch(self.directory)
        for host in self.hosts:
            self._start(host, state, taps)
        for host in self.hosts:
            host.machine.await_boot()
        self.say("booted: " + ", ".join(
            f"{host.name} ({host.machine.run('uname -r').out.strip()})" for host in self.hosts))

    def _start(self, host, state, taps):
        disk = self.directory / f"{host.name}.qcow2"
        if taps:
            host.machine.inside(("ip", "netns", "exec", self._bridges.namespace))
            netdevs = [self._bridges.tap(f"{host.name}-{i}"[:15], lan, host.machine.shape.queues)
                       for i, lan in enumerate(host.lans) if lan is not None]
            overlay(self._stock.image.disk, disk)
            host.machine.start(disk, netdevs)
            return
        ports = [self._switch.port(f"{host.name}-{i}") for i in range(NICS)]
        host.ports = ports
        for port, lan in zip(ports, host.lans):
            self._switch.attach(port, lan)
        copy_disk(self._stock.snapshot(self.kernel, host.machine.shape, state, self.say), disk)
        host.machine.start(disk, [port.netdev() for port in ports], state)

    def install(self, *hosts, deb=None):
        """As an administrator would, on all of them at once."""
        deb = pathlib.Path(deb or self._stock.deb)
        for host in hosts:
            host.put_file(f"/root/{deb.name}", deb)
        jobs = [host.start(f"cd /root && apt-get install -qq -y --no-install-recommends ./{deb.name} 2>&1",
                           timeout=150) for host in hosts]
        for job in jobs:
            job.wait()

    @property
    def deb(self):
        return self._stock.deb

    @property
    def switch(self):
        return self._switch

    def can_open_taps(self):
        return os.geteuid() == 0 and os.access("/dev/net/tun", os.W_OK)

    # The end

    def check(self):
        """Raises unless every VM answers, its kernel is content and its units are well."""
        wrong = []
        for host in self.hosts:
            if not host.machine.alive():
                wrong.append(f"{host.name}: QEMU has ended")
                continue
            result = host.machine.run(
                "dmesg --level emerg,alert,crit,err,warn; echo ---; systemctl --failed --plain "
                "--no-legend | cut -d ' ' -f 1", 30)
            kernel, _, units = result.out.partition("---\n")
            wrong += [f"{host.name}: kernel: {line}" for line in kernel_log.complaints(kernel)]
            wrong += [f"{host.name}: failed unit {unit}" for unit in units.split()
                      if unit not in host.expected_failed_units]
        if wrong:
            raise VmError("; ".join(wrong[:6]))

    def diagnosis(self):
        """What stands behind a failure, as far as the machines know: for the reason of the case."""
        told = []
        for host in self.hosts:
            if not host.machine.alive():
                told.append(f"{host.name}: QEMU has ended: "
                            + " ".join(host.machine.console.read_text(errors="replace").split("\n")[-4:]))
                continue
            result = host.machine.run(
                "systemctl list-units --all --plain --no-legend 'cipe*' 'systemd-*' | "
                "grep -E 'failed|auto-restart' | tr -s ' ' | cut -d ' ' -f 1,3,4; "
                "journalctl --no-pager -q -b -p err -t systemd -t '(ciped)' -t ciped -t cipectl "
                "-o cat -n 3", 30)
            told += [f"{host.name}: {line.strip()}" for line in result.out.splitlines()]
        return "; ".join(dict.fromkeys(told))

    def collect(self):
        """Logs of every machine, for a case that failed."""
        self.logs.mkdir(parents=True, exist_ok=True)
        for host in self.hosts:
            for name, command in (
                    ("journal", "journalctl --no-pager -b"), ("kernel", "dmesg"),
                    ("network", "ip -d address; ip rule; ip route show table all; nft list ruleset"),
                    ("cipe", "for what in tunnels peers drops; do timeout 5 cipectl show $what; done 2>&1")):
                with contextlib.suppress(VmError):
                    text = host.machine.run(command, 20).out if host.machine.alive() else ""
                    (self.logs / f"{host.name}.{name}").write_text(text)
            with contextlib.suppress(OSError):
                (self.logs / f"{host.name}.console").write_bytes(host.machine.console.read_bytes())

    def close(self):
        for host in self.hosts:
            host.machine.end()
        if self._switch is not None:
            self._switch.close()
        if self._bridges is not None:
            self._bridges.close()
        for path in self.directory.glob("*"):
            path.unlink(missing_ok=True)
        self.directory.rmdir()
