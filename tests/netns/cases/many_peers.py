"""Ten thousand peers in one tunnel: that it works, and what it costs. Memory is checked as it is;
times are printed, and checked with room for a machine that others use, too."""

import base64
import contextlib
import json
import os
import sys
import time

import lab as labs
from side_by_side import Alone
from sites import PORT, TUNNEL, expect, make_pair

sys.path.append(str(labs.ROOT / "tools/load"))
import many_peers as many  # noqa: E402

PEERS = 10_000
SESSIONS = 500
PATIENCE = 3  # times what it may take on a machine of its own
IDLE_PEER = 4096
PEER_WITH_SESSION = 16384
# What they cannot do without; a figure below is an error of measuring. A peer: keys and prefix, with
# broker and engine. A session: a replay window of 8192 bits and the round keys of AES-256 both ways.
IDLE_PEER_LEAST = 2 * (32 + 32 + 20)
SESSION_LEAST = 8192 // 8 + 2 * 15 * 16
TRIMMED = 2  # seconds until memory of a long answer was given back


@contextlib.contextmanager
def within(what, seconds):
    started = time.monotonic()
    yield
    took = time.monotonic() - started
    print(f"  {what}: {took:.2f} s", flush=True)
    expect(took < seconds * PATIENCE, f"{what} took {took:.1f} s, expected {seconds} s")


def interface(pair, site):
    return [f"Address = {pair.inner(site)}/32", f"ListenPort = {PORT}", "Carrier = eth0",
            f"PrivateKeyFile = {site.config / TUNNEL}.key"]


def peers_by_name(site):
    text = site.cipectl("-j", "show", "peers", timeout=60, echo=False).stdout
    return {peer["name"]: peer for peer in json.loads(text)["peers"]}


def base_memory(pair, site, text):
    """What both processes use for a tunnel of the same kind with one peer."""
    site.write(f"{TUNNEL}.conf", text)
    site.up(TUNNEL, "--no-wait")
    used = settled_memory(site)
    site.down(TUNNEL)
    return used


def ten_thousand(lab):
    pair = make_pair(lab)
    keys = {site.name: labs.key_pair(site, TUNNEL)[1] for site in pair.both}
    real = (f"[Peer]\nName = site-b\nPublicKey = {keys['site-b']}\n"
            f"Endpoint = {pair.endpoint(pair.b)}\nAllowedIPs = {pair.inner(pair.b)}/32\n")
    pair.b.write(f"{TUNNEL}.conf", many.config(interface(pair, pair.b), [
        f"[Peer]\nName = site-a\nPublicKey = {keys['site-a']}\n"
        f"AllowedIPs = {pair.inner(pair.a)}/32\n"]))
    pair.b.up(TUNNEL, "--no-wait")
    lines = interface(pair, pair.a)
    base = base_memory(pair, pair.a, many.config(lines, [real]))
    crowd = [many.peer(i) for i in range(PEERS)]
    pair.a.write(f"{TUNNEL}.conf", many.config(lines, [*crowd, real]))
    with within("up", 10):
        pair.a.cipectl("up", TUNNEL, timeout=60)
    expect_between("memory of a peer without session", IDLE_PEER_LEAST,
                   (many.memory(*pair.a.daemons()) - base) / PEERS, IDLE_PEER)
    labs.ping(pair.a, pair.inner(pair.b))
    with within("show peers -j", 2):
        text = pair.a.cipectl("-j", "show", "peers", timeout=60).stdout
    shown = {peer["name"]: peer for peer in json.loads(text)["peers"]}
    expect(len(shown) == PEERS + 1, f"{len(shown)} peers are shown")
    expect(all(shown[f"p{i:05d}"]["allowed_ips"] == [many.prefix(i)] for i in range(PEERS)),
           "allowed_ips of some peer are others")
    routes = pair.a.run("ip", "-j", "route", "show", "dev", TUNNEL, echo=False).stdout
    expect(len(json.loads(routes)) == PEERS + 1, f"{len(json.loads(routes))} routes")
    handshake = shown["site-b"]["latest_handshake"]
    crowd[4711] = many.peer(4711, None, "PersistentKeepalive = 25")
    crowd[42] = crowd[42].replace(many.prefix(42), "10.77.0.0/16")
    pair.a.write(f"{TUNNEL}.conf", many.config(lines, [*crowd, real]))
    with within("reload of two changed peers", 2):
        said = pair.a.cipectl("reload", TUNNEL, timeout=60).stdout.splitlines()
    expect(len(said) == 4, f"reload says {said[:9]}")
    shown = peers_by_name(pair.a)
    expect(shown["p04711"]["persistent_keepalive"] == 25, "the change is not there")
    expect(shown["p00042"]["allowed_ips"] == ["10.77.0.0/16"], "the prefix did not change")
    expect(shown["site-b"]["latest_handshake"] == handshake, "the session was touched")
    labs.ping(pair.a, pair.inner(pair.b))
    expect_between("the same after show and reload", IDLE_PEER_LEAST,
                   (settled_memory(pair.a) - base) / PEERS, IDLE_PEER)
    with within("down", 10):
        pair.a.cipectl("down", TUNNEL, timeout=60)
    pair.b.down(TUNNEL)


def expect_between(what, least, used, most):
    print(f"  {what}: {used:.0f} octets", flush=True)
    expect(used >= least, f"{what}: {used:.0f} octets, but it holds {least}: measured wrongly")
    expect(used < most, f"{what}: {used:.0f} octets, expected less than {most}")


def settled_memory(site):
    """After the longest answer was given and its memory back."""
    peers_by_name(site)
    time.sleep(TRIMMED)
    return many.memory(*site.daemons())


def with_sessions(lab):
    """Memory that sessions take: the same processes before and after, two ends that know each other
    under many keys."""
    pair = make_pair(lab)
    secrets = [base64.b64encode(os.urandom(32)).decode() for _ in range(SESSIONS)]

    def write(site, *lines):
        site.write(f"{TUNNEL}.conf", many.config(interface(pair, site), [
            "\n".join([f"[Peer]\nName = p{i:05d}\nSharedKey = {secret}",
                       f"AllowedIPs = {many.prefix(i)}", *lines, ""])
            for i, secret in enumerate(secrets)]))

    for site in pair.both:
        labs.key_pair(site, TUNNEL)
        write(site, "PersistentKeepalive = 20")
        site.up(TUNNEL, "--no-wait")
        # What a reload of all peers needs for a while is part of the base; so site-a has one more
        # before it learns the endpoints, from when on there are sessions.
        write(site)
        site.cipectl("reload", TUNNEL, timeout=60)
    before = {site.name: settled_memory(site) for site in pair.both}
    write(pair.a, f"Endpoint = {pair.endpoint(pair.b)}")
    pair.a.cipectl("reload", TUNNEL, timeout=60)

    def connected():
        return all(peer["status"] == "connected" for site in pair.both
                   for peer in peers_by_name(site).values())

    labs.wait_for("all sessions", connected, 90, interval=1)
    for site in pair.both:
        expect_between(f"{site.name}: memory of a session", SESSION_LEAST,
                       (settled_memory(site) - before[site.name]) / SESSIONS,
                       PEER_WITH_SESSION - IDLE_PEER)
    for site in (pair.a, pair.b):
        site.cipectl("down", TUNNEL, timeout=60)


MEASURES = "memory and times of commands are measured"
CASES = {"ten-thousand": Alone(MEASURES, ten_thousand),
         "with-sessions": Alone(MEASURES, with_sessions)}
