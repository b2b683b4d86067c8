"""The machine and the build a run was made on, so that its figures can be judged."""

import os
import pathlib
import platform
import re
import subprocess
import time

import bench_cpu as cpu
import lab as labs

LOOK_SECONDS = 0.5
NOISE = 0.10  # processors; more than that besides the bench is worth a warning


def read(path, default=""):
    try:
        return pathlib.Path(path).read_text(errors="replace").strip()
    except OSError:
        return default


def first_line(*command):
    """Of what the command says; "" when it cannot be run."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=labs.ROOT,
                                stdin=subprocess.DEVNULL, env=labs.command_environment())
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (result.stdout.strip().splitlines() or [""])[0] if result.returncode == 0 else ""


def processor():
    """Its name, as /proc/cpuinfo has it."""
    match = re.search(r"^(?:model name|Hardware|cpu model)\s*:\s*(.+)$", read("/proc/cpuinfo"), re.M)
    return match.group(1).strip() if match else platform.machine()


def memory_gib():
    match = re.search(r"^MemTotal:\s*(\d+) kB", read("/proc/meminfo"), re.M)
    return round(int(match.group(1)) / 2**20, 1) if match else 0.0


def other_load():
    """Processors that are busy while nothing is measured."""
    before = cpu.Moment.now()
    time.sleep(LOOK_SECONDS)
    after = cpu.Moment.now()
    return round(cpu.Cost.between(before, after).tunnel / LOOK_SECONDS, 3)


def build():
    """Which source was built, and how."""
    commit = first_line("git", "rev-parse", "--short=12", "HEAD")
    changed = first_line("git", "status", "--porcelain", "--untracked-files=no")
    kind = re.search(r"^CMAKE_BUILD_TYPE:\w+=(\w+)$", read(labs.BIN.parent / "CMakeCache.txt"), re.M)
    return {"commit": commit + ("+" if commit and changed else ""),
            "build_type": kind.group(1) if kind else "",
            "version": first_line(str(labs.BIN / "ciped"), "--version")}


def describe():
    system = re.search(r'^PRETTY_NAME="?([^"\n]*)', read("/etc/os-release"), re.M)
    governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "none visible")
    virtual = "hypervisor" in read("/proc/cpuinfo").partition("flags")[2].partition("\n")[0].split()
    return {"processor": processor(), "cores": len(os.sched_getaffinity(0)),
            "memory_gib": memory_gib(), "virtual_machine": virtual, "governor": governor,
            "kernel": platform.release(), "system": system.group(1) if system else "",
            "iperf3": first_line("iperf3", "--version"), "build": build()}


def sentence(machine):
    kind = "virtual machine" if machine["virtual_machine"] else "machine"
    return (f"One {kind} that runs both hosts and the load: {machine['processor']}, "
            f"{machine['cores']} cores, {machine['memory_gib']:g} GiB, governor: "
            f"{machine['governor']}, Linux {machine['kernel']}, {machine['system']}. "
            f"{machine['iperf3']}. {machine['build']['version']} at commit "
            f"{machine['build']['commit'] or 'unknown'}, {machine['build']['build_type']}.")
