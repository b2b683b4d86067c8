"""What cannot work says precisely why, with the promised exit code, and leaves nothing behind."""

import functools
import re

import lab as labs
from sites import PORT, TRAFFIC, TUNNEL, drops, expect, make_pair, wait_drop


def expect_message(result, codes, *patterns):
    text = result.stderr + result.stdout
    expect(result.returncode in codes, f"exit {result.returncode}, expected {sorted(codes)}: {text}")
    for pattern in patterns:
        expect(re.search(pattern, text, re.IGNORECASE), f"no {pattern!r} in: {text.strip()}")


def fails(pair, *patterns):
    """`up` at site-a exits 1, says why, and leaves nothing."""
    expect_message(pair.a.up(TUNNEL, check=None), {1}, *patterns)
    pair.expect_nothing_left()


def port_in_use(lab):
    pair = make_pair(lab)
    pair.configure()
    for address in ("0.0.0.0", "::"):
        # Both families, so that no way to bind the port is left.
        sink = pair.a.start(*TRAFFIC, "udp-echo", address, PORT, 120)
        if address == "0.0.0.0":
            expect(sink.stdout.readline().strip() == "ready", "could not take the port")
    fails(pair, r"port", str(PORT), r"in use|taken")


def address_taken(lab):
    pair = make_pair(lab)
    pair.configure()
    pair.a.run("ip", "address", "add", pair.inner(pair.a) + "/32", "dev", "lo")
    fails(pair, re.escape(pair.inner(pair.a)), r"taken|in use|already|exists")


def missing_file(lab):
    pair = make_pair(lab)
    pair.configure()
    (pair.a.config / f"{TUNNEL}.key").unlink()
    fails(pair, rf"{TUNNEL}\.key", r"no such file|not exist|not found|missing")


def missing_config(lab):
    pair = make_pair(lab)
    pair.a.config.mkdir(mode=0o700)
    fails(pair, rf"{TUNNEL}\.conf", r"no such file|not exist|not found|missing")


def readable_key(lab):
    pair = make_pair(lab)
    pair.configure()
    key = pair.a.config / f"{TUNNEL}.key"
    secret = key.read_text().strip()
    key.chmod(0o640)
    result = pair.a.up(TUNNEL, check=None)
    expect_message(result, {1}, rf"{TUNNEL}\.key", r"group|0?640|permission|mode")
    expect(secret not in result.stdout + result.stderr, "the message holds the key")
    pair.expect_nothing_left()


def unknown_option(lab):
    pair = make_pair(lab)
    pair.configure()
    path = pair.a.config / f"{TUNNEL}.conf"
    lines = path.read_text().splitlines()
    lines.insert(2, "  Adress = 10.0.0.1/32")
    pair.a.write(f"{TUNNEL}.conf", "\n".join(lines) + "\n")
    fails(pair, rf"{TUNNEL}\.conf:3:3", "Adress")


def bad_value(lab):
    pair = make_pair(lab)
    pair.configure(interface={"Rekey": 7})
    lines = (pair.a.config / f"{TUNNEL}.conf").read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if text.startswith("Rekey"))
    fails(pair, rf"{TUNNEL}\.conf:{line}:\d+", r"15.*120")


def not_running(lab):
    pair = make_pair(lab)
    pair.configure()
    for words in (("show",), ("show", "peers"), ("down", TUNNEL)):
        expect_message(pair.a.cipectl(*words, check=None), {labs.EXIT_NOT_RUNNING}, "ciped")


def wrong_usage(lab):
    pair = make_pair(lab)
    for words in (("frobnicate",), ("up",), ("show", "peers", "a", "b"), ("--nonsense",)):
        expect_message(pair.a.cipectl(*words, check=None), {2})


