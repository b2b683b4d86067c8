"""tools/demo --classic: the HOWTO's two hosts and two commands, and the speed of their tunnel beside
what the cipher alone does on one core."""

import json
import shutil
import statistics
import time

import lab as labs
import measure

KEY = "101112131415161718191a1b1c1d1e1f"
REPETITIONS = 3
SECONDS = 4
LEAST_SHARE = 0.70  # of the cipher alone
MODPROBE_FILE = labs.ROOT / "share/modprobe.d/cipe.conf"

# name: carrier address and port, tunnel address
HOSTS = {"host-a": ("10.0.0.1", 6789, "10.0.1.1"), "host-b": ("10.0.0.2", 6543, "10.0.1.2")}


def two_hosts(lab, say):
    say("Topology: host-a 10.0.0.1 --eth0-- veth --eth0-- 10.0.0.2 host-b, MTU 1500")
    a, b = (lab.site(name) for name in HOSTS)
    lab.veth(*((site.namespace, "eth0", [HOSTS[site.name][0] + "/24"]) for site in (a, b)))
    for site in (a, b):
        site.write("options", f"key {KEY}\n")
    return a, b


def start(site, peer):
    address, port, inner = HOSTS[site.name]
    to, to_port, far = HOSTS[peer.name]
    site.run(labs.BIN / "ciped-cb", *site.options(), f"me={address}:{port}",
             f"peer={to}:{to_port}", f"ipaddr={inner}", f"ptpaddr={far}", timeout=60)


def sealed_octets(site):
    return site.peer()["tx_bytes"]


def cipher_mbit(site):
    """Inner Mbit/s of the cipher alone, packets of the tunnel's MTU."""
    text = site.run(labs.BIN / "cipher_rate", "--seconds", 1, echo=False, timeout=30).stdout
    return json.loads(text)["inner_mbit"]


def measure_all(a, b, say):
    """Interleaved: the cipher alone, the bare carrier, the tunnel."""
    rows = {"cipher": [], "bare": [], "goodput": [], "sealed": []}
    for _ in range(REPETITIONS):
        rows["cipher"].append(cipher_mbit(a))
        rows["bare"].append(measure.iperf_tcp(a, b, HOSTS[b.name][0], 2))
        before, begin = sealed_octets(a), time.monotonic()
        rows["goodput"].append(measure.iperf_tcp(a, b, HOSTS[b.name][2], SECONDS))
        rows["sealed"].append((sealed_octets(a) - before) * 8 / 1e6 / (time.monotonic() - begin))
    middle = {name: statistics.median(values) for name, values in rows.items()}
    share = middle["sealed"] / middle["cipher"]
    say(f"  one TCP stream, Blowfish: {middle['goodput']:.0f} Mbit/s ({middle['sealed']:.0f} of "
        f"inner packets sealed); libgcrypt's Blowfish-CBC alone on one core "
        f"{middle['cipher']:.0f} ({share:.0%}); bare carrier {middle['bare']:.0f}")
    return {"cipher": "blowfish", "tunnel_mbit": round(middle["goodput"], 1),
            "sealed_inner_mbit": round(middle["sealed"], 1),
            "libgcrypt_cbc_inner_mbit": round(middle["cipher"], 1), "share": round(share, 4),
            "bare_mbit": round(middle["bare"], 1),
            "runs": {name: [round(v, 1) for v in values] for name, values in rows.items()}}


def offer_modprobe(lab, say):
    """The HOWTO's `modprobe cipcb`: where the file for it is, and that it works."""
    say(f"\nFor the HOWTO's `modprobe cipcb`: cp {MODPROBE_FILE.relative_to(labs.ROOT)} "
        "/etc/modprobe.d/   (tools/install does that)")
    program = shutil.which("modprobe", path=labs.command_environment()["PATH"])
    if program is None:
        return say("  modprobe is not installed here: not tried")
    place = lab.directory / "modprobe.d"
    place.mkdir()
    shutil.copy(MODPROBE_FILE, place)
    for module in ("cipcb", "cipci"):
        lab.run(program, "-C", place, module)
    return say("  tried with a directory of its own: both modules \"load\"")


def show(say, keep):
    """The figures of the JSON document."""
    with labs.Lab(echo=say, keep=keep) as lab:
        a, b = two_hosts(lab, say)
        offer_modprobe(lab, say)
        say("\nThe HOWTO's two commands, and its pings")
        start(a, b)
        start(b, a)
        for site, peer in ((a, b), (b, a)):
            labs.ping(site, HOSTS[peer.name][2])
        for site in (a, b):
            say(f"$ cipectl show        # {site.name}")
            say(site.cipectl("show", echo=False).stdout.rstrip())
        shown = json.loads(a.cipectl("-j", "show", "tunnels", echo=False).stdout)["tunnels"][0]
        if shown["protocol"] != 3 or not shown["insecure"]:
            raise labs.LabError(f"not shown as an insecure tunnel of protocol 3: {shown}")
        say("\nSpeed, medians of interleaved repetitions")
        figures = measure_all(a, b, say)
        if not keep:
            for site in (a, b):
                site.down("cipcb0")
                site.stop_daemon()
    if figures["share"] < LEAST_SHARE:
        raise labs.LabError(f"the tunnel seals {figures['share']:.0%} of what libgcrypt does alone on "
                            f"one core; at least {LEAST_SHARE:.0%} is expected: {figures['runs']}")
    return {"classic": figures}
