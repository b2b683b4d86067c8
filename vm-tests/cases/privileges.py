"""What broker and engine of the installed package may do, and what an engine that is taken over may not:
the table of docs/security.md, tried from inside (guest/inject.py)."""

import json
import pathlib
import re

from sites import configured_pair, expect, ping_both, up
from streams import expect_same_sessions, processes, sessions

INJECT = pathlib.Path(__file__).resolve().parents[1] / "guest/inject.py"
# debian/cipe.ciped.service, CAP_* by number: chown 0, kill 5, setgid 6, setuid 7, setpcap 8, net_bind_service 10,
# net_admin 12, net_raw 13, ipc_lock 14, sys_chroot 18, perfmon 38, bpf 39. dac_read_search is not in the unit.
UNIT_CAPABILITIES = sum(1 << n for n in (0, 5, 6, 7, 8, 10, 12, 13, 14, 18, 38, 39))
EXPOSURE_AT_MOST = 3.5
# What is refused, and leaves the engine as it is; and what ends it.
REFUSED = ("openat", "open_root", "creat", "mkdir", "unlink", "kill_broker", "kill_init", "bpf_program", "bpf_map",
           "map_executable", "attach_filter", "ioctl", "prctl_dumpable")
DEADLY = ("execve", "socket", "ptrace")  # one after the other, with the tunnel watched
DEADLY_TOO = ("fork", "socket_netlink", "mount", "setuid", "unshare", "io_uring_setup")


def status(host, process):
    text = host.run(f"cat /proc/{process}/status")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def check_broker(host, broker):
    fields = status(host, broker)
    for field in ("CapEff", "CapPrm", "CapBnd"):
        expect(int(fields[field], 16) == UNIT_CAPABILITIES,
               f"broker: {field} is {fields[field]}, documented is {UNIT_CAPABILITIES:016x}")
    for field in ("CapInh", "CapAmb"):
        expect(int(fields[field], 16) == 0, f"broker: {field} is {fields[field]}")
    expect(fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2", f"broker: {fields}")


def check_engine(host, engine):
    user = host.run("id -u cipe")
    threads = host.run(f"ls /proc/{engine}/task").split()
    expect(len(threads) > 1, f"engine: threads {threads}")
    for thread in threads:
        fields = status(host, f"{engine}/task/{thread}")
        said = f"engine, thread {thread}: {fields}"
        for field in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
            expect(int(fields[field], 16) == 0, said)
        expect(fields["Uid"].split() == [user] * 4 and fields["Gid"].split()[0] != "0", said)
        expect(fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2", said)
        expect("0" not in fields["Groups"].split(), said)
    # Root's eyes see through the same link what the engine sees: a directory that is no more.
    seen = host.run(f"ls -A /proc/{engine}/root/ 2>&1; ls -A /proc/{engine}/cwd/ 2>&1; true")
    expect(not re.sub(r"ls: .*(No such file|cannot).*", "", seen).strip(), f"the engine sees files: {seen}")
    code, said = host.code(f"touch /proc/{engine}/root/new")
    expect(code != 0, f"a file can be made in the engine's root: {said}")
    # In the unit's mount namespace: should it get out of its root, the file system is read-only.
    expect(host.run(f"readlink /proc/{engine}/ns/mnt") != host.run("readlink /proc/1/ns/mnt"),
           "the engine is in the mount namespace of init")
    open_files = host.run(f"find /proc/{engine}/fd -lname '/*' -printf '%l\\n'").split("\n")
    strange = [path for path in open_files
               if path and not re.match(r"/dev/(net/tun|null)$|/memfd:", path)]
    expect(not strange, f"files that the engine holds open: {strange}")


def inject(host, name, process):
    """{"result": N} or {"killed": SIGNAL}."""
    answer = json.loads(host.run(f"python3 /root/inject.py {process} {name}", 60))
    host.say(f"the engine made {name}: {answer}")
    return answer


def engine_after(site, old, seconds=60):
    """The broker's next engine."""
    site.host.wait_for(f"e=$(cipectl version -j | grep -o '\"engine_pid\": *[0-9]*' | grep -o '[0-9]*$') && "
                       f"[ $e -ne 0 ] && [ $e -ne {old} ]", seconds, "the broker starts another engine")
    return processes(site)[1]


def sandbox(lab):
    """Facts about both processes, then the engine tries; the broker replaces it, the tunnel is back each time."""
    a, b = configured_pair(lab)
    up(a, b)
    ping_both(a, b)
    host = a.host
    broker, engine = processes(a)
    check_broker(host, broker)
    check_engine(host, engine)
    host.put_file("/root/inject.py", INJECT)
    user = int(host.run("id -u cipe"))
    expect(inject(host, "getuid", engine) == {"result": user, "error": ""}, "inject.py does not work")
    for name in REFUSED:
        answer = inject(host, name, engine)
        expect(answer.get("error") == "EPERM", f"{name} is not refused: {answer}")
    expect(processes(a) == (broker, engine), "a refused call ended the engine or the broker")
    a.ping(b.inner4)
    before = sessions(a)
    for name in DEADLY:
        answer = inject(host, name, engine)
        expect(answer == {"killed": "SIGSYS"}, f"{name} does not end the engine: {answer}")
        engine = engine_after(a, engine)
        a.ping(b.inner4)
        b.ping(a.inner4)
        expect_same_sessions(a, before)
    for name in DEADLY_TOO:
        answer = inject(host, name, engine)
        expect(answer == {"killed": "SIGSYS"}, f"{name} does not end the engine: {answer}")
        engine = engine_after(a, engine)
    expect(processes(a)[0] == broker, "the broker was replaced")
    ping_both(a, b)
    check_engine(host, engine)
    said = host.run("journalctl -t ciped --no-pager -q | grep -i -c -E 'SIGSYS|system call'")
    expect(int(said) >= len(DEADLY + DEADLY_TOO), f"the log names SIGSYS {said} times only")


def exposure(lab):
    """`systemd-analyze security`, printed."""
    host = lab.host("site-a")
    lab.wire("carrier", (host, 0))
    lab.boot()
    text = host.run("systemd-analyze security --no-pager ciped.service", 60)
    lab.say(text)
    found = re.search(r"Overall exposure level for ciped.service: ([\d.]+)", text)
    expect(found, "systemd-analyze says no overall level")
    expect(float(found[1]) <= EXPOSURE_AT_MOST, f"exposure {found[1]}, wanted at most {EXPOSURE_AT_MOST}")


CASES = {"sandbox": sandbox, "exposure": exposure}
