"""A peer of protocol 5, written from docs/protocol.md alone: frames, handshakes, sessions.

Nothing in this file does I/O or reads a clock; live_peer.py adds the socket and the timers. What
cannot be accepted raises cipe_noise.Drop and changes nothing.
"""

import copy
import dataclasses
import ipaddress
import os

from cipe_noise import (IKPSK2, NNPSK0, SUITES, AES_GCM, Drop, Noise, blake2s_128, blake2s_256,
                        public_key)

INITIATION, RESPONSE, COOKIE_REPLY, DATA = 0x51, 0x52, 0x53, 0x54
INITIATION_OCTETS = {IKPSK2: 196, NNPSK0: 156}
RESPONSE_OCTETS, COOKIE_REPLY_OCTETS, DATA_OCTETS = 148, 56, 32
NO_MAC = bytes(16)
WINDOW = 8192
COUNTER_LIMITS = {1: 2**28, 2: 2**60 + 2**32}


def index_octets(index):
    return index.to_bytes(4, "little")


def random_index():
    """Lane bits zero."""
    return int.from_bytes(os.urandom(4), "little") & ~63


# -- payloads ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Parameters:
    """The parameter block. Tunnel addresses are text, or None."""

    node_id: bytes
    lanes: int = 1
    mtu: int = 1420
    ipv4: str = None
    ipv6: str = None

    def encode(self):
        ipv4 = ipaddress.IPv4Address(self.ipv4).packed if self.ipv4 else bytes(4)
        ipv6 = ipaddress.IPv6Address(self.ipv6).packed if self.ipv6 else bytes(16)
        return (self.node_id + bytes([self.lanes, 0]) + self.mtu.to_bytes(2, "little") + ipv4 + ipv6
                + bytes(8))

    @staticmethod
    def decode(block):
        ipv4, ipv6 = ipaddress.IPv4Address(block[20:24]), ipaddress.IPv6Address(block[24:40])
        mtu = int.from_bytes(block[18:20], "little")
        first = ipv4.packed[0]
        if (not any(block[0:16]) or not 1 <= block[16] <= 64 or block[17] or mtu < 68
                or any(block[40:48]) or (int(ipv4) and (first in (0, 127) or first >= 224))
                or ipv6.is_loopback or ipv6.is_multicast):
            raise Drop("hs_bad_parameters")
        return Parameters(block[0:16], block[16], mtu, str(ipv4) if int(ipv4) else None,
                          str(ipv6) if int(ipv6) else None)


def tai64n(unix_nanoseconds):
    """12 octets, rounded down to 20 ms."""
    rounded = unix_nanoseconds - unix_nanoseconds % 20_000_000
    seconds, nanoseconds = divmod(rounded, 10**9)
    return (2**62 + 10 + seconds).to_bytes(8, "big") + nanoseconds.to_bytes(4, "big")


def check_tai64n(stamp):
    label, nanoseconds = int.from_bytes(stamp[:8], "big"), int.from_bytes(stamp[8:], "big")
    seconds = label - 2**62 - 10
    if seconds < 0 or nanoseconds >= 10**9 or seconds * 10**9 + nanoseconds >= 2**63:
        raise Drop("hs_bad_parameters")


# -- identities -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Identity:
    """What one end knows about itself and its one peer.

    own_* keys check what we receive, peer_* keys make what we send.
    """

    pattern: int
    psk: bytes
    own_mac1_key: bytes
    peer_mac1_key: bytes
    own_cookie_key: bytes
    peer_cookie_key: bytes
    key_id: bytes = b""
    static: bytes = None
    peer_public: bytes = None


def public_keys_identity(private, peer_public, psk=bytes(32)):
    own = public_key(private)
    mac1_key, cookie_key = b"CIPE5 mac1 key", b"CIPE5 cookie key"
    return Identity(IKPSK2, psk, blake2s_256(mac1_key + own), blake2s_256(mac1_key + peer_public),
                    blake2s_256(cookie_key + own), blake2s_256(cookie_key + peer_public),
                    static=private, peer_public=peer_public)


def shared_key_identity(key):
    """For 16 or 32 octets; the KDF is HKDF-SHA256 whatever the suite."""
    sha256 = SUITES[AES_GCM]
    prk, size = sha256.extract(b"CIPE5 shared key", key), bytes([len(key)])
    mac1_key = sha256.expand(prk, b"CIPE5 mac1 key" + size)
    cookie_key = sha256.expand(prk, b"CIPE5 cookie key" + size)
    return Identity(NNPSK0, sha256.expand(prk, b"CIPE5 psk" + size), mac1_key, mac1_key, cookie_key,
                    cookie_key, key_id=sha256.expand(prk, b"CIPE5 key id" + size, 8))


