"""Processes that are killed, and XDP programs of other people."""

import functools
import json
import os
import signal

import lab as labs
from sites import TRAFFIC, TUNNEL, drops, expect, make_pair

FOREIGN = '''
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int somebody_else(struct xdp_md *context) { return XDP_PASS; }
char _license[] SEC("license") = "GPL";
'''


def kill_engine(lab, datapath):
    """Traffic goes on within a second, in the same session."""
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": datapath})
    pair.up()
    before = [site.peer()["latest_handshake"] for site in pair.both]
    broker, engine = pair.a.daemons()
    expect(broker and engine, "ciped is not two processes")
    echo = pair.b.start(*TRAFFIC, "udp-echo", pair.inner(pair.b), 7100, 9)
    expect(echo.stdout.readline().strip() == "ready", "echo server did not start")
    drip = pair.a.start(*TRAFFIC, "udp-drip", pair.inner(pair.b), 7100, 5)
    for word in ("ready", "flowing"):
        expect(drip.stdout.readline().strip() == word, f"echo client did not say {word}")
    lab.echo(f"  kill -9 {engine}  # engine of site-a")
    os.kill(engine, signal.SIGKILL)
    output, _ = drip.communicate(timeout=30)
    seen = json.loads(output.strip().splitlines()[-1])
    new_broker, new_engine = pair.a.daemons()
    expect(new_broker == broker and new_engine not in (None, engine), "engine was not started again")
    expect(seen["answered"] > 100 and seen["longest_silence"] < 1.0, f"traffic stopped: {seen}")
    after = [site.peer()["latest_handshake"] for site in pair.both]
    expect(after == before, f"handshakes changed from {before} to {after}")
    # Nothing on a veth is doubled: a counter seen twice was used twice.
    expect("rx_replayed" not in drops(pair.b), f"site-a used counters twice: {drops(pair.b)}")
    pair.ping_all()
    pair.transfer(pair.a, octets=2_000_000)
    pair.transfer(pair.b, octets=2_000_000)
    pair.down()


def kill_broker(lab, datapath):
    """Nothing is left but reject routes, and the next start brings the tunnel back."""
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": datapath})
    pair.up()
    pair.ping_all()
    broker, _ = pair.a.daemons()
    lab.echo(f"  kill -9 {broker}  # broker of site-a")
    os.kill(broker, signal.SIGKILL)
    labs.wait_for("both processes to be gone", lambda: pair.a.daemons() == (None, None), 5)

    def left():
        return [line for line in pair.a.leftovers([TUNNEL])
                if not any(word in line for word in ("unreachable", "prohibit", "blackhole"))]

    try:
        labs.wait_for("the kernel to clean up", lambda: not left())
    except labs.LabError as error:
        raise labs.LabError("left behind: " + "; ".join(left())) from error
    pair.a.up(TUNNEL)
    pair.ping_all()
    pair.down()


def foreign_program(lab):
    """Somebody else's XDP program stays where it is; the tunnel takes rung 3 and says why."""
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": "auto"})
    source, built = lab.directory / "foreign.bpf.c", lab.directory / "foreign.bpf.o"
    source.write_text(FOREIGN)
    lab.run("clang-14", "-O2", "-g", "-target", "bpf", f"-I/usr/include/{os.uname().machine}"
            "-linux-gnu", "-c", source, "-o", built)
    pair.a.run("ip", "link", "set", "dev", "eth0", "xdp", "obj", built, "sec", "xdp")

    def attached():
        links = json.loads(pair.a.run("ip", "-j", "link", "show", "dev", "eth0",
                                      echo=False).stdout)
        return links[0].get("xdp", {}).get("prog", {}).get("id")

    foreign = attached()
    expect(foreign, "the other program could not be attached")
    pair.up()
    expect(attached() == foreign, "the other program was replaced")
    expect(labs.rung_number(pair.a.peer()["rung"]) == 3, f"rung is {pair.a.peer()['rung']!r}")
    expect(labs.rung_number(pair.b.peer()["rung"]) == 2, f"rung is {pair.b.peer()['rung']!r}")
    shown = pair.a.cipectl("show", "tunnels").stdout + pair.a.cipectl("show", "peers").stdout
    expect("somebody_else" in shown or str(foreign) in shown,
           f"no line names the other program (somebody_else, {foreign}): {shown}")
    pair.ping_all()
    pair.transfer(pair.a, octets=2_000_000)
    pair.down()
    expect(attached() == foreign, "the other program was detached")


CASES = {
    **{f"engine-{datapath}": functools.partial(kill_engine, datapath=datapath)
       for datapath in ("xdp", "afxdp", "socket")},
    **{f"broker-{datapath}": functools.partial(kill_broker, datapath=datapath)
       for datapath in ("xdp", "socket")},
    "foreign-xdp-program": foreign_program,
}
