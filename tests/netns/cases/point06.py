"""Point 6 of the sixteen: the source filter, and prefixes that move from peer to peer."""

import lab as labs
from live_edit import edit, peers, reload
from sites import PORT, TUNNEL, drops, expect, make_pair, wait_drop


def wrong_source(lab):
    """What a peer may not send from is dropped and counted; where it came from is learned."""
    pair = make_pair(lab)
    pair.configure(only_here={"site-a": ({}, {"Endpoint": None})})
    pair.up()
    pair.b.run("ip", "address", "add", "10.9.0.77/32", "dev", "lo")
    expect("rx_source_not_allowed" not in drops(pair.a), "counted too early")

    def from_elsewhere():
        result = pair.b.run("ping", "-n", "-c", 2, "-i", "0.2", "-W", "1", "-I", "10.9.0.77",
                            pair.inner(pair.a), check=None)
        expect(" 0 received" in result.stdout, f"a packet got through: {result.stdout}")

    before = int(pair.a.run("cat", f"/sys/class/net/{TUNNEL}/statistics/rx_packets").stdout)
    from_elsewhere()
    wait_drop([pair.a], {"rx_source_not_allowed"})
    expect(drops(pair.a)["rx_source_not_allowed"] == 2, f"counted {drops(pair.a)}")
    after = int(pair.a.run("cat", f"/sys/class/net/{TUNNEL}/statistics/rx_packets").stdout)
    expect(after == before, f"{after - before} packets came out of the tunnel")
    # Another prefix length, or it would go with the address that is deleted.
    pair.b.run("ip", "address", "add", "192.0.2.22/25", "dev", "eth0")
    pair.b.run("ip", "address", "delete", "192.0.2.2/24", "dev", "eth0")
    from_elsewhere()  # authenticated all the same, so the endpoint follows
    labs.wait_for("the new endpoint", lambda: pair.a.peer()["endpoint"] == f"192.0.2.22:{PORT}")
    pair.ping_all()
    pair.down()


def steals(lab):
    """The longest prefix wins, also when it comes later; the one below is uncovered again."""
    pair = make_pair(lab)
    c = lab.site("site-c")
    lab.veth((pair.a.namespace, "eth1", ["192.0.3.1/24"]), (c.namespace, "eth0", ["192.0.3.3/24"]))
    keys = {site.name: labs.key_pair(site, TUNNEL)[1] for site in (*pair.both, c)}

    def configure(site, address, carrier, *sections):
        site.write(f"{TUNNEL}.conf", "\n".join([
            "[Interface]", f"Address = {address}/32", f"ListenPort = {PORT}",
            f"Carrier = {carrier}", f"PrivateKeyFile = {site.config / TUNNEL}.key", *sections, ""]))

    def section(name, endpoint, prefixes):
        return (f"[Peer]\nName = {name}\nPublicKey = {keys[name]}\nEndpoint = {endpoint}:{PORT}\n"
                f"AllowedIPs = {prefixes}\n")

    configure(pair.a, "10.9.0.1", "eth0, eth1",
              section("site-b", "192.0.2.2", "10.9.0.2/32, 10.50.0.0/16"),
              section("site-c", "192.0.3.3", "10.9.0.3/32"))
    configure(pair.b, "10.9.0.2", "eth0", section("site-a", "192.0.2.1", "10.9.0.1/32"))
    configure(c, "10.9.0.3", "eth0", section("site-a", "192.0.3.1", "10.9.0.1/32"))
    for site in (pair.b, c):
        site.run("ip", "address", "add", "10.50.1.1/32", "dev", "lo")
        site.up(TUNNEL, "--no-wait")
    pair.a.up(TUNNEL)

    def answered_by(name):
        before = {n: peer["rx_packets"] for n, peer in peers(pair.a).items()}
        labs.ping(pair.a, "10.50.1.1", count=3)
        after = {n: peer["rx_packets"] for n, peer in peers(pair.a).items()}
        got = {n for n in after if after[n] - before[n] >= 3}
        expect(got == {name}, f"answers came from {got}, expected {name}")

    answered_by("site-b")
    edit(pair.a, ("AllowedIPs = 10.9.0.3/32", "AllowedIPs = 10.9.0.3/32, 10.50.1.0/24"))
    reload(pair.a)
    answered_by("site-c")
    expect("rx_source_not_allowed" not in drops(pair.a), "counted too early")
    pair.b.run("ping", "-n", "-c", 1, "-W", "1", "-I", "10.50.1.1", "10.9.0.1", check=None)
    wait_drop([pair.a], {"rx_source_not_allowed"})  # stolen is stolen
    edit(pair.a, ("10.9.0.3/32, 10.50.1.0/24", "10.9.0.3/32"))
    reload(pair.a)
    answered_by("site-b")
    # The very same prefix at two peers is an error, and changes nothing.
    edit(pair.a, ("AllowedIPs = 10.9.0.3/32", "AllowedIPs = 10.9.0.3/32, 10.50.0.0/16"))
    result = reload(pair.a, check={1})
    expect("10.50.0.0/16 in the AllowedIPs of peer" in result.stderr, f"it says {result.stderr}")
    answered_by("site-b")
    for site in (pair.a, pair.b, c):
        site.down(TUNNEL)


CASES = {"wrong-source": wrong_source, "steals-prefix": steals}
