"""Packages broken on purpose, so that the harness can be seen to find it."""

import dataclasses
import pathlib
import re
import shutil
import struct
import subprocess
from collections.abc import Callable

from channel import VmError

EM_BPF = 247  # elf(5)
INSTRUCTION = 8
# r0 = XDP_DROP; if r0 == 0 goto +1 (never, but what follows stays reachable for the verifier); exit
DROP_ALL = bytes.fromhex("b700000001000000" "1500010000000000" "9500000000000000")


@dataclasses.dataclass
class Fault:
    name: str
    what: str
    apply: Callable[[pathlib.Path], None]  # to the unpacked package
    case: str
    expected: re.Pattern  # of the reason why the case fails


def sections(elf):
    """{name: (offset, size)} of a 64-bit little-endian ELF file."""
    table, = struct.unpack_from("<Q", elf, 40)
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQ", elf, table + i * size) for i in range(count)]
    strings = headers[names][4]
    return {elf[strings + h[0]:elf.index(b"\0", strings + h[0])].decode(): (h[4], h[5])
            for h in headers}


def drop_everything(data):
    """`data`, a program with our BPF object in it, with an XDP program that drops every frame."""
    at = -1
    while (at := data.find(b"\x7fELF\x02\x01\x01", at + 1)) >= 0:
        if struct.unpack_from("<H", data, at + 18)[0] != EM_BPF:
            continue
        found = sections(data[at:])
        if "xdp" not in found:
            continue
        offset, size = found["xdp"]
        relocations, length = found.get(".relxdp", (0, 0))
        for entry in range(relocations, relocations + length, 16):
            if struct.unpack_from("<Q", data, at + entry)[0] < len(DROP_ALL):
                raise VmError("the XDP program begins with a relocation: patch it elsewhere")
        if size <= len(DROP_ALL):
            raise VmError("the XDP program is shorter than the fault")
        start = at + offset
        return data[:start] + DROP_ALL + data[start + len(DROP_ALL):]
    raise VmError("no XDP program in ciped")


def break_xdp(tree):
    ciped = tree / "usr/sbin/ciped"
    ciped.write_bytes(drop_everything(ciped.read_bytes()))


def break_unit(tree):
    unit = tree / "lib/systemd/system/ciped.service"
    text = unit.read_text()
    broken = text.replace("ExecStart=/usr/sbin/ciped", "ExecStart=/usr/libexec/ciped")
    if broken == text:
        raise VmError(f"{unit.name} does not start /usr/sbin/ciped")
    unit.write_text(broken)


FAULTS = (
    Fault("xdp-drops-everything", "the XDP program drops every frame", break_xdp,
          "first_tunnel.main-job", re.compile(r"site-[ab].*(ping|handshake|answer)", re.S)),
    Fault("unit-with-a-wrong-path", "ciped.service starts a program that is not there", break_unit,
          "first_tunnel.main-job", re.compile(r"ciped\.service", re.S)),
)


def make(fault, deb, directory):
    """The package with the fault in it, in `directory`."""
    shutil.rmtree(directory, ignore_errors=True)
    tree = directory / "tree"
    tree.parent.mkdir(parents=True)
    made = directory / pathlib.Path(deb).name
    subprocess.run(["dpkg-deb", "-R", str(deb), str(tree)], check=True, timeout=60)
    fault.apply(tree)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", str(tree), str(made)], check=True,
                   timeout=60, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return made
