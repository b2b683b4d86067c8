"""The main job: package, unit, traffic, the fast path, and everything back after a boot."""

from sites import CARRIER, TUNNEL, Site, expect, persistent_address, ping_both

QUEUES = 2


def expect_rung(site, queues):
    """On AF_XDP with that many queues, and what came since is counted there."""
    tunnel, = site.show("tunnels")["tunnels"]
    carrier, = tunnel["carriers"]
    said = f"{site.host.name}: {tunnel['rung_reason']} {carrier}"
    expect(tunnel["rung"] == 2, f"not on rung 2: {said}")
    expect(carrier["queues"] == queues, f"not on {queues} queues: {said}")
    expect(site.peer()["rung"] == 2, f"{site.host.name}: {site.peer()}")


def main_job(lab):
    """The README's way on two fresh systems; one of them boots again."""
    queues = QUEUES if lab.can_open_taps() else 1
    hosts = [lab.host("site-a", processors=2, queues=queues),
             lab.host("site-b", processors=2, queues=queues)]
    lab.wire("carrier", *((host, 0) for host in hosts))
    lab.boot("bare", taps=queues > 1)
    a, b = (Site(host, number) for number, host in enumerate(hosts, 1))
    lab.install(*hosts)
    for site in (a, b):
        persistent_address(site.host, 0, f"{CARRIER[4].format(site.number)}/24",
                           f"{CARRIER[6].format(site.number)}/64")
        site.make_key()
    for site, other in ((a, b), (b, a)):
        site.configure(other)
        site.host.run(f"systemctl enable -q --now cipe@{TUNNEL}")
    ping_both(a, b)
    for site in (a, b):
        expect_rung(site, queues)
    b.host.reboot()
    b.host.wait_for(f"systemctl is-active cipe@{TUNNEL}", 40)
    ping_both(a, b)
    expect_rung(b, queues)
    lab.say(b.host.run("systemd-analyze security --no-pager ciped.service | tail -n 1"))


CASES = {"main-job": main_job}
