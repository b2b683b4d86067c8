"""ciped against the Python model of protocol 3: keys, data, control blocks, loss, hostile packets."""

import contextlib
import functools
import re
import time

import lab as labs
from classic_hosts import KEY, ciped_and_model, start_model, two_hosts  # finds the model, too
from model_driver import ModelError
from side_by_side import Alone
from sites import DATAPATH_RUNGS, drops, expect

import classic_hostile

CIPHERS = ("blowfish", "idea-le", "idea-be")


def finish(pair, model, content=True):
    """No static data, no breach of protocol, and a clean end."""
    state = model.do("state")
    expect(not state["events"].get("in static DATA"), f"data under the static key: {state}")
    if content:
        model.expect_content()
    pair.down()


def both_ping(pair, model, count=3, size=56):
    labs.ping(pair.a, "10.0.1.2", count=count, size=size)
    model.ping(count=count, size=size)


def request_key(model):
    """A key is given when asked for, but maybe not sooner than tokxc after the last one."""
    keys = model.count("receiving key")
    for _ in range(4):
        model.do("request")
        with contextlib.suppress(ModelError):
            model.wait_event("receiving key", keys + 1, 1)
            return
    model.wait_event("receiving key", keys + 1, 1)


def exchange(lab, cipher, first):
    """Keys both ways whoever is first, data of all sizes, ping, pong and the rest."""
    pair, model = ciped_and_model(lab, cipher, "tokxc=1")
    if first == "model":
        model.do("start")
    else:
        labs.ping(pair.a, "10.0.1.2")
    model.wait_keys()
    for size in (8, 56, 57, 58, 59, 60, 61, 62, 63, 1000, 1414):
        labs.ping(pair.a, "10.0.1.2", size=size)
        model.ping(size=size)
    model.do("block", kind="CT_PING", count=3)
    model.wait_event("in CT_PONG", 3)
    model.do("block", kind="CT_DUMMY")
    model.do("block", kind="CT_DEBUG", text="hello from the model")
    labs.wait_for("the text in the log", lambda: "hello from the model" in pair.a.log)
    request_key(model)
    both_ping(pair, model)
    expect(model.count("in dynamic DATA") > 0, "no data came under a dynamic key")
    finish(pair, model)


def checksums(lab):
    """Datagrams with and without a UDP checksum are taken; the default of the model is 1999's."""
    pair, model = ciped_and_model(lab, "blowfish", "tokxc=1", checksum=True)
    both_ping(pair, model)
    finish(pair, model)


def loss(lab, way, kind):
    """A lost message is made good after tokxc, without a packet of the inside lost."""
    if kind == "NK_REQ":
        lost_request(lab, way)
        return
    pair, model = ciped_and_model(lab, ciped="tokxc=1", first=[
        {"command": "lose", "way": way, "kind": kind, "count": 2}])
    event = f"lost {way} {kind}" if way == "out" else f"lost {kind}"
    pings = pair.a.start("ping", "-n", "-q", "-c", 50, "-i", "0.1", "-W", 5, "10.0.1.2")
    model.do("ping", count=50, interval=0.1)  # like 1999, the model retries only when it sends
    model.wait_event(event, 2, 15)
    model.wait_keys(15)
    output, _ = pings.communicate(timeout=60)
    expect(" 50 received" in output, f"pings lost with {event}: {output}")
    both_ping(pair, model)
    finish(pair, model)


def lost_request(lab, way):
    """A started again knows no key of the model, which knows its own was acknowledged."""
    pair, model = ciped_and_model(lab, ciped="tokxc=1")
    both_ping(pair, model)
    if way == "out":
        model.do("lose", way="out", kind="NK_REQ")
        model.do("request")
        request_key(model)
    else:
        pair.a.down("cipcb0")
        labs.wait_for("the netdev to go", lambda: not pair.a.devices())
        # Else the model's own exchange, begun by a packet count or age, could save it.
        model.do("lose", way="in", kind="NK_REQ", count=1)
        pair.a.type("ciped-cb me=10.0.0.1:6789 peer=10.0.0.2:6543 ipaddr=10.0.1.1 "
                    "ptpaddr=10.0.1.2 tokxc=1")
        for _ in range(40):
            model.do("ping")
            time.sleep(0.1)
        model.wait_event("lost NK_REQ")
        model.wait_event("in NK_REQ")
    both_ping(pair, model)
    finish(pair, model)


