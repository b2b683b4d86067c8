"""Network namespaces with real ciped and cipectl in them, for tools/demo, tools/bench and tests/netns.

A Lab owns everything it makes (namespaces, processes, a temporary directory) and removes it on
close(), whatever went wrong; it ends only processes that run in its own namespaces. Every wait has
a deadline. Commands are echoed so that a log can be replayed by hand.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("CIPE_BIN_DIR", ROOT / "build/release/bin"))
ROUTE_PROTOCOL = 205  # of every route ciped makes
EXIT_DEGRADED = 4
EXIT_NOT_RUNNING = 3


class LabError(Exception):
    """What was expected and did not happen, in one sentence."""


def wait_for(what, condition, timeout=10.0, interval=0.05):
    """Polls until condition() is true and returns its value; LabError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout:g} s for {what}")
        time.sleep(interval)


def find_peers(document):
    """Peer objects anywhere in the JSON of `cipectl -j show peers`."""
    if isinstance(document, list):
        return [peer for item in document for peer in find_peers(item)]
    if not isinstance(document, dict):
        return []
    if "allowed_ips" in document and "rx_bytes" in document:
        return [document]
    return [peer for value in document.values() for peer in find_peers(value)]


def rung_number(rung):
    """1, 2 or 3 from the `rung` of a peer, which may be a number or start with one."""
    match = re.search(r"[123]", str(rung))
    return int(match.group(0)) if match else 0


def bpf_programs():
    """{id: name} of the loaded BPF programs whose names start with cipe_."""
    output = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, text=True,
                            timeout=30, check=True, env=command_environment()).stdout
    return {program["id"]: program["name"] for program in json.loads(output or "[]")
            if program.get("name", "").startswith("cipe_")}


def held_programs(except_pids):
    """Ids of the BPF programs that processes but these hold, by descriptor or through a link."""
    held = set()
    for info in pathlib.Path("/proc").glob("[0-9]*/fdinfo/*"):
        with contextlib.suppress(OSError):
            if int(info.parts[2]) not in except_pids:
                held.update(map(int, re.findall(r"^prog_id:\s*(\d+)", info.read_text(), re.M)))
    return held


def command_environment():
    return {**os.environ, "PATH": f"{BIN}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
            "LC_ALL": "C"}


@dataclasses.dataclass
class Site:
    """One end: a namespace and the directories of its ciped."""

    lab: "Lab"
    name: str
    namespace: str
    directory: pathlib.Path

    @property
    def config(self):
        return self.directory / "etc"

    def options(self):
        return ["--runtime-dir", self.directory / "run", "--config-dir", self.config,
                "--state-dir", self.directory / "state"]

    def run(self, *command, **options):
        return self.lab.run(*command, namespace=self.namespace, **options)

    def start(self, *command, **options):
        return self.lab.start(*command, namespace=self.namespace, **options)

    def cipectl(self, *arguments, **options):
        return self.run(BIN / "cipectl", *self.options(), *arguments, **options)

    def up(self, tunnel, *arguments, **options):
        return self.cipectl("up", tunnel, *arguments, timeout=60, **options)

    def down(self, tunnel, **options):
        return self.cipectl("down", tunnel, timeout=30, **options)

    def peers(self):
        output = self.cipectl("-j", "show", "peers", echo=False).stdout
        return find_peers(json.loads(output))

    def peer(self):
        peers = self.peers()
        if len(peers) != 1:
            raise LabError(f"{self.name}: expected one peer in `show peers`, got {len(peers)}")
        return peers[0]

    def write(self, name, text, mode=0o600):
        """A file in the config directory, made with its mode so that no moment is readable."""
        self.config.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.config / name
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def daemons(self):
        """Process ids of ciped in this namespace: (broker or None, engine or None)."""
        pids = {}
        for pid in self.lab.pids(self.namespace):
            with contextlib.suppress(OSError, IndexError, ValueError):
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")).split()[0] == "ciped":
                    stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                    if stat[0] != "Z":
                        pids[pid] = int(stat[1])
        broker = next((pid for pid, parent in pids.items() if parent not in pids), None)
        engine = next((pid for pid, parent in pids.items() if parent in pids), None)
        return broker, engine

    @property
    def daemon_log(self):
        """What a ciped in the background has written so far."""
        return (self.directory / "run/ciped.log").read_text()

    def start_daemon(self, **options):
        """`ciped --daemon` as after a reboot: nobody says `up`."""
        return self.run(BIN / "ciped", *self.options(), "--daemon", **options)

    def crash_daemon(self, timeout=5):
        """Kills the broker; the engine ends by itself."""
        os.kill(self.daemons()[0], signal.SIGKILL)
        wait_for("both processes to be gone", lambda: self.daemons() == (None, None), timeout)

    def leftovers(self, tunnels):
        """What `down` should have taken away, one sentence each."""
        found = []
        links = json.loads(self.lab.quiet("ip", "-n", self.namespace, "-j", "link") or "[]")
        for link in links:
            if link["ifname"] in tunnels:
                found.append(f"{self.name}: netdev {link['ifname']}")
            if "xdp" in link and link["xdp"].get("prog", {}).get("name", "").startswith("cipe_"):
                found.append(f"{self.name}: XDP program on {link['ifname']}")
        for family in ("-4", "-6"):
            routes = self.lab.quiet("ip", "-n", self.namespace, family, "route", "show", "table",
                                    "all", "proto", str(ROUTE_PROTOCOL))
            found += [f"{self.name}: route {route.strip()}" for route in routes.splitlines()]
        return found

    def stop_daemon(self):
        """Asks a ciped that is still there to end; LabError when it does not within 10 s."""
        broker, engine = self.daemons()
        if broker is None and engine is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(broker or engine, signal.SIGTERM)
        wait_for(f"ciped of {self.name} to end after SIGTERM",
                 lambda: self.daemons() == (None, None))


