"""Point 15 of the sixteen: keys at the edge."""

import base64
import re
import time

import lab as labs
from live_edit import conf, edit, reload
from sites import PORT, TUNNEL, expect, make_pair

# Encodings of points of low order, with and without the top bit, that are not all zero: RFC 7748
# section 6.1 makes every private key give the all-zero secret with them.
LOW_ORDER = [bytes.fromhex(text) for text in (
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080")]


def b64(octets):
    return base64.b64encode(octets).decode()


def refused(lab):
    """The own public key as a peer's, and zeros: refused, at `up` and at `reload`."""
    pair = make_pair(lab)
    pair.configure()
    good = conf(pair.a)
    theirs = good.split("PublicKey = ")[1].splitlines()[0]
    private = (pair.a.config / f"{TUNNEL}.key").read_text()
    own = pair.a.cipectl("pubkey", stdin=private).stdout.strip()
    bad = [((theirs, own), "public key of this host itself"),
           ((theirs, b64(bytes(32))), "zero"),
           (("PublicKey", f"PresharedKey = {b64(bytes(32))}\nPublicKey"), "zero")]

    def each(verb):
        for change, words in bad:
            pair.a.write(f"{TUNNEL}.conf", good)
            edit(pair.a, change)
            result = pair.a.cipectl(verb, TUNNEL, check={1})
            expect(re.search(rf"{TUNNEL}\.conf:\d+:\d+: .*{words}", result.stderr),
                   f"{verb} says {result.stderr}")

    each("up")
    pair.a.write(f"{TUNNEL}.conf", good)
    pair.up()
    each("reload")
    # The host's own key becomes that of its peer: the same mistake the other way round.
    pair.a.write(f"{TUNNEL}.conf", good)
    pair.a.write(f"{TUNNEL}.key", (pair.b.config / f"{TUNNEL}.key").read_text())
    result = reload(pair.a, check={1})
    expect("public key of this host itself" in result.stderr, f"it says {result.stderr}")
    pair.a.write(f"{TUNNEL}.key", bytes(0).decode() + b64(bytes(32)) + "\n")
    result = reload(pair.a, check={1})
    expect("zero" in result.stderr, f"it says {result.stderr}")
    pair.a.write(f"{TUNNEL}.key", private)
    expect(reload(pair.a).stdout == f"{TUNNEL}: nothing to change\n", "something was changed")
    pair.ping_all()
    pair.down()


def clamped(lab):
    """A private key that is not clamped stands for the same public key, and works."""
    pair = make_pair(lab)
    pair.configure()
    path = pair.a.config / f"{TUNNEL}.key"
    octets = bytearray(base64.b64decode(path.read_text()))
    public = pair.a.cipectl("pubkey", stdin=path.read_text()).stdout
    octets[0] |= 7  # bits that RFC 7748 section 5 clears
    octets[31] = octets[31] & 0x3f | 0x80  # and sets, and clears
    loose = b64(bytes(octets)) + "\n"
    expect(pair.a.cipectl("pubkey", stdin=loose).stdout == public, "another public key")
    pair.a.write(f"{TUNNEL}.key", loose)
    pair.up()
    pair.ping_all()
    pair.down()


def low_order(lab):
    """A public key of low order: not a single datagram goes there, whatever is asked for."""
    pair = make_pair(lab)
    pair.configure()
    text = conf(pair.a)
    for i, key in enumerate(LOW_ORDER):
        text += (f"\n[Peer]\nName = low{i}\nPublicKey = {b64(key)}\nAllowedIPs = 10.40.{i}.0/24\n"
                 f"Endpoint = 192.0.2.2:{PORT + 1}\nPersistentKeepalive = 1\n")
    pair.a.write(f"{TUNNEL}.conf", text)
    listener = pair.b.start("python3", "-c", "import socket\n"
                            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                            f"s.bind(('', {PORT + 1})); print('ready', flush=True)\n"
                            "while True: print(s.recvfrom(2000), flush=True)")
    expect(listener.stdout.readline().strip() == "ready", "nobody listens")
    pair.b.up(TUNNEL, "--no-wait")
    pair.a.up(TUNNEL, "--no-wait")
    for i in range(len(LOW_ORDER)):
        pair.a.run("ping", "-n", "-c", 2, "-i", "0.2", "-W", "1", f"10.40.{i}.1", check=None)
    reload(pair.a)
    time.sleep(3)
    listener.terminate()
    heard = listener.communicate(timeout=10)[0]
    expect(not heard.strip(), f"was sent: {heard[:200]}")
    labs.wait_for("the peer that is one", lambda: any(
        p["name"] == "site-b" and p["status"] == "connected" for p in pair.a.peers()))
    for peer in pair.a.peers():
        if peer["name"].startswith("low"):
            expect(peer["why"] and "order" in peer["why"], f"why says {peer['why']}")
    pair.ping_all()
    pair.down()


CASES = {"own-and-zero-keys": refused, "unclamped-key": clamped, "low-order-points": low_order}
