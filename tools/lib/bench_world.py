"""Two hosts, a carrier between them and one contestant's tunnel on it: made, checked and removed."""

import contextlib
import json
import pathlib
import signal

import bench_adapter as adapters
import lab as labs
import pcap
import traffic
import wire

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ANSWER_SECONDS = 20
MARKERS = 200
CLEAR_MARKERS = 10
MARKER_PORT = 9999
LARGE_PAYLOAD = 1400
LOG_LINES = 8


class World:
    """Use as a context manager; inside, the tunnel answers. `bridged`: with a bridge on the way, on
    which can be read what the carrier carries; without, the ends of one veth."""

    def __init__(self, contestant, echo, bridged=False):
        self.contestant, self.bridged = contestant, bridged
        self.lab = labs.Lab(echo=echo)
        self.sites, self.net, self.facts = {}, None, {}
        self.last_log = []  # of log_tail(), once the world is gone

    @property
    def a(self):
        return self.sites["a"]

    @property
    def b(self):
        return self.sites["b"]

    @property
    def address(self):
        """Of end b, through the tunnel."""
        return adapters.INNER["b"]

    @property
    def directory(self):
        return self.lab.directory / "tunnel"

    def __enter__(self):
        try:
            self._lay_carrier()
            self._bring_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self._take_down()
        finally:
            self.close()

    def close(self):
        # Whoever asks twice must not interrupt the cleaning; every wait in it is bounded.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
        signal.alarm(0)
        try:
            self.last_log = self.log_tail()
            self.lab.close()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _lay_carrier(self):
        self.directory.mkdir()
        self.sites = {end: self.lab.site(end) for end in adapters.ENDS}
        carrier = {end: [adapters.OUTER[end] + "/24"] for end in adapters.ENDS}
        if self.bridged:
            self.net = wire.bridge_between(self.lab, list(self.sites.values()), carrier)
        else:
            self.lab.veth(*((self.sites[end].namespace, adapters.CARRIER, carrier[end])
                            for end in adapters.ENDS))

    def _call(self, verb, end, log=True):
        return adapters.call(
            self.contestant, verb, adapters.environment(self.contestant, self.directory, end),
            self.sites[end].namespace, self.directory / f"{end}.log" if log else None)

    def _bring_up(self):
        for end in adapters.ENDS:
            self._call("up", end)
        labs.wait_for(f"an answer through the tunnel of {self.contestant.name}",
                      lambda: labs.ping(self.a, self.address, count=1, check=False),
                      ANSWER_SECONDS)
        for end in adapters.ENDS:
            self.facts[end] = adapters.parse_facts(self._call("describe", end, log=False))
        for end in adapters.ENDS:
            self._expect_route(end)

    def _take_down(self):
        for end in adapters.ENDS:
            self._call("down", end)

    # -- is it really the tunnel? --

    def device(self):
        """The netdev that packets to the far end must leave by."""
        clear = self.facts["a"].get("cleartext") == "yes"
        return adapters.CARRIER if clear else adapters.DEVICE

    def _expect_route(self, end):
        far = adapters.INNER["b" if end == "a" else "a"]
        route = json.loads(self.lab.quiet("ip", "-n", self.sites[end].namespace, "-j", "route",
                                          "get", far))[0]
        if route.get("dev") != self.device():
            raise labs.LabError(f"packets to {far} leave by {route.get('dev')}, not by "
                                f"{self.device()}")

    def device_octets(self, end):
        """(received, sent) of the netdev at this end. Octets, since one packet may carry many."""
        link = json.loads(self.lab.quiet("ip", "-n", self.sites[end].namespace, "-j", "-s", "link",
                                         "show", "dev", self.device()))[0]["stats64"]
        return link["rx"]["bytes"], link["tx"]["bytes"]

    def tunnel_pids(self):
        """Processes in both hosts now; taken while no traffic is generated, these are the tunnel's."""
        return [pid for site in self.sites.values() for pid in self.lab.pids(site.namespace)]

    def prove(self):
        """Sends a marker each way through the tunnel and some beside it, and reads on the bridge what
        the carrier carried; LabError unless it is what this contestant claims to be."""
        path = self.lab.directory / "bridge.pcap"
        before = {end: self.device_octets(end) for end in adapters.ENDS}
        with wire.capture(self.lab, self.net, path):
            arrived = [wire.send_markers(self.sites[one], self.sites[two], adapters.INNER[two],
                                         MARKER_PORT, MARKERS)
                       for one, two in (("a", "b"), ("b", "a"))]
            beside = wire.send_markers(self.a, self.b, adapters.OUTER["b"], MARKER_PORT,
                                       CLEAR_MARKERS)
            large = self._carries_large()
        after = {end: self.device_octets(end) for end in adapters.ENDS}
        crossed = min(after[end][way] - before[end][way] for end in adapters.ENDS for way in (0, 1))
        seen = read_capture(path)
        proof = {"sent_each_way": MARKERS, "arrived": arrived, "device_octets": crossed,
                 "carries_1400": large, **seen}
        judge(proof, beside, clear=self.device() == adapters.CARRIER)
        return proof

    def _carries_large(self):
        """True when what the largest datagrams of the measurements need goes through in one packet."""
        return self.a.run("ping", "-n", "-c", 5, "-i", "0.2", "-W", 1, "-M", "do", "-s",
                          LARGE_PAYLOAD, self.address, check=False).returncode == 0

    def log_tail(self):
        """The last lines of every log in the contestant's directory."""
        lines = []
        for path in sorted(pathlib.Path(self.directory).rglob("*.log")):
            with contextlib.suppress(OSError):
                text = path.read_text(errors="replace").splitlines()[-LOG_LINES:]
                lines += [f"{path.relative_to(self.directory)}: {line}" for line in text]
        return lines