def move(pair, model, endpoint):
    """The model goes on elsewhere; what is under way when it leaves is lost to it."""
    model.do("rebind", address=endpoint)
    model.do("ping")
    labs.wait_for(f"the endpoint {endpoint}", lambda: pair.a.peer()["endpoint"] == endpoint)
    model.ping()


def rekey(lab, who):
    """New keys every two seconds by one end; every ping both ways is answered."""
    # Like 1999, the model gives up a key of ciped's after twice its tokey, before it has the next: what
    # comes under it until then is lost. So ciped offers one sooner.
    seconds = {"ciped": ("tokxc=1 tokey=2", {}), "model": ("tokxc=1 tokey=3", {"tokey": 2})}[who]
    pair, model = ciped_and_model(lab, "blowfish", seconds[0], **seconds[1])
    both_ping(pair, model)
    event = "receiving key" if who == "ciped" else "sending key"
    before = model.count(event)
    pings = pair.a.start("ping", "-n", "-q", "-c", 200, "-i", "0.05", "-W", 3, "10.0.1.2")
    model.ping(count=200, interval=0.05, timeout=20)
    output, _ = pings.communicate(timeout=60)
    expect(" 200 received" in output, f"pings lost: {output}")
    keys = model.count(event) - before
    expect(3 <= keys <= 7, f"{keys} new keys in ten seconds, tokey is 2")
    finish(pair, model)


def packet_limit(lab):
    """ciped makes a new key after 32767 packets, long before tokey."""
    pair, model = ciped_and_model(lab, "blowfish", "tokxc=1")
    both_ping(pair, model)
    before = model.count("receiving key")
    blast = pair.a.start(labs.BIN / "udp_load", "send", "--to", "10.0.1.2", "--port", 9, "--run",
                         77, "--size", 64, "--rate", 2000, "--seconds", 20)
    model.wait_event("receiving key", before + 1, 60)
    packets = pair.a.peer()["tx_packets"]
    blast.communicate(timeout=60)
    expect(packets > 30000, f"a new key after only {packets} packets")
    both_ping(pair, model)
    finish(pair, model)


def roaming(lab):
    """The endpoint follows packets under the dynamic key, and nothing else."""
    pair, model = ciped_and_model(lab, ciped="tokxc=1")
    both_ping(pair, model)
    for number in (3, 4, 5):
        pair.b.run("ip", "address", "add", f"10.0.0.{number}/24", "dev", "eth0")
    move(pair, model, "10.0.0.3:7000")
    both_ping(pair, model)
    # From here on another address, with whatever a stranger can record or make.
    model.do("rebind", address="10.0.0.4:7000")
    for what in ("wrong_crc", "replayed_static", "replayed_indication", "replayed_acknowledgement",
                 "all_zero", "junk", "reflected"):
        if what != "all_zero":  # which is also sealed with the dynamic key
            model.do("hostile", what=what)
    time.sleep(0.5)
    expect(pair.a.peer()["endpoint"] == "10.0.0.3:7000", f"endpoint moved: {pair.a.peer()}")
    model.do("rebind", address="10.0.0.3:7000")
    both_ping(pair, model)
    finish(pair, model)


