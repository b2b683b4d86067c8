"""A carrier that loses, delays, reorders and duplicates, under a tunnel that rekeys every few seconds."""

import struct

from evidence import Numbers, Tap, together
from routed import NET4, routed
from sites import TUNNEL, expect, ping_both, up

NETEM = "delay 20ms 15ms loss 2% duplicate 2% reorder 5% limit 5000"
RATE = 60
FORCED = 5  # further rekeys, one after the other
DATA, INITIATION = 0x54, 0x51


def frames(tap, destination):
    """[(receiver index, counter)] of the numbered datagrams' frames to that address, in order."""
    return [struct.unpack_from("<IQ", d.payload, 4) for d in tap.datagrams()
            if d.payload[0] == DATA and len(d.payload) == Numbers.FRAME and
            d.destination in destination]


def dropped(router, nic):
    """What netem has thrown away there."""
    said = router.run(f"tc -s qdisc show dev eth{nic}")
    return int(said.split("dropped ")[1].split(",")[0])


def every_loss_is_the_carriers(lab):
    """Between two captures around the router, every frame is accounted for; inside the tunnel exactly
    those are missing that the router lost, none comes twice, and reordered ones are delivered."""
    a, b, router = routed(lab)
    second = f"{NET4[2]}.3"  # of site-b, too: to call it there makes new keys
    b.host.run(f"ip address add {second}/24 dev eth0")
    a.configure(b, interface="Rekey = 15\n")
    b.configure(a)
    up(a, b)
    ping_both(a, b)
    events = a.host.start("cipectl monitor -j > /run/events", 400)
    a.host.wait_for("[ -e /run/events ]")
    with Tap(lab, "carrier-a") as near, Tap(lab, "carrier-b") as far:
        together([(router, f"tc qdisc add dev eth{nic} root netem {NETEM}") for nic in (0, 1)])
        numbers = Numbers(a, b, RATE, 300)
        for turn in range(FORCED):
            one, other = (f"{NET4[2]}.2", second) if turn % 2 == 0 else (second, f"{NET4[2]}.2")
            a.host.run(f"sed -i 's/^Endpoint = {one}:/Endpoint = {other}:/' /etc/cipe/{TUNNEL}.conf && "
                       f"cipectl reload {TUNNEL}", 60)
            rekeyed(a, turn + 1)
        rekeyed(a, FORCED + 1)  # by age
        results = numbers.end()
        lost_by_netem = {a: dropped(router, 0), b: dropped(router, 1)}
        together([(router, f"tc qdisc del dev eth{nic} root") for nic in (0, 1)])
    ping_both(a, b)
    to_b = [bytes(map(int, address.split("."))) for address in (f"{NET4[2]}.2", second)]
    to_a = [bytes(map(int, f"{NET4[1]}.1".split(".")))]
    for site, sender, before, after, destination in ((b, a, near, far, to_b), (a, b, far, near, to_a)):
        account(lab, site, results[sender], results[site], frames(before, destination),
                frames(after, destination), lost_by_netem[site])
    events.stop()


def rekeyed(site, times):
    site.host.wait_for(f"[ $(grep -c '\"rekeyed\"' /run/events) -ge {times} ]", 90,
                       f"{times} rekeys ($(cat /run/events))")


def account(lab, site, sender, receiver, sent, arrived, lost_by_netem):
    """`sent`, `arrived`: frames with a numbered datagram, before and behind the router."""
    name = site.host.name
    numbered = sum(sender["sent"].values()) - sender["refused"]
    expect(sender["refused"] == 0, f"to {name}: {sender['refused']} sends were refused")
    expect(len(set(sent)) == numbered, f"to {name}: {numbered} datagrams in {len(set(sent))} frames")
    lost = len(set(sent) - set(arrived))
    twice = len(arrived) - len(set(arrived))
    late = sum(later < earlier for earlier, later in zip(arrived, arrived[1:])
               if earlier[0] == later[0])
    sessions = {index for index, _ in set(arrived)}
    got = receiver["received"].values()
    missing = numbered - sum(way["distinct"] for way in got)
    text = (f"to {name}: {numbered} sent in {len(sessions)} sessions; the carrier lost {lost} (netem "
            f"dropped {lost_by_netem} of all), duplicated {twice}, put {late} out of order; "
            f"{missing} are missing, {receiver['received']}")
    lab.say(text)
    expect(min(lost, twice, late) > 10 and len(sessions) > FORCED, f"not rough enough: {text}")
    expect(missing == lost <= lost_by_netem, f"lost by more than the carrier: {text}")
    expect(sum(way["repeated"] for way in got) == 0, f"delivered twice: {text}")
    replayed = sum(peer["drops"].get("rx_replayed", 0) for peer in site.show()["peers"])
    expect(replayed >= twice, f"{name} counted rx_replayed {replayed}: {text}")
    expect(sum(way["behind"] for way in got) > 10, f"nothing came out of order: {text}")


CASES = {"every-loss-is-the-carriers": every_loss_is_the_carriers}
