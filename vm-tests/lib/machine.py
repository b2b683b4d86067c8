"""One VM: its QEMU, its console, its channel, its snapshots."""

import base64
import json
import os



import signal
import socket
import subprocess
import time

from channel import Channel, VmError

BOOT_SECONDS = 90
NICS = 3
MEMORY = "448"


class Shape:
    """What hardware a VM has. A snapshot fits the shape it was taken of only."""

    def __init__(self, processors=1, queues=1):
        self.processors, self.queues = processors, queues

    def __str__(self):
        return f"{self.processors}cpu{self.queues}q"


class Machine:
    """`wires`: an argument of -netdev without its id for each NIC."""

    def __init__(self, name, number, directory, kernel, shape, accelerator):
        self.name, self.number, self.shape = name, number, shape
        self.directory = directory
        self.console = directory / f"{name}.console"
        self._kernel, self._accelerator, self._inside = kernel, accelerator, []
        self._process = self.channel = self._monitor = None
        self._boots = self._nics = 0

    def macs(self):
        return [f"52:54:00:c1:{self.number:02x}:{index:02x}" for index in range(self._nics)]

    def inside(self, words):
        """What QEMU is started by, as `ip netns exec NAME`."""
        self._inside = list(words)

    def start(self, disk, netdevs, snapshot=None):
        """Boots, or goes on where the snapshot in the disk was taken. Returns at once."""
        self._nics = len(netdevs)
        # It ends with us, however we end.
        command = [*self._inside, "setpriv", "--pdeathsig", "KILL", *self._command(disk, netdevs)]
        if snapshot is not None:
            command += ["-loadvm", snapshot]
        self._boots = 0 if snapshot is not None else 1
        errors = self.directory / f"{self.name}.qemu"
        with open(errors, "wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                             stderr=subprocess.STDOUT, start_new_session=True)
        try:
            self.channel = Channel(self.name, self.directory / f"{self.name}.agent",
                                   time.monotonic() + 10)
        except VmError as error:
            raise VmError(f"{error}; QEMU said: {errors.read_text().strip()}") from None

    def _command(self, disk, netdevs):
        here = self.directory / self.name
        shape = self.shape
        command = [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
            "-machine", "pc", *self._accelerator, "-smp", str(shape.processors), "-m", MEMORY,
            "-rtc", "base=utc,clock=host", "-device", "virtio-rng-pci",
            "-kernel", str(self._kernel[0]), "-initrd", str(self._kernel[1]),
            "-append", "console=ttyS0 net.ifnames=0 quiet loglevel=5 systemd.show_status=0 "
                       "panic=0 mitigations=off audit=0 systemd.journald.forward_to_kmsg=0",
            "-drive", f"file={disk},if=virtio,format=qcow2,cache=unsafe",
            "-chardev", f"file,id=console,path={here}.console,append=on",
            "-serial", "chardev:console",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,path={here}.agent,server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=cipe.0",
            "-qmp", f"unix:{here}.qmp,server=on,wait=off",
        ]
        for index, (netdev, mac) in enumerate(zip(netdevs, self.macs())):
            queues = f",mq=on,vectors={2 * shape.queues + 2}" if shape.queues > 1 else ""
            kind, _, rest = netdev.partition(",")
            command += ["-netdev", f"{kind},id=net{index},{rest}",
                        "-device", f"virtio-net-pci,id=nic{index},netdev=net{index},mac={mac},"
                                   f"romfile={queues}"]
        return command

    def await_boot(self, seconds=BOOT_SECONDS):
        """Until the agent answers; after a snapshot it does at once."""
        if self._boots:
            self.channel.await_boot(self._boots, seconds)
        self.settle()

    def settle(self):
        request = self.channel.request("settle", 30, settle={
            "time": time.time(), "name": self.name, "macs": self.macs(),
            "entropy": base64.b64encode(os.urandom(64)).decode()})
        result = request.wait()
        if result.code != 0:
            raise VmError(f"{self.name}: settling: {result.err}")

    def run(self, command, timeout=30):
        """Runs a shell line; the Result, whatever its code."""
        return self.start_command(command, timeout).wait()

    def start_command(self, command, timeout):
        return self.channel.run(["bash", "-c", command], timeout)

    def end_command(self, request, number=signal.SIGTERM):
        self.channel.request("signal", 10, signal=int(number), of=request.number).wait()

    def put(self, path, data, mode=0o644):
        result = self.channel.write(path, data if isinstance(data, bytes) else data.encode(),
                                    mode).wait()
        if result.code != 0:
            raise VmError(f"{self.name}: writing {path}: {result.err}")

    def reboot(self, how="systemctl reboot"):
        """Returns when the next boot's agent answers."""
        self._boots = len(self.channel.boots) + 1
        request = self.start_command(how, BOOT_SECONDS)
        self.channel.await_boot(self._boots, BOOT_SECONDS)
        del request  # its answer is of the boot before
        self.settle()

    def monitor(self, command, **arguments):
        """One QMP command (QEMU Machine Protocol); its return value."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(120)
            connection.connect(f"{self.directory / self.name}.qmp")
            lines = connection.makefile("rw", encoding="utf-8")
            lines.readline()
            for message in ({"execute": "qmp_capabilities"},
                            {"execute": command, "arguments": arguments}):
                lines.write(json.dumps(message) + "\n")
                lines.flush()
                while "event" in (answer := json.loads(lines.readline())):
                    pass
        if "error" in answer:
            raise VmError(f"{self.name}: QEMU: {command}: {answer['error']['desc']}")
        return answer["return"]

    def plug(self, index, plugged):
        """The cable of NIC `index`."""
        self.monitor("set_link", name=f"nic{index}", up=plugged)

    def save(self, name):
        said = self.monitor("human-monitor-command", **{"command-line": f"savevm {name}"})
        if said.strip():
            raise VmError(f"{self.name}: snapshot: {said.strip()}")

    def alive(self):
        return self._process is not None and self._process.poll() is None

    def end(self):
        """Pulls the plug."""
        if self.alive():
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(timeout=10)
        if self.channel is not None:
            self.channel.close()


def overlay(base, path):
    """A disk that starts as `base` and keeps what is written to itself."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(base),
                    str(path)], check=True, timeout=60)


def copy_disk(source, path):
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(source), str(path)], check=True,
                   timeout=120)


