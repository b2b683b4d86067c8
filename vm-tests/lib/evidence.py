"""What goes over a wire, looked at from outside, and traffic whose arrival can be proven."""

import json
import pathlib
import struct

import pcap
from channel import VmError
from traffic import MARKER

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "guest/exchange.py"
PROGRAM = "/root/exchange.py"
NUMBERS = SOURCE.with_name("numbers.py")
NEIGHBOURS = range(130, 138)  # ICMPv6 of a link with itself: MLD, neighbour discovery (RFC 4443)
MLD2_REPORT = 143


class Tap:
    """A capture of one LAN, taken in the switch: inside `with` it runs, afterwards it can be read."""

    def __init__(self, lab, lan):
        self._lab, self.lan = lab, lan
        self.path = lab.directory / f"{lan}.pcap"

    def __enter__(self):
        self._lab.say(f"{self.lan}: capture begins")
        self._lab.switch.capture(self.lan, self.path)
        return self

    def __exit__(self, *_):
        self._lab.switch.capture(self.lan, None)

    def frames(self):
        return list(pcap.frames(self.path))

    def datagrams(self):
        return list(filter(None, map(pcap.datagram, self.frames())))

    def marked(self):
        """Frames in which the marker can be read."""
        return sum(MARKER in frame for frame in self.frames())

    def expect_sealed(self, port=6789, least=10):
        """Nothing but UDP of that port, and enough of it, besides what a link says to itself."""
        sealed = 0
        for frame in self.frames():
            if of_the_link(frame) or quotes_tunnel(frame, port):
                continue
            datagram = pcap.datagram(frame)
            if datagram is None or port not in (datagram.port, datagram.source_port):
                raise VmError(f"{self.lan}: in the clear: {frame[:90].hex(' ')}")
            sealed += 1
        if self.marked():
            raise VmError(f"{self.lan}: {self.marked()} frames with the marker in the clear")
        if sealed < least:
            raise VmError(f"{self.lan}: only {sealed} frames of the tunnel: nothing is shown by this")


def of_the_link(frame):
    """ARP, neighbour discovery, multicast listeners."""
    kind, = struct.unpack_from(">H", frame, 12)
    if kind != 0x86DD or len(frame) < 14 + 40 + 1:
        return kind == 0x0806
    following, at = frame[20], 54
    if following == 0 and len(frame) > at + 8:  # hop-by-hop options (router alert)
        following, at = frame[at], at + 8 * (frame[at + 1] + 1)
    return following == 58 and at < len(frame) and (
        frame[at] in NEIGHBOURS or frame[at] == MLD2_REPORT)


def quotes_tunnel(frame, port):
    """An ICMP error of a host that does not listen yet, about a datagram of the tunnel."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 1:
        return False
    at = 14 + 4 * (frame[14] & 15)
    quoted = frame[:14] + frame[at + 8:]
    datagram = pcap.datagram(quoted)
    return frame[at] == 3 and datagram is not None and port in (datagram.port, datagram.source_port)


def together(commands, timeout=60):
    """[(host, command)], all at the same time; what each printed."""
    jobs = [host.start(command, timeout) for host, command in commands]
    return [job.wait() for job in jobs]


def exchange(here, there, octets=1_000_000, datagrams=10, seconds=100):
    """`here`, `there`: (host, its addresses). From each to every address of the other, at the same
    time: TCP whose content is compared, and datagrams that hold the marker."""
    for host, _ in (here, there):
        host.put_file(PROGRAM, SOURCE)
    said = together([(host, f"python3 {PROGRAM} 7000 {octets} {datagrams} {MARKER.decode()} {seconds} "
                            f"{','.join(own)} {','.join(peers)}")
                     for (host, own), (_, peers) in ((here, there), (there, here))], seconds + 30)
    results = [last_json(text) for text in said]
    for (host, _), (other, addresses), result, peer in (
            (here, there, *results), (there, here, *reversed(results))):
        for address in addresses:
            way = f"from {host.name} to {other.name} ({address})"
            wrong = result["errors"] + peer["errors"]
            sent, received = result["sent"].get(address), peer["received"].get(address)
            if sent is None or sent != received or sent[0] != octets:
                raise VmError(f"TCP {way}: sent {sent}, received {received} {wrong}")
            if peer["datagrams"][address] < datagrams:
                raise VmError(f"UDP {way}: {peer['datagrams'][address]} of {datagrams} arrived {wrong}")


class Numbers:
    """Numbered datagrams between two sites, both ways and both families, from construction to end().
    As packets of SIZE octets, so that frames with one in them can be told on the carrier."""

    SIZE = 228
    FRAME = 16 + SIZE + 16  # octets of UDP payload: header, packet, tag

    def __init__(self, a, b, rate, seconds):
        """`a`, `b`: sites; `rate`: a second, way and family; `seconds`: the most that it may last."""
        self._jobs = {}
        for site, other in ((a, b), (b, a)):
            site.host.put_file("/root/numbers.py", NUMBERS)
            self._jobs[site] = site.host.start(
                f"mkdir /run/numbers; cd /run/numbers; exec python3 /root/numbers.py 7100 {rate} "
                f"{self.SIZE} {seconds} {site.inner4},{site.inner6} {other.inner4},{other.inner6}",
                seconds + 60)
        for site in self._jobs:
            site.host.wait_for("[ -e /run/numbers/ready ]", 60)
        together([(site.host, "touch /run/numbers/start") for site in self._jobs])

    def end(self):
        """{site: what its numbers.py reported}."""
        together([(site.host, "touch /run/numbers/stop") for site in self._jobs])
        results = {site: last_json(job.wait()) for site, job in self._jobs.items()}
        together([(site.host, "rm -r /run/numbers") for site in self._jobs])
        return results


def last_json(text):
    """The object that a program printed in its last line."""
    try:
        return json.loads(text.splitlines()[-1])
    except (IndexError, ValueError):
        raise VmError(f"no result but: {text[-300:]!r}") from None