def read_capture(path):
    """What the bridge carried: octets, fragments, and how many markers could be read: those sent
    beside the tunnel, as a control, and others."""
    inner = set(map(packed, adapters.INNER.values()))
    octets, inside, beside, fragments = 0, 0, 0, 0
    for frame in pcap.frames(path):
        octets += len(frame)
        fragments += is_fragment(frame)
        count = frame.count(traffic.MARKER)
        udp = pcap.datagram(frame)
        own = udp is not None and udp.port == MARKER_PORT and udp.destination not in inner
        if own:
            beside += count
        else:
            inside += count
    return {"carrier_octets": octets, "markers_readable": inside, "control_markers": beside,
            "fragments": fragments}


def is_fragment(frame):
    """True for a part of an IPv4 packet: more to follow, or not the first."""
    return (frame[12:14] == b"\x08\x00" and len(frame) >= 34
            and int.from_bytes(frame[20:22], "big") & 0x3FFF != 0)


def packed(address):
    return bytes(map(int, address.split(".")))


def judge(proof, beside, clear):
    """LabError unless the traffic crossed the tunnel, and nobody can read it (or everybody, `clear`)."""
    least = MARKERS * 9 // 10
    if min(proof["arrived"]) < least or beside < 1:
        raise labs.LabError(f"of {MARKERS} markers each way {proof['arrived']} arrived, and {beside} "
                            f"of {CLEAR_MARKERS} beside the tunnel")
    if proof["device_octets"] < least * len(traffic.MARKER):
        raise labs.LabError(f"the tunnel's netdev counted only {proof['device_octets']} octets")
    if proof["control_markers"] < 1:
        raise labs.LabError("the capture lacks even the markers that were sent beside the tunnel")
    if proof["carrier_octets"] < 2 * least * len(traffic.MARKER):
        raise labs.LabError(f"the carrier carried only {proof['carrier_octets']} octets")
    if clear and proof["markers_readable"] < 2 * least:
        raise labs.LabError(f"cleartext, but only {proof['markers_readable']} markers on the carrier")
    if not clear and proof["markers_readable"]:
        raise labs.LabError(f"{proof['markers_readable']} markers can be read on the carrier")
