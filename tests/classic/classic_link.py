"""One end of a protocol 3 link: keys, key exchange, timers, and an eye on how the other end behaves.

For tests. No I/O and no clock: times are arguments, in seconds (`now` monotonic, `unix` since 1970);
datagrams to send are returned. It does what 1999 did, but for `hold_data`: then data waits for
NK_ACK instead of going out under the static key, which a careful peer no longer takes.
"""

import collections
import dataclasses
import os

import classic_ciphers
import classic_wire as wire
from classic_wire import Drop

SEND_PACKETS, RECEIVE_PACKETS = 32767, 65534
PACKETS_BACK = 1000  # how far the count goes back when it was the reason to rekey
HELD = 64
MAX_COMPLAINTS = 20
RECORDED = 16


@dataclasses.dataclass
class Settings:
    key: bytes
    cipher: str = "blowfish"
    tokxc: float = 10
    tokey: float = 600
    tokxts: float = 0
    hold_data: bool = True
    send_packets: int = SEND_PACKETS
    receive_packets: int = RECEIVE_PACKETS


@dataclasses.dataclass
class Direction:
    """The dynamic key of one direction. `due` 0 means that the next packet is past it."""

    key: bytes = None
    cipher: object = None
    due: float = 0
    packets: int = 0

    def install(self, name, key, due):
        self.key, self.cipher, self.due, self.packets = key, classic_ciphers.make(name, key), due, 0

    def forget(self, due):
        self.key, self.cipher, self.due = None, None, due

    def expired(self, now, limit, tokxc):
        """The check after every packet; True when something is to be done about this key."""
        self.packets += 1
        many = self.packets > limit
        if not many and now <= self.due:
            return False
        self.due = now + tokxc
        if many:
            self.packets -= PACKETS_BACK
        return True


