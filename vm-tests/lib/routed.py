"""Two sites whose carrier is a network with a router in it."""

from evidence import together
from sites import Site

NET4 = {1: "192.0.2", 2: "198.51.100"}
NET6 = {1: "2001:db8:1:", 2: "2001:db8:2:"}


def routed(lab, outer=4, between=()):
    """(a, b, router): site-a [carrier-a] router [carrier-b] site-b, booted and with addresses; the
    tunnel's endpoints are of family `outer`. `between`: further commands for the router."""
    a, router, b = lab.host("site-a"), lab.host("router"), lab.host("site-b")
    lab.wire("carrier-a", (a, 0), (router, 0))
    lab.wire("carrier-b", (router, 1), (b, 0))
    lab.boot()
    steps = [(host, "ip link set eth0 up && "
                    f"ip address add {NET4[number]}.{number}/24 dev eth0 && "
                    f"ip address add {NET6[number]}:{number}/64 dev eth0 nodad && "
                    f"ip route add default via {NET4[number]}.254 && "
                    f"ip route add default via {NET6[number]}:ffff")
             for number, host in ((1, a), (2, b))]
    steps.append((router, " && ".join([
        *(f"ip link set eth{number - 1} up && "
          f"ip address add {NET4[number]}.254/24 dev eth{number - 1} && "
          f"ip address add {NET6[number]}:ffff/64 dev eth{number - 1} nodad" for number in (1, 2)),
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1", *between])))
    together(steps)
    sites = [Site(host, number, endpoint_of(number, outer)) for number, host in ((1, a), (2, b))]
    together([(site.host, "install -d -m 755 /etc/cipe; umask 077; cipectl genkey > /etc/cipe/site.key")
              for site in sites])
    for site, key in zip(sites, together([(site.host, "cipectl pubkey < /etc/cipe/site.key")
                                          for site in sites])):
        site.key = key
    return (*sites, router)


def endpoint_of(number, outer, port=6789):
    return f"{NET4[number]}.{number}:{port}" if outer == 4 else f"[{NET6[number]}:{number}]:{port}"
