"""What a person at a terminal, a script and an init system meet: starting, ending, logs, messages."""

import json
import os
import pathlib
import re
import signal
import stat

import lab as labs
from sites import TUNNEL, expect, make_pair


def comm(pid):
    return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()


def daemon_status(site):
    return json.loads(site.cipectl("-j", "show", "tunnels").stdout)["daemon"]


def pipes(lab):
    """Whoever reads what `up` says gets the end of it, though `up` started a daemon."""
    pair = make_pair(lab)
    pair.configure()
    words = ["ip", "netns", "exec", pair.a.namespace, labs.BIN / "cipectl", *pair.a.options(), "up",
             TUNNEL, "--no-wait"]
    script = 'exec 9>"$0"; out=$("$@" 2>&1 </dev/null); echo "<$out>"'
    result = lab.run("sh", "-c", script, lab.directory / "lock", *words, timeout=60)
    expect(result.stdout == f"<{TUNNEL} is up>\n", f"the shell read {result.stdout!r}")
    for pid in pair.a.daemons():
        targets = [os.readlink(link) for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()]
        held = [to for to in targets if to == str(lab.directory / "lock")]
        expect(not held, f"process {pid} holds its starter's files: {targets}")
        expect(os.readlink(f"/proc/{pid}/fd/1") == os.readlink(f"/proc/{pid}/fd/2"),
               "standard output and error are not both the log")
    log = pair.a.directory / "run/ciped.log"
    if os.readlink(f"/proc/{pair.a.daemons()[0]}/fd/2") == str(log):
        expect(f"tunnel {TUNNEL} is up" in log.read_text(), f"the log says {log.read_text()!r}")
        expect(stat.S_IMODE(log.stat().st_mode) == 0o640, f"mode of the log {log.stat()}")
    else:
        expect(pathlib.Path("/run/systemd/journal/stdout").exists(), "a log in neither place")
    pair.a.down(TUNNEL)


def says_why_it_did_not_start(lab):
    """The reason still reaches the terminal, where the log no longer goes."""
    pair = make_pair(lab)
    pair.configure()
    state = pair.a.directory / "state"
    state.write_text("in the way")
    result = pair.a.up(TUNNEL, check={1})
    expect(str(state) in result.stderr, f"no reason: {result.stderr}")
    expect(pair.a.daemons() == (None, None), "a ciped was left behind")


def ends_with_last_tunnel(lab):
    pair = make_pair(lab)
    pair.configure()
    text = (pair.a.config / f"{TUNNEL}.conf").read_text()
    pair.a.write("second.conf", "[Interface]\nAddress = 10.8.0.1/32\nPrivateKeyFile = "
                 f"{pair.a.config}/{TUNNEL}.key\n[Peer]\n"
                 + re.search(r"PublicKey = .*\n", text)[0] + "AllowedIPs = 10.8.0.2/32\n")
    pair.a.up(TUNNEL, "--no-wait")
    pair.a.up("second", "--no-wait")
    before = pair.a.daemons()
    pair.a.down(TUNNEL)
    expect(pair.a.daemons() == before, "ciped ended, or was replaced, with a tunnel up")
    result = json.loads(pair.a.cipectl("-j", "down", "second").stdout)
    expect(result["ciped_ends"] is True, f"down says {result}")
    expect(pair.a.daemons() == (None, None), "ciped outlives its last tunnel")
    left = {path.name for path in (pair.a.directory / "run").iterdir()} - {"ciped.log"}
    expect(not left, f"in the runtime directory: {left}")
    # Ending and starting at once, without a pause: each finds its own ciped.
    for _ in range(3):
        pair.a.up(TUNNEL, "--no-wait")
        pair.a.down(TUNNEL)
    # What cannot come up leaves no ciped either.
    pair.a.up("missing", check={1})
    labs.wait_for("ciped to end", lambda: pair.a.daemons() == (None, None), 5)