class Link:
    """`events` counts what happened, by name; `complaints` says what the peer did wrong."""

    def __init__(self, settings, random=os.urandom):
        self.settings, self._random = settings, random
        self.static = classic_ciphers.make(settings.cipher, settings.key)
        self.sending, self.receiving = Direction(), Direction()
        self.pending, self._offered = None, set()
        self.events, self.complaints, self.texts = collections.Counter(), [], []
        # Datagrams of each kind, newest last, by "in NK_IND" and the like: for replays.
        self.recorded = collections.defaultdict(lambda: collections.deque(maxlen=RECORDED))
        self._held = collections.deque(maxlen=HELD)
        self._seen_ivs, self._seen_keys = set(), set()
        self._peer_agreed = False  # the peer sent data under a dynamic key at some time

    # -- sending --

    def _seal(self, payload, kind, now, static=False):
        dynamic = self.sending.cipher is not None and not static
        datagram = wire.seal(self.sending.cipher if dynamic else self.static, payload, kind,
                             self._random(8), self._random(7), dynamic)
        return datagram, self.sending.expired(now, self.settings.send_packets, self.settings.tokxc)

    def _after_sealing(self, expired, now, unix):
        return self.start_exchange(now, unix) if expired else []

    def send_data(self, packet, now, unix):
        """Datagrams to send for one inner packet, in order."""
        if self.settings.hold_data and not self.sending.cipher:
            self._held.append(packet)
            if self.pending is None or now > self.sending.due:
                self.sending.due = now + self.settings.tokxc
                return self.start_exchange(now, unix)
            return []
        datagram, expired = self._seal(packet, wire.DATA, now)
        self.events["out DATA"] += 1
        self.recorded["out DATA"].append(datagram)
        return [datagram] + self._after_sealing(expired, now, unix)

    def send_block(self, kind, body, now, unix, static=False):
        filler = self._random(wire.BLOCK_OCTETS + self._random(1)[0])
        datagram, expired = self._seal(wire.block(kind, body, int(unix), filler), wire.NEWKEY, now,
                                       static)
        name = f"out {wire.KIND_NAMES.get(kind, kind)}"
        self.events[name] += 1
        self.recorded[name].append(datagram)
        return [datagram] + self._after_sealing(expired, now, unix)

    def start_exchange(self, now, unix):
        """Drops the sending key and offers a new one under the static key."""
        self.sending.forget(now + self.settings.tokxc)
        self.pending = self._random(16)
        self._offered.add(wire.crc(self.pending))
        return self.send_block(wire.NK_IND, wire.indication_body(self.pending), now, unix)

    def request_key(self, now, unix):
        return self.send_block(wire.NK_REQ, b"", now, unix)

    # -- receiving --

    def receive(self, datagram, now, unix, lost=lambda name: False):
        """(inner packets, datagrams to send). What is not acceptable is counted as "drop REASON".

        `lost` is asked with the name of what arrived; when it says yes nothing of it has arrived.
        """
        try:
            packet, name, content = self._open(datagram)
        except Drop as drop:
            self.events[f"drop {drop}"] += 1
            if str(drop) == "no_key" and now > self.receiving.due:
                self.receiving.due = now + self.settings.tokxc
                return [], self.request_key(now, unix)
            return [], []
        if lost(name):
            self.events[f"lost {name}"] += 1
            return [], []
        self._watch(datagram, packet, name, content, unix)
        self.events[f"in {name}"] += 1
        self.recorded[f"in {name}"].append(datagram)
        out = []
        if self.receiving.cipher and self.receiving.expired(
                now, self.settings.receive_packets, self.settings.tokxc):
            self.receiving.forget(self.receiving.due)
            out += self.request_key(now, unix)
        try:
            if content is not None:
                out += self._act(content, now, unix)
        except Drop as drop:
            self.events[f"drop {drop}"] += 1
        return [packet.payload] if packet.kind == wire.DATA else [], out

    def _open(self, datagram):
        wire.check_length(datagram)
        cipher = self.static
        if wire.uses_dynamic_key(datagram):
            cipher = self.receiving.cipher
            if cipher is None:
                raise Drop("no_key")
        packet = wire.open_packet(cipher, datagram)
        if packet.kind == wire.DATA:
            return packet, "DATA", None
        if packet.kind == wire.CTRL:
            return packet, "CTRL", None  # reserved: nothing is known of its meaning
        content = wire.read_block(packet.payload)
        return packet, content.name, content

    def _act(self, content, now, unix):
        tolerance = self.settings.tokxts
        if tolerance and abs(unix - content.seconds) > tolerance:
            raise Drop("old_time")
        if content.kind == wire.NK_REQ:
            return self.start_exchange(now, unix)
        if content.kind == wire.NK_IND:
            return self._take_key(content, now, unix)
        if content.kind == wire.NK_ACK:
            return self._acknowledged(content, now, unix)
        if content.kind == wire.CT_PING:
            return self.send_block(wire.CT_PONG, b"", now, unix)
        if content.kind == wire.CT_DEBUG:
            self.texts.append(content.text)
        return []

    def _take_key(self, content, now, unix):
        if wire.crc(content.key) != content.key_crc:
            raise Drop("bad_key_crc")
        self.receiving.install(self.settings.cipher, content.key, now + 2 * self.settings.tokey)
        self.events["receiving key"] += 1
        return self.send_block(wire.NK_ACK, wire.acknowledgement_body(content.key), now, unix)

    def _acknowledged(self, content, now, unix):
        if self.pending is None or wire.crc(self.pending) != content.key_crc:
            raise Drop("wrong_ack")
        self.sending.install(self.settings.cipher, self.pending, now + self.settings.tokey)
        self.pending = None
        self.events["sending key"] += 1
        out = []
        while self._held:
            out += self.send_data(self._held.popleft(), now, unix)
        return out

    # -- how the other end behaves --

    def _complain(self, condition, sentence):
        if condition and len(self.complaints) < MAX_COMPLAINTS:
            self.complaints.append(sentence)

    def _watch(self, datagram, packet, name, content, unix):
        self._complain(packet.trailer & 0x89, f"{name}: trailer {packet.trailer:#04x}")
        self._complain(packet.kind == wire.CTRL, "a packet of the reserved type CTRL")
        iv = datagram[:8]
        self._complain(iv in self._seen_ivs, f"{name}: the IV {iv.hex()} was used before")
        self._seen_ivs.add(iv)
        if packet.kind == wire.DATA:
            self._watch_data(packet)
        elif content is not None:
            self._watch_block(packet, content, unix)

    def _watch_data(self, packet):
        if packet.dynamic:
            self._peer_agreed = True
            self.events["in dynamic DATA"] += 1
        else:
            self.events["in static DATA"] += 1
            self._complain(self._peer_agreed, "data under the static key after an agreement")

    def _watch_block(self, packet, content, unix):
        name, octets = content.name, len(packet.payload)
        self._complain(not wire.BLOCK_OCTETS <= octets <= wire.BLOCK_OCTETS + wire.MAX_FILLER,
                       f"{name}: block of {octets} octets")
        self._complain(abs(content.seconds - unix) > 2,
                       f"{name}: time stamp is {content.seconds - unix:+.0f} s off")
        if content.kind >= wire.CT_DUMMY:
            self._complain(packet.payload[wire.TIME_AT - 1], f"{name}: octet 47 is not 0")
        if content.kind == wire.NK_IND:
            self._complain(packet.dynamic, "NK_IND under a dynamic key")
            self._complain(wire.crc(content.key) != content.key_crc, "NK_IND: CRC of the key")
            self._complain(content.key in self._seen_keys and content.key != self.receiving.key,
                           "NK_IND: an old key comes again")
            self._seen_keys.add(content.key)
        if content.kind == wire.NK_ACK:
            self._complain(content.key_crc not in self._offered, "NK_ACK: CRC of no key of ours")