def silent_start(lab):
    """peer=0.0.0.0:0: nobody is sent anything before a peer with the key was heard, but for a question
    to who sends under a key of before, once a second."""
    pair = two_hosts(lab)
    model = start_model(pair.b)
    pair.a.write("options", f"key {KEY}\ntokxc 1\n")
    pair.a.type("ciped-cb me=10.0.0.1:6789 peer=0.0.0.0:0 ipaddr=10.0.1.1 ptpaddr=10.0.1.2")
    time.sleep(2)
    expect(not model.do("state")["events"], f"something was sent: {model.state}")
    model.do("lose", way="in", kind="NK_REQ", count=1000)  # as if it did not have the key
    model.do("hostile", what="foreign_key")
    model.do("hostile", what="junk")
    time.sleep(0.5)
    heard = model.do("state")["events"]
    asked = sum(count for name, count in heard.items() if name.endswith("NK_REQ"))
    expect(asked <= 3, f"a stranger was asked {asked} times: {heard}")
    expect(not pair.a.peer()["endpoint"], f"a stranger became the peer: {pair.a.peer()}")
    model.do("lose", way="in", kind="NK_REQ", count=0)
    model.ping()
    expect(pair.a.peer()["endpoint"] == "10.0.0.2:6543", f"endpoint: {pair.a.peer()}")
    labs.ping(pair.a, "10.0.1.2")
    finish(pair, model)


def habits_of_1999(lab):
    """static-data, roam-any and kill bring three habits back; the model has the first one, too."""
    pair, model = ciped_and_model(
        lab, ciped="tokxc=1 static-data roam-any kill", static_data=True,
        first=[{"command": "lose", "way": way, "kind": "NK_ACK", "count": 1000}
               for way in ("in", "out")])
    pair.a.script("ip-down")
    both_ping(pair, model)
    state = model.do("state")
    expect(state["events"].get("in static DATA", 0) >= 6, f"no data under the static key: {state}")
    expect(not state["sending"], f"the model has a sending key: {state}")
    pair.b.run("ip", "address", "add", "10.0.0.3/24", "dev", "eth0")
    move(pair, model, "10.0.0.3:7000")
    for way in ("in", "out"):
        model.do("lose", way=way, kind="NK_ACK", count=0)
    model.ping(count=40, interval=0.1)
    model.wait_keys()
    model.do("block", kind="CT_KILL")
    pair.a.wait_call("ip-down")
    labs.wait_for("the netdev to go", lambda: not pair.a.devices())
    pair.down()


def datapath(lab, rung):
    """Every road: the netdev's traffic and the model's, on the rung that was asked for."""
    pair, model = ciped_and_model(lab, ciped=f"tokxc=1 datapath={rung}")
    both_ping(pair, model)
    labs.ping(pair.a, "10.0.1.2", size=1414)
    model.ping(size=1414)
    seen = pair.a.peer()["rung"]
    expect(labs.rung_number(seen) in DATAPATH_RUNGS[rung], f"runs on rung {seen!r}")
    finish(pair, model)


# What each attack may be counted as; nothing: it needs no counter. Data and blocks are sent under the
# static and the dynamic key, and data under the static key goes before anything inside is looked at.
STATIC, INNER = "rx_classic_static_data", "rx_classic_not_ipv4"
COUNTED_AS = {
    "short": {"rx_classic_length", "xdp_malformed"}, "odd_length": {"rx_classic_length"},
    "wrong_crc": {"rx_classic_crc"}, "all_zero": {STATIC, INNER},
    "bad_padding": {"rx_classic_length", "rx_classic_crc", STATIC, INNER},
    "reserved_type": {"rx_classic_type"}, "ctrl_type": {"rx_classic_block"},
    "oversized": {"rx_classic_length", "rx_oversized", "rx_classic_crc", STATIC, INNER},
    "bad_inner": {STATIC, INNER}, "unknown_kind": {"rx_classic_block"},
    "short_block": {"rx_classic_block"}, "forged_indication": {"rx_classic_key_crc"},
    "wrong_acknowledgement": {"rx_classic_ack"}, "replayed_indication": {"rx_classic_old_key"},
    # Under a key that is gone, or for a key that is no more on offer.
    "replayed_acknowledgement": {"rx_classic_crc", "rx_classic_ack"},
    "replayed_static": {STATIC},
    # Our own key comes back; what is under our dynamic key does not decrypt here.
    "reflected": {"rx_classic_old_key", "rx_classic_crc", "rx_classic_ack"},
    "old_time": {"rx_classic_timestamp"}, "kill": {"rx_classic_kill"}, "debug": set(),
    "dummy": set(), "foreign_key": {"rx_classic_crc"}, "junk": {"rx_classic_crc"},
    "from_the_kernel": {"rx_classic_length", "rx_classic_crc", "rx_classic_kill"},
}


