"""What broker and engine may still do while they run (docs/security.md)."""

import os
import pathlib
import pwd

from sites import expect, make_pair


def status_of(process):
    """The fields of /proc/PID/status."""
    text = pathlib.Path(f"/proc/{process}/status").read_text()
    return {name: value.strip() for name, _, value in (l.partition(":") for l in text.splitlines())}


# CAP_*: chown 0, dac_read_search 2, kill 5, setgid 6, setuid 7, setpcap 8, net_bind_service 10, net_admin 12, net_raw
# 13, ipc_lock 14, sys_chroot 18, perfmon 38, bpf 39.
BROKER_CAPABILITIES = sum(1 << n for n in (0, 2, 5, 6, 7, 8, 10, 12, 13, 14, 18, 38, 39))


def privileges(lab):
    """The broker keeps the capabilities it needs and no other, the engine none, nor files, nor the
    right to make system calls as it likes; what it is told about its kernel it still knows."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    broker, engine = pair.a.daemons()
    ours, theirs = status_of(broker), status_of(engine)
    for field in ("CapEff", "CapPrm"):
        expect(int(ours[field], 16) & ~BROKER_CAPABILITIES == 0, f"broker: {field} {ours[field]}")
        expect(int(ours[field], 16) >> 12 & 1, f"broker lacks CAP_NET_ADMIN: {ours[field]}")
        expect(int(theirs[field], 16) == 0, f"engine: {field} {theirs[field]}")
    expect(int(theirs["CapBnd"], 16) == 0, f"engine: CapBnd {theirs['CapBnd']}")
    expect(theirs["Seccomp"] == "2" and theirs["NoNewPrivs"] == "1", f"engine: {theirs}")
    user = pwd.getpwnam("cipe").pw_uid
    expect(theirs["Uid"].split() == [str(user)] * 4, f"engine: Uid {theirs['Uid']}")
    expect(not os.path.exists(f"/proc/{engine}/root/etc"), "the engine sees files")
    # Each of its threads, too: the workers are made later.
    for thread in pathlib.Path(f"/proc/{engine}/task").iterdir():
        expect(status_of(f"{engine}/task/{thread.name}")["Seccomp"] == "2", f"thread {thread.name}")
    pair.ping_all()
    drops = pair.a.cipectl("show", "drops")  # per CPU: needs the number of CPUs
    expect(drops.returncode == 0, "show drops")
    pair.down()


CASES = {"of-both": privileges}