def tag_of(pid):
    """What the names of all namespaces and directories begin with that this process makes."""
    return f"cipe{pid}x"


def remove_remains(pid):
    """Removes what the labs of a process left behind that did not come to its close()."""
    for path in pathlib.Path("/run/netns").glob(f"{tag_of(pid)}*"):
        listed = subprocess.run(["ip", "netns", "pids", path.name], capture_output=True, text=True,
                                timeout=30, env=command_environment()).stdout
        for inside in map(int, listed.split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(inside, signal.SIGKILL)
        subprocess.run(["ip", "netns", "delete", path.name], capture_output=True, timeout=30,
                       env=command_environment())
    for path in pathlib.Path(tempfile.gettempdir()).glob(f"{tag_of(pid)}*"):
        shutil.rmtree(path, ignore_errors=True)


class Lab:
    """Use as a context manager. `echo` takes each line of the log."""

    _count = 0

    def __init__(self, echo=None, keep=False):
        Lab._count += 1
        self.tag = f"{tag_of(os.getpid())}{Lab._count}"
        self.echo = echo or (lambda line: print(line, flush=True))
        self.keep = keep
        self.namespaces, self.processes, self.sites = [], [], []
        self.programs_before = bpf_programs()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.tag}-"))
        os.chmod(self.directory, 0o755)  # the engine's user must be able to reach its own files

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    # -- commands ---------------------------------------------------------------------------------

    def quiet(self, *command, check=True, timeout=30):
        result = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                                timeout=timeout, stdin=subprocess.DEVNULL,
                                env=command_environment())
        if check and result.returncode != 0:
            raise LabError(f"{shlex.join(map(str, command))}: exit {result.returncode}: "
                           f"{result.stderr.strip()}")
        return result.stdout

    def _words(self, command, namespace):
        prefix = ["ip", "netns", "exec", namespace] if namespace else []
        return prefix + [str(word) for word in command]

    def _echo_command(self, command, namespace):
        words = [str(word) for word in command]
        words[0] = os.path.basename(words[0])
        where = namespace.removeprefix(self.tag + "-") if namespace else "host"
        self.echo(f"  [{where}] " + shlex.join(words).replace(str(self.directory), "$LAB"))

    def run(self, *command, namespace=None, check=True, timeout=30, echo=True, stdin=""):
        """Runs to the end; LabError on a wrong exit code. `check` may be a set of good codes."""
        if echo:
            self._echo_command(command, namespace)
        try:
            result = subprocess.run(self._words(command, namespace), input=stdin, text=True,
                                    capture_output=True, timeout=timeout,
                                    env=command_environment())
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{command[0]}: still running, or its output held open, after "
                           f"{timeout} s") from error
        good = {0} if check is True else check or None
        if good and result.returncode not in good:
            raise LabError(f"{shlex.join(map(str, command))}: exit {result.returncode}, expected "
                           f"{sorted(good)}: {(result.stderr or result.stdout).strip()[-800:]}")
        return result

    def start(self, *command, namespace=None, echo=True, **options):
        """Starts in the background; ended by close()."""
        if echo:
            self._echo_command(command, namespace)
        defaults = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                    "stderr": subprocess.STDOUT, "text": True}
        process = subprocess.Popen(self._words(command, namespace), env=command_environment(),
                                   **{**defaults, **options})
        self.processes.append(process)
        return process

    def pids(self, namespace):
        """Processes in the namespace."""
        return list(map(int, self.quiet("ip", "netns", "pids", namespace, check=False).split()))

    # -- topology ---------------------------------------------------------------------------------

    def namespace(self, name):
        full = f"{self.tag}-{name}"
        self.namespaces.append(full)  # first: an interruption must not leave it behind
        self.run("ip", "netns", "add", full)
        self.quiet("ip", "-n", full, "link", "set", "lo", "up")
        return full

    def site(self, name):
        directory = self.directory / name
        directory.mkdir()
        site = Site(self, name, self.namespace(name), directory)
        self.sites.append(site)
        return site

    def veth(self, one, two, mtu=1500):
        """A virtual wire between two (namespace, netdev, [addresses]) ends."""
        (ns1, dev1, addresses1), (ns2, dev2, addresses2) = one, two
        self.run("ip", "-n", ns1, "link", "add", dev1, "mtu", mtu, "type", "veth", "peer", "name",
                 dev2, "netns", ns2, "mtu", mtu)
        for ns, dev, addresses in ((ns1, dev1, addresses1), (ns2, dev2, addresses2)):
            for address in addresses:
                nodad = ["nodad"] if ":" in address else []
                self.run("ip", "-n", ns, "address", "add", address, "dev", dev, *nodad)
            self.run("ip", "-n", ns, "link", "set", dev, "up")
        for ns, dev in ((ns1, dev1), (ns2, dev2)):
            wait_for(f"carrier of {dev}", lambda ns=ns, dev=dev: "LOWER_UP" in self.quiet(
                "ip", "-n", ns, "link", "show", dev))

    # -- end --------------------------------------------------------------------------------------

    def _end_processes(self):
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
        self.processes.clear()
        for site in self.sites:
            for stop in (signal.SIGTERM, signal.SIGKILL):
                pids = [pid for pid in site.daemons() if pid]
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, stop)
                with contextlib.suppress(LabError):
                    wait_for("ciped to end", lambda s=site: s.daemons() == (None, None), 3)
        self._end_strangers()

    def _end_strangers(self):
        """Whatever else still runs in the lab's namespaces, so was started there."""
        for stop in (signal.SIGTERM, signal.SIGKILL):
            left = [pid for namespace in self.namespaces for pid in self.pids(namespace)]
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, stop)
            with contextlib.suppress(LabError):
                wait_for("processes in the namespaces to end",
                         lambda: not any(map(self.pids, self.namespaces)), 3)

    def close(self):
        if self.keep:
            self.echo(f"kept: namespaces {' '.join(self.namespaces)}, files in {self.directory}")
            return
        self._end_processes()
        for namespace in self.namespaces:
            self.quiet("ip", "netns", "delete", namespace, check=False)
        self.namespaces.clear()
        self.sites.clear()
        shutil.rmtree(self.directory, ignore_errors=True)

    def new_programs(self):
        """cipe_* BPF programs that were not loaded when the lab was made and are not held by a
        process outside: another lab's, another daemon's."""
        new = {number: name for number, name in bpf_programs().items()
               if number not in self.programs_before}
        if new:
            inside = {pid for namespace in self.namespaces for pid in self.pids(namespace)}
            elsewhere = held_programs(inside)
            new = {number: name for number, name in new.items() if number not in elsewhere}
        return new


