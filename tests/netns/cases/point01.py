"""Three namespaces, the endpoints reachable only through the third."""

import functools

import lab as labs
from routed import make_routed_pair
from sites import DATAPATH_RUNGS, expect


def three_namespaces(lab, outer, datapath):
    pair = make_routed_pair(lab, outer)
    pair.configure(interface={"Datapath": datapath})
    pair.up()
    pair.expect_rung(DATAPATH_RUNGS[datapath])
    pair.ping_all(sizes=(56, 1300))
    # Through the third and no other way.
    lab.run("ip", "-n", pair.router, "link", "set", "to-b", "down")
    expect(not labs.ping(pair.a, pair.inner(pair.b), count=1, check=False),
           "a ping came through without the router")
    lab.run("ip", "-n", pair.router, "link", "set", "to-b", "up")
    if outer == 6:  # the kernel takes IPv6 addresses from a link that goes down
        lab.run("ip", "-n", pair.router, "address", "replace", "2001:db8:2::fe/64", "dev", "to-b",
                "nodad")
    labs.wait_for("ping to go through again",
                  lambda: labs.ping(pair.a, pair.inner(pair.b), count=1, check=False), 20)
    pair.ping_all()
    pair.down()


CASES = {f"three-namespaces-v{outer}-{datapath}":
         functools.partial(three_namespaces, outer=outer, datapath=datapath)
         for outer in (4, 6) for datapath in ("xdp", "socket")}