def counted(before, after, names):
    return sum(after.get(name, 0) - before.get(name, 0) for name in names)


def attack(pair, model, what):
    """One attack on a live link: counted by name, and nothing else changed."""
    model.do("start")  # so that there is something old to replay
    both_ping(pair, model)
    time.sleep(0.3)  # until all of that is counted
    before, peer, processes = drops(pair.a), pair.a.peer(), pair.a.daemons()
    events = model.do("state")["events"]
    sent = model.do("hostile", what=what)["events"][f"hostile {what}"]
    names = COUNTED_AS[what]
    if names:
        # A stranger's datagrams are counted one by one; others may be answered or taken in part.
        wanted = sent if what in classic_hostile.OUTSIDERS else 1
        try:
            labs.wait_for("drops", lambda: counted(before, drops(pair.a), names) >= wanted, 5)
        except labs.LabError as error:
            raise labs.LabError(f"{what}: {sent} sent, {wanted} wanted as {names}; before "
                                f"{before}, after {drops(pair.a)}") from error
    time.sleep(0.2)
    expect(pair.a.daemons() == processes, f"{what}: other processes than before")
    expect(pair.a.devices() == ["cipcb0"], f"{what}: the netdev went")
    expect(pair.a.peer()["endpoint"] == peer["endpoint"], f"{what}: endpoint {pair.a.peer()}")
    after = model.do("state")["events"]
    if what in classic_hostile.OUTSIDERS | classic_hostile.PORT_ZERO:
        expect({name: count for name, count in after.items() if name.startswith("in ")}
               == {name: count for name, count in events.items() if name.startswith("in ")},
               f"{what}: was answered: {events} -> {after}")
        expect(pair.a.peer()["rx_packets"] == peer["rx_packets"], f"{what}: counted as received")
    both_ping(pair, model)


def hostile(lab, names, rung="auto"):
    pair, model = ciped_and_model(lab, ciped=f"tokxc=1 tokxts=30 datapath={rung}")
    both_ping(pair, model)
    failed = []
    for what in names:
        try:
            attack(pair, model, what)
        except (labs.LabError, ModelError) as error:
            failed.append(str(error))
            lab.echo(f"  {error}")
    expect(not failed, f"{len(failed)} of {len(names)}: " + " | ".join(failed))
    text = pair.a.log
    expect(not re.search(r"[^\n -~]", text), "raw octets in the log: "
           f"{sorted(set(re.findall(r'[^ -~]', text)))}")
    if "debug" in names:
        expect("owned" in text, "the received text is not in the log")
    if "kill" in names:
        expect("kill" in text.lower(), "CT_KILL is not in the log")
    finish(pair, model, content=False)


STRANGERS = sorted(classic_hostile.OUTSIDERS | classic_hostile.PORT_ZERO)
INSIDERS = [name for name in classic_hostile.ATTACKS if name not in STRANGERS]
CASES = {
    **{f"exchange-{cipher}-{first}-first": functools.partial(exchange, cipher=cipher, first=first)
       for cipher in CIPHERS for first in ("model", "ciped")},
    **{f"loss-{way}-{kind}": functools.partial(loss, way=way, kind=kind)
       for way in ("in", "out") for kind in ("NK_IND", "NK_ACK", "NK_REQ")},
    **{f"rekey-by-{who}": functools.partial(rekey, who=who) for who in ("ciped", "model")},
    **{f"datapath-{rung}": functools.partial(datapath, rung=rung) for rung in DATAPATH_RUNGS},
    "checksums": checksums, "roaming": roaming,
    "packet-limit": Alone("it keeps the model, in Python, as busy as it may be", packet_limit),
    "silent-start": silent_start, "habits-of-1999": habits_of_1999,
    **{f"hostile-strangers-{rung}": functools.partial(hostile, names=STRANGERS, rung=rung)
       for rung in DATAPATH_RUNGS},
    "hostile-insiders": functools.partial(hostile, names=INSIDERS),
}
