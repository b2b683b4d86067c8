"""The peer of cipe_peer.py on a UDP socket, with the timers a test needs, and inner ICMP packets.

One thread, no surprises: nothing is sent or received but inside poll() and the calls that say so.
"""

import collections
import ipaddress
import os
import select
import struct
import time

from cipe_peer import COOKIE_REPLY, DATA, INITIATION, RESPONSE, Initiator, Responder, tai64n
from cipe_noise import Drop

KEEPALIVE_SECONDS = 10
INITIATION_SPACING = 0.025  # the document's 20 ms between two accepted ones, and a little
CONTROL_ECHO_REQUEST, CONTROL_ECHO_REPLY, CONTROL_PARAMETERS, CONTROL_CLOSE = 1, 2, 3, 4


class Timeout(AssertionError):
    """What was waited for did not come."""


# -- inner packets ----------------------------------------------------------------------------------


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def icmp_echo(source, destination, request, identifier=1, sequence=1, payload=b"interop"):
    """An IPv4 or IPv6 packet with an ICMP echo request or reply."""
    source, destination = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    body = struct.pack("!HH", identifier, sequence) + payload
    if source.version == 4:
        message = bytes([8 if request else 0, 0])
        message += struct.pack("!H", checksum(message + bytes(2) + body)) + body
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(message), 0, 0, 64, 1, 0)
        header += source.packed + destination.packed
        return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + message
    message = bytes([128 if request else 129, 0])
    pseudo = source.packed + destination.packed + struct.pack("!II", 4 + len(body), 58)
    message += struct.pack("!H", checksum(pseudo + message + bytes(2) + body)) + body
    header = struct.pack("!IHBB", 6 << 28, len(message), 58, 64)
    return header + source.packed + destination.packed + message


def read_icmp_echo(packet):
    """(request?, source, destination, identifier, sequence, payload), or None for other packets."""
    if packet[0] >> 4 == 4 and packet[9] == 1:
        start, kinds, addresses = (packet[0] & 15) * 4, {8: True, 0: False}, (12, 16, 20)
        body = packet[start:]
        good = checksum(packet[:start]) == 0 and checksum(body) == 0
    elif packet[0] >> 4 == 6 and packet[6] == 58:
        kinds, addresses = {128: True, 129: False}, (8, 24, 40)
        body = packet[40:]
        good = checksum(packet[8:40] + struct.pack("!II", len(body), 58) + body) == 0
    else:
        return None
    if body[0] not in kinds or not good:
        return None
    first, second, third = addresses
    identifier, sequence = struct.unpack("!HH", body[4:8])
    return (kinds[body[0]], str(ipaddress.ip_address(packet[first:second])),
            str(ipaddress.ip_address(packet[second:third])), identifier, sequence, body[8:])


def trimmed(packet):
    """Without what follows the length its IP header says."""
    if packet[0] >> 4 == 4:
        return packet[:int.from_bytes(packet[2:4], "big")]
    return packet[:40 + int.from_bytes(packet[4:6], "big")]


# -- the peer ---------------------------------------------------------------------------------------