def foreground_stays(lab):
    """Started by hand, ciped stays, whatever goes up and down; SIGTERM ends it."""
    pair = make_pair(lab)
    pair.configure()
    log = lab.directory / "log"
    with open(log, "w") as file:
        ciped = pair.a.start(labs.BIN / "ciped", *pair.a.options(), stdout=file, stderr=file)
    labs.wait_for("ciped", lambda: pair.a.cipectl("show", check=None, echo=False).returncode == 0)
    pair.a.up(TUNNEL, "--no-wait")
    result = json.loads(pair.a.cipectl("-j", "down", TUNNEL).stdout)
    expect(result["ciped_ends"] is False, f"down says {result}")
    pair.a.cipectl("show")
    # SIGUSR1 means nothing; the socket and the process must survive it.
    broker, _ = pair.a.daemons()
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        os.kill(broker, number)
    labs.wait_for("both to be logged", lambda: "SIGUSR2" in log.read_text(), 5)
    pair.a.cipectl("show")
    os.kill(broker, signal.SIGHUP)  # its terminal is gone
    expect(ciped.wait(timeout=10) == 0, "SIGHUP in the foreground is no clean end")
    expect(not list((pair.a.directory / "run").iterdir()), "socket or pid file is left")


def signals(lab):
    """A daemon lives through SIGHUP and SIGUSR1, in the same session, and says what they are not."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    before = pair.a.daemons()
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(before[0], number)
    pair.ping_all(families=(4,))
    expect(pair.a.daemons() == before, "a process ended")
    pair.down()


def processes(lab):
    """Who is who: in ps, in `version`, in `show -j`."""
    pair = make_pair(lab)
    pair.configure()
    pair.a.up(TUNNEL, "--no-wait")
    broker, engine = pair.a.daemons()
    expect((comm(broker), comm(engine)) == ("ciped", "ciped-engine"),
           f"ps calls them {comm(broker)} and {comm(engine)}")
    expect(daemon_status(pair.a)["ciped_pid"] == broker, "ciped_pid is not the broker's")
    expect(daemon_status(pair.a)["engine_pid"] == engine, "engine_pid is not the engine's")
    version = json.loads(pair.a.cipectl("-j", "version").stdout)
    expect((version["ciped_pid"], version["engine_pid"]) == (broker, engine), f"{version}")
    expect(f"process {broker}, its engine {engine}" in pair.a.cipectl("version").stdout, "version")
    os.kill(broker, signal.SIGTERM)
    labs.wait_for("ciped to end", lambda: pair.a.daemons() == (None, None))
    version = json.loads(pair.a.cipectl("-j", "version").stdout)
    expect(version["ciped"] is None and version["ciped_pid"] is None, f"{version}")


def umask(lab):
    """Key files are made with umask 077; group cipe can still reach the socket."""
    pair = make_pair(lab)
    pair.configure()
    run = pair.a.directory / "deep/run"
    pair.a.run("sh", "-c", 'umask 077; exec "$@"', "sh", labs.BIN / "cipectl", "--runtime-dir", run,
               "--config-dir", pair.a.config, "--state-dir", pair.a.directory / "state", "up",
               TUNNEL, "--no-wait")
    for path, mode in ((run.parent, 0o755), (run, 0o755), (run / "ciped.sock", 0o660)):
        expect(stat.S_IMODE(path.stat().st_mode) == mode, f"{path} has mode {path.stat().st_mode:o}")
    show = [labs.BIN / "cipectl", "--runtime-dir", run, "show", "tunnels"]
    member = ["setpriv", "--reuid", "65534", "--regid", "cipe", "--clear-groups"]
    pair.a.run(*member, *show)
    refused = pair.a.run(*member, *show[:-2], "down", TUNNEL, check={1})
    expect("root" in refused.stderr and "group cipe" in refused.stderr, refused.stderr)
    stranger = pair.a.run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *show,
                          check={1})
    expect("group cipe" in stranger.stderr, f"no way out: {stranger.stderr}")
    pair.a.run(*show[:-2], "down", TUNNEL)


def other_directories(lab):
    """A command that means another configuration than the running ciped's is refused."""
    pair = make_pair(lab)
    pair.configure()
    pair.a.up(TUNNEL, "--no-wait")
    other = lab.directory / "other"
    other.mkdir()
    (other / f"{TUNNEL}.conf").write_text((pair.a.config / f"{TUNNEL}.conf").read_text())
    run, state = ["--runtime-dir", pair.a.directory / "run"], pair.a.directory / "state"
    cipectl = labs.BIN / "cipectl"
    for words, named in (
            (["--config-dir", other, "up", TUNNEL], pair.a.config),
            (["--config-dir", other, "up", other / f"{TUNNEL}.conf"], pair.a.config),
            (["--config-dir", other, "down", TUNNEL], pair.a.config),
            (["--config-dir", other, "show"], pair.a.config),
            (["--state-dir", other, "up", TUNNEL], state)):
        result = pair.a.run(cipectl, *run, *words, check={1})
        expect(str(named) in result.stderr, f"it does not name {named}: {result.stderr}")
    # The same directory written otherwise, and none at all, are no contradiction.
    link = lab.directory / "link"
    link.symlink_to(pair.a.config)
    pair.a.run(cipectl, *run, "--config-dir", f"{link}/", "up", link / f"{TUNNEL}.conf", "--no-wait")
    relative = os.path.relpath(pair.a.config)
    pair.a.run(cipectl, *run, "--config-dir", relative, "up", TUNNEL, "--no-wait")
    pair.a.run(cipectl, *run, "show", TUNNEL)
    pair.a.down(TUNNEL)


