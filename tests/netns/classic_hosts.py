"""Hosts on which the commands of 1999 can be typed as they stand: /etc/cipe, /run and /var/lib of
each are its own, by a mount namespace beside the network namespace."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import lab as labs
from sites import expect

sys.path.insert(0, str(labs.ROOT / "tests/classic"))

import model_driver  # noqa: E402

LETTERS = {"blowfish": "b", "idea-le": "i", "idea-be": "i"}
KEY = "101112131415161718191a1b1c1d1e1f"
PREPARE = '''set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/upper/cipe"
mount -t overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" overlay /etc
mount --bind "$2" /etc/cipe
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib
echo ready
exec sleep 600'''
# $1 to $6 and the environment, in one file each per call: NAME.1, NAME.2, ...
RECORDER = '''#!/bin/sh
base="{place}/{name}"
n=1; while [ -e "$base.$n" ]; do n=$((n + 1)); done
{{ for word; do echo "arg $word"; done; env | sed 's/^/env /'; }} > "$base.writing"
{extra}
mv "$base.writing" "$base.$n"
'''


@dataclasses.dataclass
class Host(labs.Site):
    """A site with the paths that 1999 knew. `config` is what its commands see as /etc/cipe."""

    holder: subprocess.Popen = None

    def prepare(self):
        self.config.mkdir(mode=0o755)
        place = self.directory / "mounts"
        place.mkdir()
        self.holder = self.lab.start("sh", "-c", PREPARE, "sh", place, self.config,
                                     namespace=self.namespace, echo=False)
        said = self.holder.stdout.readline().strip()
        expect(said == "ready", f"{self.name}: no mount namespace of its own: {said}")

    def options(self):
        return []

    def _inside(self, command):
        return ["nsenter", "-t", self.holder.pid, "--mount", "--net", "--", *command]

    def run(self, *command, echo=True, **options):
        if echo:
            self.lab._echo_command(command, self.namespace)
        return self.lab.run(*self._inside(command), echo=False, **options)

    def start(self, *command, echo=True, **options):
        if echo:
            self.lab._echo_command(command, self.namespace)
        return self.lab.start(*self._inside(command), echo=False, **options)

    @property
    def log(self):
        """What typed commands wrote to standard error, then ciped.log, for no journald is here."""
        run = pathlib.Path(f"/proc/{self.holder.pid}/root/run/cipe")
        paths = (self.directory / "log", run / "ciped.log.old", run / "ciped.log")
        return "".join(path.read_bytes().decode("utf-8", "surrogateescape")
                       for path in paths if path.exists())

    def type(self, line, check=True, timeout=60):
        """A line at root's shell; standard error goes to `log`."""
        self.lab.echo(f"  root@{self.name}# {line}")
        result = self.run("sh", "-c", f'exec 2>>"$0"; {line}', self.directory / "log", check=False,
                          timeout=timeout, echo=False)
        expect(not check or result.returncode == 0,
               f"{self.name}: {line!r} ended with {result.returncode}: {self.log[-800:]}")
        return result

    def refused(self, line, *patterns, secret=None):
        """The line must fail, say why, keep `secret` to itself and leave no netdev."""
        spoken = self.directory / "log"
        before, devices = spoken.stat().st_size if spoken.exists() else 0, self.devices()
        result = self.type(line, check=False)
        said = result.stdout + spoken.read_bytes()[before:].decode("utf-8", "surrogateescape")
        expect(result.returncode not in (0, 4), f"{self.name}: {line!r} was accepted: {said}")
        for pattern in patterns:
            expect(re.search(pattern, said, re.IGNORECASE), f"{line!r}: no {pattern!r} in: {said}")
        expect(not secret or secret not in said, f"{line!r}: the message holds the key")
        expect(self.devices() == devices, f"{line!r}: left {self.devices()}")

    def devices(self):
        """Netdevs of classic tunnels."""
        links = json.loads(self.run("ip", "-j", "link", echo=False).stdout or "[]")
        return sorted(link["ifname"] for link in links if re.match(r"cipc[bi]\d", link["ifname"]))

    def link(self, device):
        """(the JSON object of `ip link`, [its IPv4 addresses])."""
        found = json.loads(self.run("ip", "-j", "-4", "address", "show", "dev", device,
                                    echo=False).stdout)[0]
        return found, found["addr_info"]

    def tunnel(self, name):
        document = json.loads(self.cipectl("-j", "show", "tunnels", echo=False).stdout)
        tunnels = [tunnel for tunnel in document["tunnels"] if tunnel["name"] == name]
        expect(len(tunnels) == 1, f"{self.name}: {name} is not in `show tunnels`: {document}")
        return tunnels[0]

    def script(self, name, extra=""):
        """An executable /etc/cipe/NAME that records each call; see calls()."""
        self.write(name, RECORDER.format(place=self.directory, name=name, extra=extra), 0o755)

    def calls(self, name):
        """[([arguments], {environment})] of the finished calls of a script, oldest first."""
        found, number = [], 1
        while (path := self.directory / f"{name}.{number}").exists():
            lines = path.read_text().splitlines()
            arguments = [line[4:] for line in lines if line.startswith("arg ")]
            environment = dict(line[4:].split("=", 1) for line in lines
                               if line.startswith("env ") and "=" in line)
            found.append((arguments, environment))
            number += 1
        return found

    def wait_call(self, name, number=1, timeout=10):
        """Arguments and environment of the number-th call."""
        labs.wait_for(f"call {number} of {name} at {self.name}",
                      lambda: len(self.calls(name)) >= number, timeout)
        return self.calls(name)[number - 1]

    def leftovers(self, tunnels):
        found = super().leftovers(tunnels)
        links = self.run("sh", "-c", "ls /run/cipe/links 2>/dev/null", check=False,
                         echo=False).stdout.split()
        return found + [f"{self.name}: file links/{name}" for name in links]


