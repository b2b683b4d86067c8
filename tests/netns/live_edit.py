"""Files of tunnels that are up, changed and reloaded; and what is to be seen of it."""

import json

from sites import TUNNEL, expect


def conf(site):
    return (site.config / f"{TUNNEL}.conf").read_text()


def edit(site, *changes, tunnel=TUNNEL):
    """Replaces text in the site's file; each of (old, new) must be there."""
    text = (site.config / f"{tunnel}.conf").read_text()
    for old, new in changes:
        expect(old in text, f"{old!r} is not in the file:\n{text}")
        text = text.replace(old, new, 1)
    site.write(f"{tunnel}.conf", text)


def reload(site, *arguments, check=True):
    return site.cipectl("reload", *arguments, check={0} if check is True else check)


def stranger(site, name, *lines):
    """A [Peer] section with a key that nobody has."""
    private = site.cipectl("genkey", echo=False).stdout
    public = site.cipectl("pubkey", stdin=private, echo=False).stdout.strip()
    return "\n".join([f"\n[Peer]\nName = {name}", f"PublicKey = {public}", *lines, ""])


def sessions(site):
    document = json.loads(site.cipectl("-j", "show", "sessions", echo=False).stdout)
    return {(s["peer"], s["slot"]): s for s in document["sessions"]}


def peers(site):
    return {peer["name"]: peer for peer in site.peers()}


def routes(site, device=TUNNEL):
    listed = json.loads(site.run("ip", "-j", "route", "show", "dev", device, echo=False).stdout)
    return {route["dst"] for route in listed}


def addresses(site):
    listed = json.loads(site.run("ip", "-j", "address", "show", TUNNEL, echo=False).stdout)
    return {f"{a['local']}/{a['prefixlen']}" for a in listed[0]["addr_info"]}