def exit_codes(lab):
    """Wrong usage is 2 for ciped too; an answer that cannot be written is no success."""
    pair = make_pair(lab)
    for words in (("--nonsense",), ("--log-level", "9"), ("--daemon", "--foreground"), ("extra",)):
        pair.a.run(labs.BIN / "ciped", *words, check={2})
    pair.a.run(labs.BIN / "ciped", "--version")
    key = pair.a.cipectl("genkey").stdout
    for words in (("genkey",), ("pubkey",), ("version",), ("--help",)):
        for where in (">/dev/full", ">&-"):
            if words == ("--help",) and where == ">&-":
                continue
            result = pair.a.run("sh", "-c", f'"$0" "$@" {where}', labs.BIN / "cipectl", *words,
                                stdin=key, check=None)
            if words != ("--help",):
                expect(result.returncode == 1 and "writing" in result.stderr,
                       f"{words} {where}: {result.returncode} {result.stderr!r}")
    private = json.loads(pair.a.cipectl("-j", "genkey").stdout)["private_key"]
    public = json.loads(pair.a.cipectl("-j", "pubkey", stdin=private).stdout)["public_key"]
    expect(public == pair.a.cipectl("pubkey", stdin=private).stdout.strip(), "another public key")
    expect(len(json.loads(pair.a.cipectl("-j", "genpsk").stdout)["preshared_key"]) == 44, "genpsk")


def show_peers_says_why(lab):
    pair = make_pair(lab)
    pair.configure(interface={"Datapath": "socket"})
    pair.up()
    reason = json.loads(pair.a.cipectl("-j", "show", "tunnels").stdout)["tunnels"][0]["rung_reason"]
    expect(reason and pair.a.peer()["rung_reason"] == reason, f"show peers -j: {pair.a.peer()}")
    expect(f"({reason})" in pair.a.cipectl("show", "peers").stdout, "show peers says no reason")
    columns = pair.a.cipectl("show", "peers", "-s").stdout.rstrip("\n").split("\t")
    wanted = [reason, pair.a.peer()["path_mtu_source"]]
    expect(columns[-2:] == wanted, f"last columns of -s are not {wanted}: {columns}")
    pair.down()


def no_link_local(lab):
    """The kernel makes no fe80 address, whose packets belong to no peer."""
    pair = make_pair(lab)
    pair.configure()
    pair.up()
    links = json.loads(pair.a.run("ip", "-j", "address", "show", "dev", TUNNEL).stdout)
    addresses = [info["local"] for info in links[0]["addr_info"]]
    expect(not any(address.startswith("fe80") for address in addresses), f"{addresses}")
    pair.ping_all()
    pair.down()


# -- README --------------------------------------------------------------------------------------------


