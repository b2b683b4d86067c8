"""A site behind somebody's NAT, whose mapping changes under the tunnel; and strangers."""

import json

from evidence import Numbers, Tap
from sites import TUNNEL, Site, address, expect, ping_both, up

INSIDE, OUTSIDE = "192.168.1", "192.0.2"
STRANGER = f"{OUTSIDE}.99"
KEEPALIVE = 3
RATE = 20
REKEY = 100  # s: from then on there may be new keys, for their age
MOST_SILENCE = 5  # seconds in which nothing arrives, on a machine that is busy with other things
RULES = """table ip nat {{
  chain out {{
    type nat hook postrouting priority srcnat;
    oifname eth0 ip saddr {inside}.0/24 ip protocol udp snat to {outside}:{ports}
  }}
}}
"""
# Sends each payload to each port of an address, from an address; says what came back within 2 s.
STRANGE = """import json, select, socket, sys, time
source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
source.bind((sys.argv[1], 4444))
for payload in json.load(open("/root/payloads.json")):
    source.sendto(bytes.fromhex(payload), (sys.argv[2], int(sys.argv[3])))
print(len(select.select([source], [], [], 2)[0]))
"""


def rebind(nat, outside, ports):
    """From now on what is inside has this address and one of these ports (all digits but the last)."""
    nat.put("/root/nat.nft", "flush ruleset\n" +
            RULES.format(inside=INSIDE, outside=outside, ports=f"{ports}0-{ports}9"))
    nat.run("nft -f /root/nat.nft; conntrack -D -p udp 2> /dev/null; true")


def follows(site, outside, ports):
    """The peer's endpoint becomes one of these."""
    site.host.wait_for(
        f"cipectl show peers -j | grep -Eq '\"endpoint\": ?\"{outside}:{ports}[0-9]\"'", 40,
        f"the endpoint of {site.host.name}'s peer is {outside}:{ports}0 to 9")


def nat_rebinds(lab):
    """Another port, another address, under traffic and without; the session stays, and whoever has no
    key gets no answer, whatever he says."""
    inside, nat, outside = lab.host("site-a"), lab.host("nat"), lab.host("site-b")
    lab.wire("inside", (inside, 0), (nat, 1))
    lab.wire("carrier", (nat, 0), (outside, 0))
    lab.boot()
    a, b = Site(inside, 1), Site(outside, 2)
    address(inside, 0, f"{INSIDE}.1/24")
    inside.run(f"ip route add default via {INSIDE}.254")
    address(outside, 0, f"{OUTSIDE}.2/24")
    address(nat, 1, f"{INSIDE}.254/24")
    address(nat, 0, f"{OUTSIDE}.254/24", f"{OUTSIDE}.253/24", f"{STRANGER}/24")
    nat.run("sysctl -qw net.ipv4.ip_forward=1")
    rebind(nat, f"{OUTSIDE}.254", "4000")
    for site in (a, b):
        site.make_key()
    a.configure(b, peer_lines=f"PersistentKeepalive = {KEEPALIVE}\n")
    # b is told of no endpoint.
    b.host.put(f"/etc/cipe/{TUNNEL}.conf",
               b.tunnel_file(a).replace(f"Endpoint = {a.endpoint}\n", ""), 0o600)
    with Tap(lab, "carrier") as carrier:
        up(a, b)
        ping_both(a, b)
        follows(b, f"{OUTSIDE}.254", "4000")
    handshake = a.peer()["latest_handshake"]
    recorded = [d.payload for d in carrier.datagrams() if d.port == 6789]
    under_traffic(a, b, nat)
    # Nobody has anything to say but a's keepalive.
    rebind(nat, f"{OUTSIDE}.254", "6000")
    follows(b, f"{OUTSIDE}.254", "6000")
    b.ping(a.inner4)
    a.ping(b.inner6)
    now = a.peer()["latest_handshake"]
    expect(now == handshake or now - handshake > REKEY, f"rebinding made keys: {handshake}, {now}")
    strangers(lab, nat, b, recorded)
    b.ping(a.inner6)
    follows(b, f"{OUTSIDE}.254", "6000")


def under_traffic(a, b, nat):
    numbers = Numbers(a, b, RATE, 200)
    for where in ((f"{OUTSIDE}.254", "5000"), (f"{OUTSIDE}.253", "5000"),
                  (f"{OUTSIDE}.253", "4000")):
        rebind(nat, *where)
        follows(b, *where)
    results = numbers.end()
    for site, other in ((a, b), (b, a)):
        sent = sum(results[other]["sent"].values())
        got = results[site]["received"]
        distinct = sum(way["distinct"] for way in got.values())
        silence = max(way["silence"] for way in got.values())
        text = f"to {site.host.name}: {distinct} of {sent} arrived: {got}"
        expect(silence < MOST_SILENCE, text)
        # What was on its way to the old mapping is gone, three times.
        expect(distinct > sent / 2 and sent - distinct < 3 * MOST_SILENCE * 2 * RATE, text)


def strangers(lab, nat, b, recorded):
    """What was heard on the carrier, said again by somebody else, and nonsense."""
    initiation = next(p for p in recorded if p[0] == 0x51)
    data = [p for p in recorded if p[0] == 0x54][:10]
    payloads = [initiation, *data, initiation[:-1], data[0][:-1] + bytes([data[0][-1] ^ 1]),
                data[-1][:8] + b"\xff" * 7 + data[-1][15:], b"", b"\x53" + bytes(63), b"\x50" * 1400,
                *(bytes([first]) + bytes(range(100)) for first in (1, 2, 3, 4, 0x51, 0x52, 0x54))]
    nat.put("/root/payloads.json", json.dumps([payload.hex() for payload in payloads]))
    nat.put("/root/strange.py", STRANGE)
    before = drops(b)
    endpoint = b.peer()["endpoint"]
    with Tap(lab, "carrier") as carrier:
        answers = nat.run(f"python3 /root/strange.py {STRANGER} {OUTSIDE}.2 6789", 60)
    expect(answers.strip() == "0", f"a stranger was answered: {answers}")
    told = bytes(map(int, STRANGER.split(".")))
    came = [d for d in carrier.datagrams() if d.source == told]
    to_him = [frame for frame in carrier.frames() if frame[12:14] == b"\x08\x00" and frame[30:34] == told]
    expect(len(came) == len(payloads), f"{len(came)} of {len(payloads)} came by: nothing is shown")
    expect(not to_him, f"{len(to_him)} packets to the stranger: {[f.hex(' ') for f in to_him[:2]]}")
    expect(b.peer()["endpoint"] == endpoint, f"the endpoint followed a stranger: {b.peer()}")
    after = drops(b)
    new = {name: count - before.get(name, 0) for name, count in after.items()
           if count > before.get(name, 0)}
    lab.say(f"site-b counted {new}")
    expect(sum(new.values()) >= len(payloads), f"{len(payloads)} strange frames, counted only {new}")
    expect(new.get("rx_replayed", 0) + new.get("rx_too_old", 0) >= len(data) and "hs_replayed" in new,
           f"the repetition was not seen as such: {new}")


def drops(site):
    """{reason: count}, over all scopes."""
    counted = {}
    for drop in site.show("drops")["drops"]:
        counted[drop["reason"]] = counted.get(drop["reason"], 0) + drop["count"]
    return counted


CASES = {"nat-rebinds": nat_rebinds}
