"""Point 14 of the sixteen: very many prefixes; each is counted in `show`."""

import ipaddress
import json

import lab as labs
from live_edit import conf, reload, stranger
from sites import TUNNEL, expect, make_pair

MANY = 65_536


def one_peer(lab):
    """65536 prefixes of one peer, and one less after a reload."""
    pair = make_pair(lab)
    pair.configure(interface={"Table": "off"})
    first = ipaddress.ip_address("10.128.0.0")
    prefixes = [f"{first + 2 * i}/32" for i in range(MANY)]
    whole = conf(pair.a)

    def write(listed):
        lines = [f"AllowedIPs = {', '.join(listed[i:i + 64])}" for i in range(0, len(listed), 64)]
        pair.a.write(f"{TUNNEL}.conf", "\n".join([whole.rstrip(), *lines, ""]))

    def shown():
        return set(pair.a.peer()["allowed_ips"])

    own = {f"{pair.inner(pair.b)}/32", f"{pair.inner(pair.b, 6)}/128"}
    write(prefixes)
    pair.up()
    expect(shown() == {*prefixes, *own}, f"{len(shown())} prefixes are shown")
    pair.a.run("ip", "route", "add", "10.0.0.0/8", "dev", TUNNEL)
    pair.b.run("ip", "route", "add", f"{pair.inner(pair.a)}/32", "dev", TUNNEL)
    pair.b.run("ip", "address", "add", prefixes[-1], "dev", "lo")
    labs.ping(pair.a, prefixes[-1].split("/")[0])
    write(prefixes[1:])
    said = reload(pair.a, TUNNEL).stdout.splitlines()
    expect(said == [f"{TUNNEL}: peer site-b: AllowedIPs - {prefixes[0]}"], f"it says {said[:3]}")
    expect(shown() == {*prefixes[1:], *own}, f"{len(shown())} prefixes are shown")
    labs.ping(pair.a, prefixes[-1].split("/")[0])
    pair.down()


def many_peers(lab):
    """40 peers with 52 prefixes each, half of them IPv6, with routes."""
    pair = make_pair(lab)
    pair.configure()
    text, wanted = conf(pair.a), {}
    for p in range(40):
        listed = [f"10.{100 + p}.{i}.0/24" for i in range(26)]
        listed += [f"fd00:{100 + p}:{i}::/48" for i in range(26)]
        wanted[f"p{p}"] = {str(ipaddress.ip_network(one)) for one in listed}
        text += stranger(pair.a, f"p{p}", f"AllowedIPs = {', '.join(listed)}")
    pair.a.write(f"{TUNNEL}.conf", text)
    pair.b.up(TUNNEL, "--no-wait")
    pair.a.up(TUNNEL)
    shown = {peer["name"]: set(peer["allowed_ips"]) for peer in pair.a.peers()}
    shown.pop("site-b")
    expect(shown == wanted, f"{len(shown)} peers, {sum(map(len, shown.values()))} prefixes")
    for family, count in (("-4", 40 * 26 + 1), ("-6", 40 * 26 + 1)):
        routes = json.loads(pair.a.run("ip", "-j", family, "route", "show", "proto", 205, "dev",
                                       TUNNEL, echo=False).stdout)
        expect(len(routes) == count, f"{len(routes)} routes of family {family}, expected {count}")
    script = pair.a.cipectl("show", "-s", "peers").stdout.splitlines()
    expect(len(script) == 41, f"{len(script)} lines")
    pair.ping_all()
    pair.down()


CASES = {"prefixes-of-one-peer": one_peer, "prefixes-of-many-peers": many_peers}