def require(*programs):
    for program in programs:
        expect((labs.BIN / program).exists(), f"{labs.BIN / program} is missing; build it with "
               "tools/lib/build release")


def make_host(lab, name):
    directory = lab.directory / name
    directory.mkdir()
    host = Host(lab, name, lab.namespace(name), directory)
    lab.sites.append(host)
    host.prepare()
    return host


@dataclasses.dataclass
class TwoHosts:
    """A with 10.0.0.1 and B with 10.0.0.2 on one Ethernet segment, as the HOWTO has it."""

    lab: labs.Lab
    a: Host
    b: Host

    @property
    def both(self):
        return (self.a, self.b)

    def key(self, more=""):
        """The HOWTO's way to make a key, then the same file at B; `more` lines go to both."""
        for host in self.both:
            host.write("options", more)
        self.a.type("echo key $(head -c 16 /dev/random | md5sum) >> /etc/cipe/options")
        self.b.write("options", (self.a.config / "options").read_text())

    def commands(self, letter="b", a="", b=""):
        """The HOWTO's two commands, with more options behind."""
        self.a.type(f"ciped-c{letter} me=10.0.0.1:6789 peer=10.0.0.2:6543 ipaddr=10.0.1.1 "
                    f"ptpaddr=10.0.1.2 {a}".strip())
        self.b.type(f"ciped-c{letter} peer=10.0.0.1:6789 me=10.0.0.2:6543 ptpaddr=10.0.1.1 "
                    f"ipaddr=10.0.1.2 {b}".strip())

    def pings(self):
        labs.ping(self.a, "10.0.1.2")
        labs.ping(self.b, "10.0.1.1")

    def down(self):
        """Every tunnel down at both ends, and nothing left."""
        devices = {host.name: host.devices() for host in self.both}
        for host in self.both:
            for device in devices[host.name]:
                host.down(device)

        def left():
            return [line for host in self.both for line in host.leftovers(devices[host.name])]

        try:
            labs.wait_for("clean-up", lambda: not left())
        except labs.LabError as error:
            raise labs.LabError("left behind: " + "; ".join(left())) from error
        for host in self.both:
            host.stop_daemon()


def two_hosts(lab):
    require("ciped-cb", "ciped-ci")
    lab.echo("A [eth0 10.0.0.1] ---- veth ---- [eth0 10.0.0.2] B")
    a, b = make_host(lab, "A"), make_host(lab, "B")
    lab.veth((a.namespace, "eth0", ["10.0.0.1/24"]), (b.namespace, "eth0", ["10.0.0.2/24"]))
    return TwoHosts(lab, a, b)


def start_model(host, bind="10.0.0.2:6543", peer="10.0.0.1:6789", **options):
    """The Python model in place of ciped at `host`; ended by the lab."""
    return model_driver.ModelPeer(lambda words, **pipes: host.start(*words, **pipes), bind, peer,
                                  KEY, **options)


def ciped_and_model(lab, cipher="blowfish", ciped="", first=(), **model):
    """(TwoHosts, model): ciped at A, started with the HOWTO's command, and the model at B.

    `first` are commands to the model, as dicts, before there is a ciped.
    """
    pair = two_hosts(lab)
    peer = start_model(pair.b, cipher=cipher, **model)
    for command in first:
        peer.do(**command)
    pair.a.write("options", f"key {KEY}\n")
    order = " idea-order=be" if cipher == "idea-be" else ""
    pair.a.type(f"ciped-c{LETTERS[cipher]} me=10.0.0.1:6789 peer=10.0.0.2:6543 ipaddr=10.0.1.1 "
                f"ptpaddr=10.0.1.2{order} {ciped}".strip())
    return pair, peer


def find_program(name):
    """Its path, or None."""
    return shutil.which(name, path=labs.command_environment()["PATH"])


def program_of(pid):
    return os.path.basename(os.readlink(f"/proc/{pid}/exe")).split()[0]
