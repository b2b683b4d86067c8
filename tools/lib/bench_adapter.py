"""A contestant's adapter: a program with the verbs describe, up and down. docs/performance.md has
the contract for those who write one."""

import dataclasses
import pathlib
import subprocess

import lab as labs

PORT = 6789
# The greatest that fits 1500 octets in all of them (tinc adds most), and 1400 octets of UDP fit it.
MTU = 1436
DEVICE = "bench0"
CARRIER = "eth0"
NOT_HERE = 77
VERB_SECONDS = 40
ENDS = ("a", "b")
OUTER = {"a": "192.0.2.1", "b": "192.0.2.2"}
INNER = {"a": "10.9.0.1", "b": "10.9.0.2"}
KINDS = ("bare", "ours", "rival", "added")
ADAPTERS = labs.ROOT / "tools/adapters"


class NotHere(Exception):
    """The contestant cannot run on this machine; the text says why."""


@dataclasses.dataclass(frozen=True)
class Contestant:
    name: str
    kind: str             # one of KINDS: the carrier, ours, from Debian's packages, by --adapter
    adapter: pathlib.Path
    variant: str = ""


def built_in():
    """Everything that is measured when nobody asks for less."""
    def made(kind, name, file, variant=""):
        return Contestant(name, kind, ADAPTERS / file, variant)

    rungs = {"cipe-rung3": "socket", "cipe-rung2": "xdp", "cipe-afxdp": "afxdp"}
    ours = [made("ours", name + suffix, "cipe", f"{datapath} {suite} {lanes}")
            for suffix, suite, lanes in (("", "aes256gcm", 1), ("-chacha20", "chacha20poly1305", 1),
                                         ("-lanes2", "aes256gcm", 2))
            for name, datapath in rungs.items()]
    return [made("bare", "veth", "veth"), *ours,
            made("rival", "wireguard-go", "wireguard-go"),
            made("rival", "wireguard", "wireguard"),
            made("rival", "openvpn", "openvpn", "AES-256-GCM"),
            made("rival", "openvpn-chacha20", "openvpn", "CHACHA20-POLY1305"),
            made("rival", "fastd", "fastd"), made("rival", "tinc", "tinc")]


def added(text):
    """The Contestant of `--adapter FILE[:VARIANT]`; ValueError when FILE cannot be run."""
    file, _, variant = text.partition(":")
    path = pathlib.Path(file).resolve()
    if not path.is_file() or not path.stat().st_mode & 0o111:
        raise ValueError(f"--adapter {file}: no program; it must be a file that can be executed")
    name = path.stem + (f"-{variant}".replace(" ", "-") if variant else "")
    return Contestant(name, "added", path, variant)


def environment(contestant, directory, end=None):
    """Variables of one call. Without `end`: a describe before there is anything."""
    values = {"BENCH_VARIANT": contestant.variant, "BENCH_BIN": labs.BIN, "BENCH_MTU": MTU,
              "BENCH_DIR": directory, "BENCH_DEVICE": DEVICE, "BENCH_CARRIER": CARRIER,
              "BENCH_PORT": PORT}
    if end:
        far = ENDS[1 - ENDS.index(end)]
        values.update({"BENCH_END": end, "BENCH_LOCAL": INNER[end], "BENCH_REMOTE": INNER[far],
                       "BENCH_CARRIER_LOCAL": OUTER[end], "BENCH_CARRIER_REMOTE": OUTER[far]})
    return {name: str(value) for name, value in values.items()}


def parse_facts(text):
    """{key: value} of `key: value` lines; LabError names a line that is none."""
    facts = {}
    for line in filter(str.strip, text.splitlines()):
        key, colon, value = line.partition(": ")
        if not colon or not key.isidentifier():
            raise labs.LabError(f"describe: {line!r} is no line 'key: value'")
        facts[key] = value.strip()
    return facts


def call(contestant, verb, variables, namespace=None, log=None):
    """Runs one verb. With `log` its output goes there, and what it leaves in the background may keep
    writing to it; without, it is returned. NotHere and LabError with its last line."""
    words = ["ip", "netns", "exec", namespace] if namespace else []
    words += [str(contestant.adapter), verb]
    output = open(log, "a") if log else subprocess.PIPE
    try:
        result = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=output,
                                stderr=output if log else subprocess.PIPE, text=True,
                                timeout=VERB_SECONDS,
                                env={**labs.command_environment(), **variables})
    except subprocess.TimeoutExpired as error:
        raise labs.LabError(f"{verb}: not done after {VERB_SECONDS} s") from error
    except OSError as error:
        raise labs.LabError(f"{verb}: {error}") from error
    finally:
        if log:
            output.close()
    if result.returncode == 0:
        return result.stdout
    said = (pathlib.Path(log).read_text(errors="replace") if log else
            result.stderr or result.stdout)
    reason = last_line(said) or "it said nothing"
    if result.returncode == NOT_HERE and verb == "describe":
        raise NotHere(reason)
    raise labs.LabError(f"{verb}: exit {result.returncode}: {reason}")


def last_line(text):
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def describe(contestant, directory="/nonexistent"):
    """Its facts, as far as they are known before it runs. NotHere where it cannot."""
    facts = parse_facts(call(contestant, "describe", environment(contestant, directory)))
    for key in ("version", "settings"):
        if key not in facts:
            raise labs.LabError(f"describe: there is no line '{key}: ...'")
    return facts
