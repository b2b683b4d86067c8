"""Packets through tunnels of protocol 3: the HOWTO's test, new keys under traffic, an unknown peer,
outer headers."""

import json
import re

from cases.classic_start import classic, two_hosts
from side_by_side import Alone
from sites import expect


def bring_up(a, b, *words, program="ciped-cb", a_peer="10.0.0.2:6543", a_ptpaddr="10.0.1.2"):
    classic(a, "me=10.0.0.1:6789", f"peer={a_peer}", "ipaddr=10.0.1.1", f"ptpaddr={a_ptpaddr}",
            *words, program=program)
    classic(b, "peer=10.0.0.1:6789", "me=10.0.0.2:6543", "ptpaddr=10.0.1.1", "ipaddr=10.0.1.2",
            *words, program=program)


def ping(site, address, *options):
    """Packets received of those sent."""
    text = site.run("ping", "-n", *options, address, check=False, timeout=60).stdout
    found = re.search(r"(\d+) packets transmitted, (\d+) received", text)
    expect(found, f"ping said {text!r}")
    return int(found[1]), int(found[2])


def status(site):
    return json.loads(site.cipectl("-j", "show", echo=False).stdout)


def howto(lab, program):
    a, b = two_hosts(lab)
    bring_up(a, b, program=program)
    for site, other in ((a, "10.0.1.2"), (b, "10.0.1.1")):
        sent, received = ping(site, other, "-c", "3", "-i", "0.2", "-W", "2")
        expect(received == sent, f"{received} of {sent} answered")
    shown = status(a)
    expect(shown["tunnels"][0]["protocol"] == 3 and shown["tunnels"][0]["insecure"],
           f"{shown['tunnels'][0]}")
    expect(shown["peers"][0]["status"] == "connected", f"{shown['peers'][0]}")
    expect({s["role"] for s in shown["sessions"]} == {"sender", "receiver"}, f"{shown['sessions']}")


def blowfish(lab):
    howto(lab, "ciped-cb")


def idea(lab):
    howto(lab, "ciped-ci")


def rekey(lab):
    a, b = two_hosts(lab)
    bring_up(a, b, "tokey=2")
    sent, received = ping(a, "10.0.1.2", "-c", "5000", "-i", "0.002", "-s", "1000", "-W", "2")
    expect(received == sent == 5000, f"{received} of {sent} answered while keys changed")
    for site in (a, b):
        youngest = min(s["age_s"] for s in status(site)["sessions"])
        expect(youngest <= 4, f"youngest key is {youngest} s old")


def unknown_peer(lab):
    a, b = two_hosts(lab)
    bring_up(a, b, a_peer="0.0.0.0:0", a_ptpaddr="0.0.0.0")
    sent, received = ping(b, "10.0.1.1", "-c", "5", "-i", "0.3", "-W", "2")
    expect(received > 0, f"{received} of {sent} answered")
    sent, received = ping(a, "10.0.1.2", "-c", "3", "-i", "0.2", "-W", "2")
    expect(received == sent, f"{received} of {sent} answered the other way")
    expect(status(a)["peers"][0]["endpoint"] == "10.0.0.2:6543", "endpoint not learned")


CASES = {"blowfish": blowfish, "idea": idea,
         "rekey": Alone("of 500 pings a second none may be lost", rekey),
         "unknown_peer": unknown_peer}