class LivePeer:
    """What arrives is kept in the lists below; a test waits until they hold what it expects."""

    def __init__(self, sock, identity, suite, parameters):
        self.socket, self.identity, self.suite, self.parameters = sock, identity, suite, parameters
        self.responder = Responder(identity, suite, parameters)
        self.initiator, self.cookie = None, None
        self.remote = None  # where to send
        self.sessions, self.current = [], None
        self.answer_initiations = self.answer_pings = True
        self.answer_questions = self.send_keepalives = True
        self.frames = []  # (octets, source, monotonic seconds) of everything
        self.responses = []  # our own
        self.packets, self.controls, self.keepalives = [], [], []  # (content, lane, session)
        self.questions = []  # frames that were echo requests: ciped asks the path when it likes
        self.drops = collections.Counter()
        self._last_stamp, self._last_made = 0, 0
        self._heard, self._sent = None, None

    # -- handshake --

    def stamp(self):
        """A time stamp above all before, whatever the clock does."""
        self._last_stamp = max(time.time_ns(), self._last_stamp + 20_000_000)
        return tai64n(self._last_stamp)

    def make_initiation(self, **options):
        """Not sooner after the one before than a responder takes it."""
        time.sleep(max(0, self._last_made + INITIATION_SPACING - time.monotonic()))
        self._last_made = time.monotonic()
        return Initiator(self.identity, self.suite, self.parameters,
                         options.pop("stamp", None) or self.stamp(), cookie=self.cookie, **options)

    def initiate(self, remote=None, **options):
        self.remote = remote or self.remote
        self.initiator = self.make_initiation(**options)
        self.send_frame(self.initiator.frame)

    def connect(self, remote=None, timeout=10):
        """A session we are the initiator of; tries again every second."""
        count = len(self.sessions)
        deadline = time.monotonic() + timeout
        while len(self.sessions) == count:
            if time.monotonic() > deadline:
                raise Timeout(f"no response within {timeout} s; drops: {dict(self.drops)}")
            self.initiate(remote)
            self.poll_until(lambda: len(self.sessions) > count, 1)
        return self.sessions[-1]

    # -- sending --

    def send_frame(self, frame, remote=None):
        self.socket.sendto(frame, remote or self.remote)

    def send(self, plaintext, session=None, lane=0):
        """One data frame; its octets, so that a test can send them again."""
        frame = (session or self.current).seal(plaintext, lane)
        self.send_frame(frame)
        if plaintext:  # a keepalive is nothing the other end would have to answer for
            self._sent, self._heard = time.monotonic(), None
        return frame

    # -- receiving --

    def poll(self, timeout):
        """Waits for one datagram and treats it. False when none came."""
        if self.send_keepalives and self._heard and time.monotonic() - self._heard >= KEEPALIVE_SECONDS:
            self._heard = None
            self.send(b"")
        if not select.select([self.socket], [], [], timeout)[0]:
            return False
        frame, source = self.socket.recvfrom(65536)
        source = source[:2]
        self.frames.append((frame, source, time.monotonic()))
        handlers = {INITIATION: self._on_initiation, RESPONSE: self._on_response,
                    COOKIE_REPLY: self._on_cookie, DATA: self._on_data}
        try:
            if not frame or frame[0] not in handlers:
                raise Drop("rx_unknown_type")
            handlers[frame[0]](frame, source)
        except Drop as drop:
            self.drops[str(drop)] += 1
        return True

    def poll_until(self, condition, timeout):
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.poll(min(left, 0.2))
        return True

    def wait(self, what, condition, timeout=10):
        if not self.poll_until(condition, timeout):
            raise Timeout(f"waited {timeout} s for {what}; drops: {dict(self.drops)}, frames: "
                          f"{[frame[0][:16].hex() for frame in self.frames[-5:]]}")

    def listen(self, seconds):
        """Treats all that comes for a while; the frames that came, but for echo requests."""
        count = len(self.frames)
        self.poll_until(lambda: False, seconds)
        return self.frames_since(count)

    def frames_since(self, count):
        return [frame for frame, _, _ in self.frames[count:] if frame not in self.questions]

    def of_type(self, first_octet):
        return [entry for entry in self.frames if entry[0][:1] == bytes([first_octet])]

    def _on_initiation(self, frame, source):
        if not self.answer_initiations:
            return
        answer, session = self.responder.answer(frame)
        self.responses.append(answer)
        if session:
            self.sessions.append(session)
        self.send_frame(answer, source)

    def _on_response(self, frame, source):
        if self.initiator is None:
            raise Drop("hs_unknown_index")
        self.take_response(frame)

    def take_response(self, frame):
        session = self.initiator.read_response(frame)
        self.initiator = None
        self.sessions.append(session)
        self.current = session
        self.send(b"")  # confirms the session at the responder

    def _on_cookie(self, frame, source):
        if self.initiator is None:
            raise Drop("hs_unknown_index")
        self.cookie = self.initiator.read_cookie(frame)

    def _on_data(self, frame, source):
        for session in reversed(self.sessions):
            if session.local_index == int.from_bytes(frame[4:8], "little") & ~63:
                break
        else:
            raise Drop("rx_unknown_session")
        fresh = not session.confirmed
        lane, plaintext = session.open(frame)
        if fresh:  # our session as responder was next and is current now
            self.current, self.remote = session, source
        if not plaintext:
            self.keepalives.append((plaintext, lane, session))
            return
        if plaintext[0] >> 4 in (4, 6):
            self._heard = self._heard or time.monotonic()
            self._on_packet(trimmed(plaintext), lane, session)
        elif plaintext[0] == 0:
            self._on_control(frame, plaintext, lane, session)
        else:
            raise Drop("rx_bad_inner")

    def _on_control(self, frame, plaintext, lane, session):
        if plaintext[1] != CONTROL_ECHO_REQUEST:
            self.controls.append((plaintext, lane, session))
            return
        self.questions.append(frame)
        if self.answer_questions:
            answer = plaintext[4:12] + len(plaintext).to_bytes(2, "little")
            self.control(CONTROL_ECHO_REPLY, answer, session=session)

    def _on_packet(self, packet, lane, session):
        self.packets.append((packet, lane, session))
        echo = read_icmp_echo(packet)
        if echo and echo[0] and self.answer_pings:
            _, source, destination, identifier, sequence, payload = echo
            self.send(icmp_echo(destination, source, False, identifier, sequence, payload), session,
                      lane)

    # -- what tests ask for --

    def ping(self, source, destination, size=32, session=None, lane=0, wait=3, padding=0):
        """Sends an inner echo request; the lane its correct reply came on, or None."""
        identifier, payload = int.from_bytes(os.urandom(2), "big"), os.urandom(size)
        expected = (False, destination, source, identifier, 1, payload)
        count = len(self.packets)
        self.send(icmp_echo(source, destination, True, identifier, 1, payload) + bytes(padding),
                  session, lane)

        def answers():
            return [entry for entry in self.packets[count:]
                    if read_icmp_echo(entry[0]) == expected]

        self.poll_until(answers, wait)
        return answers()[0][1] if answers() else None

    def control(self, kind, value=b"", padding=0, session=None):
        plaintext = bytes([0, kind]) + len(value).to_bytes(2, "little") + value + bytes(padding)
        return self.send(plaintext, session)
