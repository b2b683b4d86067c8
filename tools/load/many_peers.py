"""A tunnel with very many peers: its configuration, and what it costs.

As a module of the namespace tests; alone, as root, on a host whose tunnels nobody needs:

  tools/load/many_peers.py write DIRECTORY --name NAME --peers N   NAME.conf with made-up peers
  tools/load/many_peers.py memory PID...                           octets that the processes use

Peers are made up: 32 random octets are as good a public key as any for somebody who never answers.
"""

import argparse
import base64
import ipaddress
import os
import pathlib
import re
import sys

BASE = ipaddress.ip_address("10.64.0.0")


def prefix(i):
    """The single address of peer i."""
    return f"{BASE + i}/32"


def peer(i, key=None, *lines):
    """A [Peer] section as text."""
    key = key or base64.b64encode(os.urandom(32)).decode()
    return "\n".join([f"[Peer]\nName = p{i:05d}", f"PublicKey = {key}",
                      f"AllowedIPs = {prefix(i)}", *lines, ""])


def config(interface, peers):
    """Text of a file: `interface` are lines, `peers` sections."""
    return "\n".join(["[Interface]", *interface, "", *peers])


def anonymous_memory(*pids):
    """Octets of anonymous memory (PSS, so that what a fork shares counts once): heap and stacks.
    Buffers of packets, which are files in memory, and programs' text come and go with traffic and
    are left out."""
    total = 0
    for pid in pids:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += sum(int(kilobytes) for kilobytes in
                     re.findall(r"^(?:Pss_Anon|SwapPss):\s+(\d+) kB", text, re.M)) * 1024
    return total


def map_memory(*pids):
    """Octets of kernel memory of the BPF maps that the processes hold, each map once. Kernels
    before 6.4 tell what a full map would take, which is the same for any number of peers."""
    maps = {}
    for pid in pids:
        for path in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
            try:
                text = path.read_text()
            except FileNotFoundError:  # closed meanwhile
                continue
            values = dict(re.findall(r"^(map_id|memlock):\s+(\d+)", text, re.M))
            if "map_id" in values:
                maps[values["map_id"]] = int(values["memlock"])
    return sum(maps.values())


def memory(*pids):
    """Octets that peers and sessions can have a part in."""
    return anonymous_memory(*pids) + map_memory(*pids)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write")
    write.add_argument("directory", type=pathlib.Path)
    write.add_argument("--name", default="many")
    write.add_argument("--peers", type=int, default=10000)
    commands.add_parser("memory").add_argument("pid", type=int, nargs="+")
    options = parser.parse_args()
    if options.command == "memory":
        print(memory(*options.pid))
        return 0
    path = options.directory / f"{options.name}.conf"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(config(["Address = 10.63.255.254/32", f"PrivateKeyFile = {options.name}.key"],
                          [peer(i) for i in range(options.peers)]))
    print(f"{path}: needs {options.name}.key, from `cipectl genkey`")
    return 0


if __name__ == "__main__":
    sys.exit(main())
