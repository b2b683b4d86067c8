"""The units: socket activation, who may do what, scripts as units of their own."""

import json

from sites import CARRIER, TUNNEL, address, expect

LIMIT = 30  # seconds that a script has, docs/configuration.md
FILE = ("[Interface]\nAddress = 10.9.0.1/32\nPrivateKeyFile = /etc/cipe/site.key\n{}"
        "[Peer]\nEndpoint = 192.0.2.2:6789\nPublicKey = {}\nAllowedIPs = 10.9.0.2/32\n")


def single_host(lab):
    """A host with a key, and a peer's key, whose peer does not exist."""
    host = lab.host("site-a")
    lab.wire("carrier", (host, 0))
    lab.boot()
    address(host, 0, f"{CARRIER[4].format(1)}/24")
    host.run("install -d -m 755 /etc/cipe; umask 077; cipectl genkey > /etc/cipe/site.key")
    return host, host.run("cipectl genkey | cipectl pubkey")


def activation_and_access(lab):
    """Whoever asks first starts the daemon; group `cipe` may look and not change, others may not even look."""
    host, key = single_host(lab)
    host.put(f"/etc/cipe/{TUNNEL}.conf", FILE.format("", key), 0o600)
    host.run("useradd -G cipe watcher; useradd stranger")
    expect(host.code("systemctl is-active ciped.service")[1].strip() == "inactive", "ciped runs before it is asked")
    shown = json.loads(host.run("runuser -u watcher -- cipectl show tunnels -j", 60))
    expect(shown["tunnels"] == [], f"{shown}")
    host.run("systemctl is-active ciped.service")
    code, said = host.code(f"runuser -u watcher -- cipectl up {TUNNEL}", 60)
    expect(code != 0 and "root" in said, f"a member of group cipe may bring up a tunnel: {said}")
    code, said = host.code("runuser -u stranger -- cipectl show tunnels", 60)
    expect(code != 0 and "cipe" in said, f"a stranger may look: {said}")
    host.run(f"cipectl up --no-wait {TUNNEL}", 60)
    expect("10.9.0.1" in host.run("runuser -u watcher -- cipectl show tunnels"), "the group does not see the tunnel")
    for verb in ("down", "reload"):
        code, said = host.code(f"runuser -u watcher -- cipectl {verb} {TUNNEL}", 60)
        expect(code != 0 and "root" in said, f"a member of group cipe may {verb} a tunnel: {said}")
    code, said = host.code(f"runuser -u watcher -- cat /etc/cipe/site.key /etc/cipe/{TUNNEL}.conf /var/lib/cipe/floors")
    expect(code != 0 and "PrivateKey" not in said, f"the group may read keys: {said}")
    host.run(f"ip link show {TUNNEL}")
    host.run(f"cipectl down {TUNNEL}", 60)


def scripts(lab):
    """Scripts run outside the daemon's sandbox, have a time limit, and leave no process; a stop of the daemon waits for
    one that runs."""
    host, key = single_host(lab)
    host.put(f"/etc/cipe/{TUNNEL}.conf", FILE.format(
        "PostUp = cat /proc/self/cgroup > /usr/local/hook-cgroup\n"
        "PreDown = echo begun >> /root/down; sleep 4; echo ended >> /root/down\n", key), 0o600)
    host.run(f"cipectl up --no-wait {TUNNEL}", 60)
    group = host.run("cat /usr/local/hook-cgroup")
    expect(".service" in group and "ciped.service" not in group, f"the script ran in {group}")
    stopping = host.start("systemctl stop ciped.service", 120)
    host.wait_for("[ -e /root/down ]", 60, "PreDown begins")
    stopping.wait()
    expect(host.run("cat /root/down").split() == ["begun", "ended"], "the stop did not wait for PreDown")
    expect(host.code(f"ip link show {TUNNEL}")[0] != 0, "the netdev stays after a stop")
    host.put("/etc/cipe/slow.conf", FILE.format("PreUp = sleep 4711\n", key), 0o600)
    code, said = host.code("cipectl up slow", LIMIT + 60)
    expect(code == 1 and f"{LIMIT} s" in said, f"a script without end: exit {code}: {said}")
    host.wait_for("! pgrep -f 'sleep [4]711'", 20, "the script is gone")
    host.run("cipectl down slow; true", 60)
    expect(not host.run("systemctl list-units --failed --plain --no-legend"), "a unit has failed")


CASES = {"activation-and-access": activation_and_access, "scripts": scripts}
