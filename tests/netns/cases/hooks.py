"""PreUp, PostUp, PreDown, PostDown: order, environment, failures, hooks that hang."""

import os
import signal
import time

import lab as labs
from sites import TUNNEL, expect, make_pair


def with_hooks(lab, **hooks):
    pair = make_pair(lab)
    pair.configure(only_here={"site-a": (hooks, {})})
    return pair


def lines(path):
    return path.read_text().split("\n")[:-1] if path.exists() else []


def order(lab):
    """Each in its place, with its environment; several of one kind are in the file's order."""
    pair = make_pair(lab)
    journal = pair.a.directory / "journal"
    note = f'echo "$CIPE_EVENT $CIPE_TUNNEL %i $(ip -o link show %i 2>/dev/null | wc -l)" >> {journal}'
    pair.configure(only_here={"site-a": (
        {"PreUp": note, "PostUp": note + " # not a comment for us", "PreDown": note,
         "PostDown": f"{note}\nPostDown = echo last >> {journal}"}, {})})
    pair.up()
    expect(lines(journal) == [f"pre-up {TUNNEL} {TUNNEL} 0", f"post-up {TUNNEL} {TUNNEL} 1"],
           f"hooks on the way up: {lines(journal)}")
    pair.ping_all()
    pair.a.down(TUNNEL)
    expect(lines(journal)[2:] == [f"pre-down {TUNNEL} {TUNNEL} 1", f"post-down {TUNNEL} {TUNNEL} 0",
                                  "last"], f"hooks on the way down: {lines(journal)[2:]}")
    pair.b.down(TUNNEL)
    pair.expect_nothing_left()


def failing(lab):
    """PreUp fails: nothing was made. PostUp fails: everything is taken away again."""
    pair = make_pair(lab)
    journal = pair.a.directory / "journal"
    for option in ("PreUp", "PostUp"):
        pair.configure(only_here={"site-a": (
            {option: f"echo sorry; exit 7\n{option} = echo never >> {journal}",
             "PostDown": f"echo down >> {journal}"}, {})})
        result = pair.a.up(TUNNEL, check={1})
        for word in (f"{TUNNEL}.conf", option, "exit 7", "status 7: sorry"):
            expect(word in result.stderr, f"{option}: {word!r} is not in: {result.stderr}")
        labs.wait_for("nothing to be left", lambda: not pair.leftovers())
        expect("never" not in lines(journal), "the next command ran nevertheless")
    expect(lines(journal) == ["down"], f"PostDown of the tunnel that was there: {lines(journal)}")
    pair.a.stop_daemon()
    pair.expect_nothing_left()


def hanging(lab):
    """While a hook hangs, other tunnels and `show` are served, and the tunnel itself is not half
    there; the limit ends it."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    pair.a.write("slow.conf", labs.tunnel_config(
        {"Address": "10.77.0.1/32", "PreUp": "sleep 1000"},
        {"SharedKey": "00112233445566778899aabbccddeeff", "AllowedIPs": "10.77.0.2/32"}))
    start = time.monotonic()
    slow = pair.a.start(labs.BIN / "cipectl", *pair.a.options(), "up", "slow")
    labs.wait_for("the hook to run", lambda: "sleep 1000" in lab.quiet(
        "ip", "netns", "exec", pair.a.namespace, "sh", "-c",
        "for p in $(ip netns pids " + pair.a.namespace + "); do tr '\\0' ' ' < /proc/$p/cmdline; "
        "echo; done", check=False))
    pair.ping_all()
    down = pair.a.cipectl("down", "slow", check={1})
    expect("just coming up" in down.stderr, f"down meanwhile: {down.stderr}")
    again = pair.a.cipectl("up", "slow", check={1}, timeout=60)
    expect("30 s" in again.stderr, f"a second up joins the first: {again.stderr}")
    output, _ = slow.communicate(timeout=60)
    expect(slow.returncode == 1 and "30 s" in output, f"exit {slow.returncode}: {output}")
    expect(25 < time.monotonic() - start < 50, "the limit was not kept")
    pair.ping_all()
    pair.down()


def stopping(lab):
    """A plain stop takes tunnels down as `down` does, hooks included; the next start brings them
    up again, hooks included."""
    pair = make_pair(lab)
    journal = pair.a.directory / "journal"
    pair.configure(only_here={"site-a": (
        {kind: f"echo $CIPE_EVENT >> {journal}"
         for kind in ("PreUp", "PostUp", "PreDown", "PostDown")}, {})})
    pair.up()
    os.kill(pair.a.daemons()[0], signal.SIGTERM)
    labs.wait_for("ciped to end", lambda: pair.a.daemons() == (None, None), 20)
    all_four = ["pre-up", "post-up", "pre-down", "post-down"]
    expect(lines(journal) == all_four, f"hooks around a stop: {lines(journal)}")
    pair.a.up(TUNNEL)
    expect(lines(journal) == all_four + all_four[:2], f"hooks after it: {lines(journal)}")
    pair.ping_all()
    pair.down()


def interface_goes(lab):
    """A PreDown that deletes the interface: `down` is answered all the same, with other tunnels up
    and as the last one."""
    pair = with_hooks(lab, PreDown="ip link delete dev %i; sleep 1")
    for other in (True, False):
        pair.up()
        if other:
            pair.a.write("other.conf", "[Interface]\nAddress = 10.66.0.1/32\n")
            pair.a.up("other", "--no-wait")
        expect(pair.a.down(TUNNEL).stdout == f"{TUNNEL} is down\n", "down was not answered")
        if other:
            pair.a.down("other")
        pair.b.down(TUNNEL)
        pair.expect_nothing_left()


CASES = {
    "interface-goes": interface_goes,
    "order": order,
    "failing": failing,
    "hanging": hanging,
    "stopping": stopping,
}
