"""AF_XDP rings that the kernel does not let anybody map: of bound sockets, as Linux 6.1 does it, or
of any. The kernel's part is played by a library that is preloaded into ciped."""

import functools
import json
import os
import signal

import lab as labs
from sites import TUNNEL, expect, make_pair

# sendto(2) on an AF_XDP socket that is not bound says ENXIO (net/xdp/xsk.c, xsk_sendmsg).
REFUSER = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <linux/if_xdp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int refused(int fd) {
  struct xdp_mmap_offsets offsets;
  socklen_t length = sizeof offsets;
  if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) != 0) return 0;
  if (EVERY_SOCKET) return 1;
  return sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0 || errno != ENXIO;
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
  if (fd >= 0 && refused(fd)) {
    errno = EBUSY;
    return MAP_FAILED;
  }
  return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}
void *mmap64(void *, size_t, int, int, int, off_t) __attribute__((alias("mmap")));
"""


def refuser(lab, every_socket):
    """The library, for LD_PRELOAD."""
    source, built = lab.directory / "refuser.c", lab.directory / "refuser.so"
    source.write_text(REFUSER)
    lab.run("cc", "-O1", "-shared", "-fPIC", "-DSOL_XDP=283", f"-DEVERY_SOCKET={int(every_socket)}",
            "-o", built, source)
    return f"LD_PRELOAD={built}"


def up(pair, preload, codes):
    """Both ends up; every ciped of site-a has the library."""
    pair.a.run("env", preload, labs.BIN / "cipectl", *pair.a.options(), "up", TUNNEL, "--no-wait",
               check=codes, timeout=60)
    pair.b.up(TUNNEL)
    pair.wait_handshake()
    for pid in pair.a.daemons():
        with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
            expect("refuser.so" in maps.read(), f"process {pid} has not got the library")


def seen(site):
    return json.loads(site.cipectl("-j", "show", "tunnels", echo=False).stdout)["tunnels"][0]


def works_on(pair, rung, before=None):
    expect(seen(pair.a)["rung"] == rung, f"site-a: {seen(pair.a)}")
    if before is not None:
        after = [site.peer()["latest_handshake"] for site in pair.both]
        expect(after == before, f"handshakes changed from {before} to {after}")
    pair.ping_all()
    pair.transfer(pair.a, octets=2_000_000)
    pair.transfer(pair.b, octets=2_000_000)


def bound_ones(lab, datapath):
    """The rung that is had elsewhere: at first, by the engine after a killed one, and by the next
    ciped, in the same session."""
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": datapath})
    preload = refuser(lab, every_socket=False)
    up(pair, preload, codes={0})
    works_on(pair, 2)
    expect(seen(pair.a)["rung_cause"] == "no_zero_copy", f"site-a: {seen(pair.a)}")
    before = [site.peer()["latest_handshake"] for site in pair.both]
    broker, engine = pair.a.daemons()
    lab.echo(f"  kill -9 {engine}  # engine of site-a")
    os.kill(engine, signal.SIGKILL)
    labs.wait_for("another engine", lambda: pair.a.daemons()[1] not in (None, engine))
    labs.wait_for("site-a to be on rung 2 again", lambda: seen(pair.a)["rung"] == 2)
    expect(pair.a.daemons()[0] == broker, "ciped ended")
    works_on(pair, 2, before)
    pair.a.run("env", preload, labs.BIN / "ciped", *pair.a.options(), "--replace", "--daemon",
               timeout=60)
    labs.wait_for("site-a to be on rung 2 again", lambda: seen(pair.a)["rung"] == 2)
    works_on(pair, 2, before)
    pair.down()


def any_at_all(lab, datapath):
    """Rung 3, said with its cause, and everything works on it; a ciped that can map them takes the
    better rung over."""
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": datapath})
    degraded = datapath != "auto"
    up(pair, refuser(lab, every_socket=True), codes={labs.EXIT_DEGRADED if degraded else 0})
    status = seen(pair.a)
    expect(status["rung"] == 3 and status["rung_cause"] == "rings_not_mapped"
           and "eth0" in status["rung_reason"], f"site-a: {status}")
    expect(status["state"] == ("degraded" if degraded else "up"), f"site-a: {status}")
    carrier = status["carriers"][0]
    expect(carrier["mode"] == "socket" and "cannot be mapped" in (carrier["reason"] or ""),
           f"site-a: {carrier}")
    links = json.loads(pair.a.run("ip", "-j", "link", "show", "dev", "eth0", echo=False).stdout)
    expect("xdp" not in links[0], f"a program without sockets stays: {links[0]}")
    works_on(pair, 3)
    before = [site.peer()["latest_handshake"] for site in pair.both]
    pair.a.run(labs.BIN / "ciped", *pair.a.options(), "--replace", "--daemon", timeout=60)
    labs.wait_for("site-a to be on rung 2", lambda: seen(pair.a)["rung"] == 2)
    works_on(pair, 2, before)
    pair.down()


CASES = {
    **{f"bound-{datapath}": functools.partial(bound_ones, datapath=datapath)
       for datapath in ("xdp", "afxdp")},
    **{f"any-{datapath}": functools.partial(any_at_all, datapath=datapath)
       for datapath in ("auto", "xdp")},
}