def twice(lab):
    """A second `up` and a second `down` change nothing that works."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    handshake = pair.a.peer()["latest_handshake"]
    pair.a.up(TUNNEL, check={0, 1})
    expect(pair.a.peer()["latest_handshake"] == handshake, "a second up made a new session")
    pair.ping_all()
    pair.down()
    pair.a.down(TUNNEL, check={1, labs.EXIT_NOT_RUNNING})


def degraded(pair, reasons, say):
    """Exit 4 with a likely reason, a named drop, no session, and no octet of inner traffic."""
    pair.b.up(TUNNEL, "--no-wait")
    expect_message(pair.a.up(TUNNEL, check=None), {labs.EXIT_DEGRADED}, say)
    if reasons:
        wait_drop(pair.both, reasons)
    expect(not labs.ping(pair.a, pair.inner(pair.b), count=1, check=False), "ping went through")
    for site in pair.both:
        expect(not site.peer()["latest_handshake"], f"{site.name} claims a handshake")
        expect(site.peer()["rx_packets"] == 0, f"{site.name} claims received packets")
    pair.down()


def no_answer(lab):
    pair = make_pair(lab)
    pair.configure()
    expect_message(pair.a.up(TUNNEL, check=None), {labs.EXIT_DEGRADED}, "answer")
    # It goes on trying: the tunnel comes up by itself once the peer is there.
    pair.b.up(TUNNEL)
    pair.wait_handshake()
    pair.ping_all()
    pair.down()


def wrong_key(lab):
    """site-a expects another key of site-b: mac1 does not match, site-b keeps silent."""
    pair = make_pair(lab)
    pair.configure()
    stranger = pair.a.cipectl("pubkey", stdin=pair.a.cipectl("genkey").stdout).stdout.strip()
    path = pair.a.config / f"{TUNNEL}.conf"
    text = re.sub(r"(?m)^PublicKey = .*$", f"PublicKey = {stranger}", path.read_text())
    pair.a.write(f"{TUNNEL}.conf", text)
    # site-b's own initiations would reach site-a and be refused there; both are looked at.
    degraded(pair, {"hs_bad_mac1", "hs_unknown_peer"}, "key|answer")


def other_suite(lab):
    pair = make_pair(lab)
    pair.configure(only_here={"site-a": ({"Suite": "chacha20poly1305"}, {})})
    degraded(pair, {"hs_other_suite", "hs_bad_mac1"}, "suite|answer")


def wrong_psk(lab):
    """The responder cannot see it; the initiator learns it from the response and says so."""
    pair = make_pair(lab)
    pair.configure(auth="psk")
    pair.a.write("psk.key", pair.a.cipectl("genpsk").stdout)
    degraded(pair, {"hs_wrong_psk"}, "preshared|psk|key")


def wrong_shared_key(lab):
    pair = make_pair(lab)
    pair.configure(auth="shared")
    pair.a.write("shared.key", pair.a.cipectl("genpsk").stdout)
    degraded(pair, {"hs_bad_mac1", "hs_unknown_peer"}, "key|answer")


def junk(lab, datapath):
    """Frames of no session, cut ones and other protocols: counted, unanswered, traffic goes on."""
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": datapath})
    pair.up()
    script = (
        "import os, socket, sys\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.bind(('192.0.2.1', 40000)); s.settimeout(1)\n"
        "for first in (0x51, 0x52, 0x53, 0x54, 0x01, 0x45, 0xff):\n"
        "    for size in (1, 4, 15, 16, 31, 32, 60, 148, 600, 1400):\n"
        "        frame = bytes([first, 0, 0, 0]) + os.urandom(1400)\n"
        f"        s.sendto(frame[:size], ('192.0.2.2', {PORT}))\n"
        "try:\n    s.recv(2048)\n    sys.exit('was answered')\nexcept TimeoutError:\n    pass\n")
    pair.a.run("python3", "-c", script)
    wait_drop([pair.b], {"xdp_unknown_session", "rx_unknown_session"})
    wait_drop([pair.b], {"xdp_unknown_type", "rx_unknown_type", "hs_other_protocol"})
    expect(sum(drops(pair.b).values()) >= 20, f"too few drops counted: {drops(pair.b)}")
    pair.ping_all()
    pair.down()


CASES = {
    "port-in-use": port_in_use, "address-taken": address_taken, "missing-file": missing_file,
    "missing-config": missing_config, "readable-key": readable_key,
    "unknown-option": unknown_option, "bad-value": bad_value, "not-running": not_running,
    "wrong-usage": wrong_usage, "twice": twice, "no-answer": no_answer, "wrong-key": wrong_key,
    "other-suite": other_suite, "wrong-psk": wrong_psk, "wrong-shared-key": wrong_shared_key,
    **{f"junk-{datapath}": functools.partial(junk, datapath=datapath)
       for datapath in ("xdp", "socket")},
}