# -- sessions ---------------------------------------------------------------------------------------


class ReplayWindow:
    """One lane's received counters."""

    def __init__(self):
        self.greatest, self._seen = -1, set()

    def check(self, counter):
        if counter <= self.greatest - WINDOW:
            raise Drop("rx_too_old")
        if counter in self._seen:
            raise Drop("rx_replayed")

    def mark(self, counter):
        self._seen.add(counter)
        if counter > self.greatest:
            self.greatest = counter
            self._seen = {kept for kept in self._seen if kept > counter - WINDOW}


class Session:
    """Keys of one finished handshake; `remote` are the other end's Parameters."""

    def __init__(self, noise, local_index, remote_index, lanes, remote):
        initiator_key, responder_key = noise.split()
        self.suite, self.initiator = noise.suite, noise.initiator
        self.send_key, self.receive_key = ((initiator_key, responder_key) if noise.initiator
                                           else (responder_key, initiator_key))
        self.handshake_hash = noise.hash
        self.local_index, self.remote_index = local_index, remote_index
        self.lanes, self.remote = lanes, remote
        self.counters, self.windows = {}, {}
        self.confirmed = noise.initiator  # a responder sends only after the first frame opened

    def lane_key(self, direction_key, lane):
        return self.suite.expand(direction_key, b"CIPE5 lane" + bytes([lane]))

    def seal(self, plaintext, lane=0, counter=None):
        """A data frame. A counter given by the caller is for tests and is not remembered."""
        if counter is None:
            counter = self.counters.get(lane, 0)
            self.counters[lane] = counter + 1
        header = (bytes([DATA, 0, 0, 0]) + index_octets(self.remote_index | lane)
                  + counter.to_bytes(8, "little"))
        return header + self.suite.seal(self.lane_key(self.send_key, lane),
                                        self.suite.nonce(counter), header, plaintext)

    def open(self, frame):
        """(lane, plaintext) of a data frame for this session; in the order of section 6.4."""
        if len(frame) < DATA_OCTETS:
            raise Drop("rx_truncated")
        if frame[0] != DATA:
            raise Drop("rx_unknown_type")
        if any(frame[1:4]):
            raise Drop("rx_reserved_bits")
        index = int.from_bytes(frame[4:8], "little")
        lane, counter = index & 63, int.from_bytes(frame[8:16], "little")
        if index - lane != self.local_index:
            raise Drop("rx_unknown_session")
        if lane >= self.lanes:
            raise Drop("rx_unknown_lane")
        if counter >= COUNTER_LIMITS[self.suite.number]:
            raise Drop("rx_counter_limit")
        window = self.windows.get(lane, ReplayWindow())
        window.check(counter)
        plaintext = self.suite.open(self.lane_key(self.receive_key, lane), self.suite.nonce(counter),
                                    frame[:16], frame[16:], "rx_bad_tag")
        window.mark(counter)
        self.windows[lane] = window
        self.confirmed = True
        return lane, plaintext


# -- control frames ---------------------------------------------------------------------------------


def _prologue(initiation):
    return b"CIPE5 handshake" + initiation[0:8]


def _check_header(frame, pattern, suite, octets):
    if len(frame) != octets:
        raise Drop("hs_bad_length")
    if frame[3]:
        raise Drop("hs_reserved_bits")
    if frame[1] != pattern:
        raise Drop("hs_other_pattern")
    if frame[2] != suite.number:
        raise Drop("hs_other_suite")


def _index(frame, start):
    index = int.from_bytes(frame[start:start + 4], "little")
    if index & 63:
        raise Drop("hs_reserved_bits")
    return index


def _sealed_cookie(suite, cookie_key, salt, mac1, cookie):
    key = suite.expand(suite.extract(salt, cookie_key), b"CIPE5 cookie reply")
    return suite.seal(key, bytes(12), mac1, cookie)


def make_cookie_reply(identity, suite, initiation, cookie, salt=None):
    """Made by the responder; `cookie` is what the initiator's mac2 must be keyed with."""
    salt = salt or os.urandom(16)
    mac1 = initiation[-32:-16]
    return (bytes([COOKIE_REPLY, identity.pattern, suite.number, 0]) + initiation[4:8] + salt
            + _sealed_cookie(suite, identity.own_cookie_key, salt, mac1, cookie))


