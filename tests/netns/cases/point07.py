"""Point 7 of the sixteen: keys changed live, with a handshake at once and without traffic."""

import lab as labs
from live_edit import conf, edit, reload, sessions
from sites import TUNNEL, expect, make_pair


def index(site, peer):
    session = sessions(site).get((peer, "current"))
    return session and session["local_index"]


def private_key(lab):
    """The private key of one end."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    old = index(pair.a, "site-b")
    before = conf(pair.b).split("PublicKey = ")[1].splitlines()[0]
    public = labs.key_pair(pair.a, TUNNEL)[1]
    said = reload(pair.a).stdout
    expect("PrivateKey changed" in said and "[" not in said, f"it says {said}")
    # The other end hears that its session ends, and refuses the new key as long as it has the old.
    labs.wait_for("site-b to know", lambda: pair.b.peer()["status"] != "connected", 3)
    edit(pair.b, (before, public))
    reload(pair.b)
    labs.wait_for("a session under the new key", lambda: index(pair.a, "site-b") not in (None, old))
    pair.ping_all()
    shown = pair.a.cipectl("show", "tunnels").stdout
    expect(public in shown and before not in shown, f"show says {shown}")
    pair.transfer(pair.a, octets=2_000_000)
    pair.down()


def preshared_key(lab):
    """The preshared key of both ends, one after the other; the session bridges the gap."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    for _ in range(2):
        secret = pair.a.cipectl("genpsk").stdout
        for site in pair.both:
            site.write("psk.key", secret)
            if "PresharedKeyFile" not in conf(site):
                edit(site, ("[Peer]", f"[Peer]\nPresharedKeyFile = {site.config}/psk.key"))
        old = {site.name: index(site, pair.other(site).name) for site in pair.both}
        said = reload(pair.a).stdout
        expect("PresharedKey" in said and secret.strip() not in said, f"it says {said}")
        pair.ping_all()  # under the session that both still have
        reload(pair.b)
        labs.wait_for("sessions under the new key", lambda o=old: all(
            index(site, pair.other(site).name) not in (None, o[site.name]) for site in pair.both))
        pair.ping_all()
    pair.down()


CASES = {"rekey-live": private_key, "preshared-key-live": preshared_key}
