"""All that a host could keep of a package or a tunnel that is gone, so that two times can be compared."""

import json

from channel import VmError

# Printed one after the other with a line of its own between them. None of them may hold what changes by itself.
COMMANDS = {
    "netdevs": "ip -d -o link | sed -E 's/^[0-9]+: //; s/ (qlen|prog\\/xdp id|load_time|btf_id) [0-9]+//g'",
    "addresses": "ip -o address | sed -E 's/^[0-9]+: //; s/(valid|preferred)_lft [0-9a-z]+//g'",
    "routes": "for family in -4 -6; do ip $family route show table all | sed -E 's/ expires [0-9]+sec//'; done",
    "rules": "ip -4 rule; ip -6 rule",
    "nftables": "nft list ruleset",
    "XDP": "bpftool net show | grep -v ':$' | sed -E 's/ id [0-9]+//'",
    "sockets": "ss -H -ltunxwpn0 | awk '{print $1, $5}'; ls -1 /run/*/*.sock 2>/dev/null",
    "processes": "ps -eo user:20,comm --no-headers | grep -E 'cipe'",
    # One that only a link still names is "not-found".
    "loaded units": "systemctl list-units --all --plain --no-legend 'cipe*' 'run-r*' | "
                    "awk '$2 != \"not-found\" || $3 != \"inactive\" {print $1, $2, $3}'",
}
FILES = {
    "unit files": "systemctl list-unit-files --no-legend | awk '{print $1, $2}'",
    # Not what package management, the journal and the harness write themselves.
    "files": r"find / /run -xdev \( -path /proc -o -path /sys -o -path /tmp -o -path /var/tmp -o -path /root "
             r"-o -path '/var/log' -o -path '/var/cache' -o -path /var/lib/apt -o -path /var/lib/dpkg -o "
             r"-path /run/log -o -path '/run/systemd/*' -o -path /run/udev -o -path /var/lib/systemd/random-seed "
             r"-o -path '/etc/*-' -o -path /run/stream.received \) -prune -o -printf '%p %M %u %g %l\n'",
}
MARK = "=-=-="
# BPF objects and how much memory each takes. Programs of systemd's own come and go with other units.
BPF = "bpftool -j prog show; echo; bpftool -j map show; echo; bpftool -j link show"


def bpf_objects(text):
    found = []
    for kind, line in zip(("program", "map", "link"), (l for l in text.splitlines() if l.strip())):
        entries = json.loads(line)
        if isinstance(entries, dict):
            raise VmError(f"bpftool: {entries}")
        for entry in entries:
            words = [str(entry.get(name)) for name in ("type", "name", "tag", "bytes_memlock", "prog_type")
                     if entry.get(name) is not None]
            if not (kind == "program" and entry.get("name", "").startswith("sd_")):
                found.append(" ".join([kind, *words]))
    return found


def traces(host, files=False):
    """{what: sorted lines}."""
    commands = {**COMMANDS, **(FILES if files else {}), "BPF": BPF}
    host.say("traces: " + "; ".join(commands.values()))
    out = host.machine.run(f"; echo {MARK}; ".join(f"{{ {command}; }}" for command in commands.values()), 90).out
    texts = out.split(MARK + "\n")
    if len(texts) != len(commands):
        raise VmError(f"{host.name}: {len(texts)} of {len(commands)} traces: {out[-500:]}")
    made = {what: sorted(text.splitlines()) for what, text in zip(commands, texts)}
    made["BPF"] = sorted(bpf_objects(texts[-1]))
    if not made["netdevs"] or not made["routes"]:
        raise VmError(f"{host.name}: nothing seen: {made}")
    return made


def differences(before, after):
    """Lines such as "routes: + 10.9.0.2 dev office"."""
    found = []
    for what in before:
        old, new = list(before[what]), list(after[what])
        for line in before[what]:
            if line in new:
                new.remove(line)
                old.remove(line)
        found += [f"{what}: - {line}" for line in old] + [f"{what}: + {line}" for line in new]
    return found