class Initiator:
    """One attempt: the initiation is `frame`; read_response or read_cookie take what comes back."""

    def __init__(self, identity, suite, parameters, stamp, index=None, ephemeral=None, cookie=None):
        self.identity, self.suite, self.parameters = identity, suite, parameters
        self.index = random_index() if index is None else index
        header = bytes([INITIATION, identity.pattern, suite.number, 0]) + index_octets(self.index)
        ephemeral = ephemeral or os.urandom(32)
        self.ephemeral_public = public_key(ephemeral)
        self._noise = Noise(identity.pattern, suite, True, _prologue(header), ephemeral,
                            identity.psk, identity.static, identity.peer_public)
        frame = (header + identity.key_id
                 + self._noise.write_message(parameters.encode() + stamp))
        frame += blake2s_128(identity.peer_mac1_key, frame)
        self.frame = frame + (blake2s_128(cookie, frame) if cookie else NO_MAC)

    def read_response(self, frame):
        """The Session. May be called again after a Drop."""
        _check_header(frame, self.identity.pattern, self.suite, RESPONSE_OCTETS)
        remote_index = _index(frame, 4)
        if _index(frame, 8) != self.index:
            raise Drop("hs_unknown_index")
        if frame[116:132] != blake2s_128(self.identity.own_mac1_key, frame[:116]):
            raise Drop("hs_bad_mac1")
        noise = copy.copy(self._noise)
        try:
            payload = noise.read_message(frame[12:116])
        except Drop as drop:
            if self.identity.pattern == IKPSK2 and str(drop) == "hs_decrypt_failed":
                raise Drop("hs_wrong_psk") from drop
            raise
        remote = Parameters.decode(payload[:48])
        if payload[48:52] != index_octets(self.index) or payload[52:56] != frame[4:8]:
            raise Drop("hs_bad_parameters")
        if remote.node_id == self.parameters.node_id:
            raise Drop("hs_reflected")
        return Session(noise, self.index, remote_index, self.parameters.lanes, remote)

    def read_cookie(self, frame):
        """The cookie, for the next attempt."""
        _check_header(frame, self.identity.pattern, self.suite, COOKIE_REPLY_OCTETS)
        if _index(frame, 4) != self.index:
            raise Drop("hs_unknown_index")
        suite, salt, mac1 = self.suite, frame[8:24], self.frame[-32:-16]
        key = suite.expand(suite.extract(salt, self.identity.peer_cookie_key),
                           b"CIPE5 cookie reply")
        return suite.open(key, bytes(12), mac1, frame[24:], "hs_bad_cookie")


class Responder:
    """The answering half of one peer. `floor` is the greatest time stamp it accepted."""

    def __init__(self, identity, suite, parameters):
        self.identity, self.suite, self.parameters = identity, suite, parameters
        self.floor = bytes(12)
        self.cookie = None  # while set, we claim to be under load and mac2 must be keyed with it

    def answer(self, initiation, index=None, ephemeral=None):
        """(response frame, Session), or (cookie reply, None) under load."""
        identity, octets = self.identity, INITIATION_OCTETS[self.identity.pattern]
        _check_header(initiation, identity.pattern, self.suite, octets)
        remote_index = _index(initiation, 4)
        body = 8 + len(identity.key_id)
        if initiation[8:body] != identity.key_id:
            raise Drop("hs_unknown_peer")
        if initiation[-32:-16] != blake2s_128(identity.own_mac1_key, initiation[:-32]):
            raise Drop("hs_bad_mac1")
        if self.cookie and initiation[-16:] != blake2s_128(self.cookie, initiation[:-16]):
            return make_cookie_reply(identity, self.suite, initiation, self.cookie), None
        noise = Noise(identity.pattern, self.suite, False, _prologue(initiation),
                      ephemeral or os.urandom(32), identity.psk, identity.static)
        payload = noise.read_message(initiation[body:-32])
        if noise.remote_static != identity.peer_public:
            raise Drop("hs_unknown_peer")
        remote = Parameters.decode(payload[:48])
        check_tai64n(payload[48:])
        if remote.node_id == self.parameters.node_id:
            raise Drop("hs_reflected")
        if payload[48:] <= self.floor:
            raise Drop("hs_replayed")
        self.floor = payload[48:]
        index = random_index() if index is None else index
        header = (bytes([RESPONSE, identity.pattern, self.suite.number, 0]) + index_octets(index)
                  + initiation[4:8])
        frame = header + noise.write_message(self.parameters.encode() + initiation[4:8]
                                             + index_octets(index))
        frame += blake2s_128(identity.peer_mac1_key, frame) + NO_MAC
        return frame, Session(noise, index, remote_index, self.parameters.lanes, remote)