# -- configuration and reachability --------------------------------------------------------------------


def key_pair(site, name):
    """(private key text, public key text) by cipectl; the private one also in etc/NAME.key."""
    private = site.cipectl("genkey").stdout.strip()
    public = site.cipectl("pubkey", stdin=private + "\n").stdout.strip()
    site.write(f"{name}.key", private + "\n")
    return private, public


def tunnel_config(interface, peer):
    """INI text from two dicts; a value of None leaves the line out."""
    lines = []
    for section, values in (("Interface", interface), ("Peer", peer)):
        lines.append(f"[{section}]")
        lines += [f"{key} = {value}" for key, value in values.items() if value is not None]
        lines.append("")
    return "\n".join(lines)


def ping(site, address, count=3, size=56, check=True):
    """True when every one of `count` pings was answered."""
    result = site.run("ping", "-n", "-c", count, "-i", "0.2", "-W", "2", "-s", size, address,
                      check=False, timeout=count * 2.5 + 10)
    answered = re.search(r"(\d+) received", result.stdout)
    good = result.returncode == 0 and answered and int(answered.group(1)) == count
    if check and not good:
        raise LabError(f"{site.name}: ping {address} size {size}: "
                       f"{answered.group(1) if answered else 0} of {count} answered")
    return bool(good)


def wait_listening(site, port, kind="t"):
    wait_for(f"{site.name} to listen on port {port}",
             lambda: site.run("ss", "-Hln" + kind, f"sport = :{port}", echo=False).stdout.strip())


def log_to_stderr(line):
    print(line, file=sys.stderr, flush=True)