def readme_commands():
    text = (labs.ROOT / "README.md").read_text()
    section = re.search(r"## A first tunnel(?s:.*?)\n\n((?:    .*\n)+)", text)[1]
    return re.sub(r"(?m)^    ", "", section)


def fresh_host(lab, site, installed):
    """A process with a file system as on a host where CIPE was just installed; its id."""
    view = lab.directory / f"{site.name}-view"
    view.mkdir()
    hosts = "".join(f"192.0.2.{number} site-{letter}.example.org\\n"
                    for number, letter in ((1, "a"), (2, "b")))
    process = site.start(
        "unshare", "-m", "sh", "-ec",
        f"mount --make-rprivate /; mount -t tmpfs none {view}; "
        f"cp -a /etc {view}/etc; cp -a {installed}/etc/cipe {view}/etc/; "
        f"printf '{hosts}' >> {view}/etc/hosts; mount --bind {view}/etc /etc; "
        f"mount --bind {installed}/usr/local /usr/local; mount -t tmpfs none /var/lib; "
        "mount -t tmpfs -o mode=755 none /run; echo ready; exec sleep 170")
    expect(process.stdout.readline().strip() == "ready", f"no file system for {site.name}")
    return process.pid


def type_in(site, host, text, codes):
    """Commands as root types them after logging in there."""
    return site.run("nsenter", "-t", host, "-m", "env", "-i", "HOME=/root",
                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    "sh", "-c", "umask 022\n" + text, check=codes, timeout=60)


def first_tunnel(lab):
    """The README's commands, typed into two freshly installed hosts."""
    pair = make_pair(lab)
    root = lab.directory / "root"
    lab.run("sh", "-c", f"umask 077; DESTDIR={root} cmake --install {labs.BIN.parent} --prefix "
            "/usr/local", timeout=60)
    root.chmod(0o755)
    for path in ("etc/cipe", "usr/local/sbin/ciped", "usr/local/bin/cipectl"):
        mode = stat.S_IMODE((root / path).stat().st_mode)
        expect(mode == 0o755, f"{path} was installed with mode {mode:o}")
    commands = readme_commands()
    keys, rest = commands.split("cat >", 1)
    hosts = {site.name: fresh_host(lab, site, root) for site in pair.both}
    public = {site.name: type_in(site, hosts[site.name], keys, {0}).stdout.strip()
              for site in pair.both}
    rest = "cd /etc/cipe && umask 077\ncat >" + rest
    swaps = {"10.9.0.1": "10.9.0.2", "10.9.0.2": "10.9.0.1", "10.0.2.0": "10.0.1.0",
             "site-b": "site-a", "THE-PUBLIC-KEY-OF-SITE-B": public["site-a"]}
    for word in swaps:
        expect(word in rest, f"no {word} in the README's commands")
    swapped = re.sub("|".join(map(re.escape, sorted(swaps, key=len, reverse=True))),
                     lambda match: swaps[match[0]], rest)
    type_in(pair.a, hosts["site-a"], rest.replace("THE-PUBLIC-KEY-OF-SITE-B", public["site-b"]),
            {0})
    shown = type_in(pair.b, hosts["site-b"], swapped, {0}).stdout
    expect("office is up" in shown and "connected" in shown, f"site-b was told {shown}")
    labs.ping(pair.a, "10.9.0.2")
    labs.ping(pair.b, "10.9.0.1")
    for site in pair.both:
        type_in(site, hosts[site.name], "cipectl down office", {0})
        expect(site.daemons() == (None, None), f"{site.name}: ciped is left")
        expect(not site.leftovers(["office"]), f"{site.leftovers(['office'])}")


CASES = {
    "pipes": pipes, "says-why-it-did-not-start": says_why_it_did_not_start,
    "ends-with-last-tunnel": ends_with_last_tunnel, "foreground-stays": foreground_stays,
    "signals": signals, "processes": processes, "umask": umask,
    "other-directories": other_directories, "exit-codes": exit_codes,
    "show-peers-says-why": show_peers_says_why, "no-link-local": no_link_local,
    "first-tunnel": first_tunnel,
}
