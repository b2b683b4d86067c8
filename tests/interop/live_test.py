"""The Python peer and a real ciped, in network namespaces: handshakes, traffic, sessions, control.

Needs root. CIPE_BIN_DIR names the directory of ciped and cipectl.
"""

import itertools
import os

import live_case
from live_case import Case, take_ping
import cipe_noise as noise
import cipe_peer as peer
import live_peer
from live_world import INNER, PORT, SUITE_NAMES, World

PATTERN_NAMES = {number: row[0].lower() for number, row in noise.PATTERNS.items()}


# -- handshakes and traffic -------------------------------------------------------------------------


class HandshakeTest(Case):
    """Every pattern, suite, outer family and role; one case each is added below."""

    def check_counted(self, world):
        shown = world.site.peer()
        self.assertTrue(shown["latest_handshake"])
        self.assertGreaterEqual(min(shown["rx_packets"], shown["tx_packets"]), 10)
        self.assertEqual(dict(world.drops()), {})

    def check_remote(self, session):
        """What ciped says of itself in its handshake message."""
        remote = session.remote
        self.assertEqual((remote.ipv4, remote.ipv6), (INNER[4][0], INNER[6][0]))
        self.assertEqual((remote.lanes, remote.mtu), (1, 1420))

    def as_initiator(self, world, datapath="auto"):
        world.up(interface={"Datapath": datapath})
        live = world.peer()
        self.check_remote(live.connect())
        self.check_traffic(world, live)
        self.check_counted(world)

    def as_responder(self, world, datapath="auto"):
        live = world.peer()
        world.up(endpoint=True, interface={"Datapath": datapath})
        live.wait("a session that ciped asked for", lambda: live.current)
        self.assertFalse(live.current.initiator)
        # "Send at once: what waits, or a keepalive": this is what made the session current.
        self.assertTrue(live.keepalives or live.packets)
        self.check_remote(live.current)
        self.check_traffic(world, live)
        self.check_counted(world)


def add_handshakes():
    def case(role, datapath, *arguments, **options):
        def run(self):
            with World(*arguments, **options) as world:
                getattr(self, role)(world, datapath)
        return run

    for pattern, suite, outer, role in itertools.product(
            noise.PATTERNS, noise.SUITES, (4, 6), ("as_initiator", "as_responder")):
        # With IPv6 outside IKpsk2 has a preshared key, with IPv4 none.
        psk = os.urandom(32) if pattern == noise.IKPSK2 and outer == 6 else None
        name = f"test_{PATTERN_NAMES[pattern]}_{SUITE_NAMES[suite]}_outer_v{outer}_{role}"
        setattr(HandshakeTest, name, case(role, "auto", pattern, suite, outer, psk))
    for datapath, outer, role in itertools.product(
            ("afxdp", "socket"), (4, 6), ("as_initiator", "as_responder")):
        name = f"test_{datapath}_outer_v{outer}_{role}"
        setattr(HandshakeTest, name, case(role, datapath, outer=outer))


add_handshakes()


class SessionTest(Case):

    def check_answers_come_under(self, live, session):
        """At once when ciped had nothing to change; else after its event loop came round."""
        live.wait("an answer under the other session",
                  lambda: take_ping(live) == 0 and live.packets[-1][2] is session, 3)

    def test_previous_session_is_still_received(self):
        with World() as world:
            world.up()
            live = world.peer()
            first, second = live.connect(), live.connect()
            self.check_answers_come_under(live, second)
            self.assertEqual(take_ping(live, session=first), 0)
            self.assertIs(live.packets[-1][2], second)  # answers go under the current one

    def test_nothing_is_sent_before_the_session_is_confirmed(self):
        with World() as world:
            world.up()
            live = world.peer()
            live.initiate()
            attempt, live.initiator = live.initiator, None  # keeps poll from taking the response
            live.wait("the response", lambda: live.of_type(peer.RESPONSE))
            ping = world.kernel_ping()
            live.listen(2)
            self.assertEqual(live.of_type(peer.DATA), [])
            ping.wait(timeout=10)
            live.initiator = attempt
            live.take_response(live.of_type(peer.RESPONSE)[0][0])
            self.assertEqual(take_ping(live), 0)

    def test_initiation_alone_does_not_move_the_endpoint(self):
        with World() as world:
            world.up()
            live, other = world.peer(), world.peer(PORT + 1)
            live.connect()
            self.assertEqual(take_ping(live), 0)
            other.parameters = live.parameters
            attempt = live.make_initiation()
            other.send_frame(attempt.frame)
            other.wait("the response", lambda: other.of_type(peer.RESPONSE))
            self.kernel_ping(world, live, 4)
            self.assertEqual(other.of_type(peer.DATA), [])
            other.initiator = attempt
            other.take_response(other.of_type(peer.RESPONSE)[0][0])  # sends a keepalive
            other.wait("an answer at the other port", lambda: take_ping(other, wait=0.5) == 0)
            self.kernel_ping(world, other, 4)

    def test_roaming_and_no_way_back_by_replay(self):
        with World(noise.NNPSK0, noise.CHACHA_POLY) as world:
            world.up()
            live = world.peer()
            live.connect()
            old = live.send(live_peer.icmp_echo(INNER[4][1], INNER[4][0], False))
            first, live.socket = live.socket, world.open_socket(PORT + 7)
            live.wait("an answer at the new port", lambda: take_ping(live, wait=0.5) == 0)
            first.sendto(old, live.remote)
            world.wait_drop("rx_replayed")
            self.kernel_ping(world, live, 4)

    def cross(self, live, ours_greater):
        """Our initiation, then our response to ciped's; not confirmed: it has sent the next one since."""
        def newest(kind):
            return live.of_type(kind)[-1][0]

        theirs, responses = newest(peer.INITIATION), len(live.of_type(peer.RESPONSE))
        while True:
            attempt = live.make_initiation()
            if (attempt.ephemeral_public > theirs[8:40]) == ours_greater:
                break
        live.send_frame(attempt.frame)
        live.wait("the response", lambda: len(live.of_type(peer.RESPONSE)) > responses)
        # ciped's own attempt ends with the first frame we send under our session, so before it.
        answer, other = live.responder.answer(theirs)
        live.sessions.append(other)
        live.send_frame(answer)
        live.wait("the first frame under ciped's session, or its next initiation",
                  lambda: other.confirmed or newest(peer.INITIATION) != theirs)
        return attempt, other

    def both_at_once(self, ours_greater):
        with World() as world:
            live = world.peer()
            live.answer_initiations = False
            world.up(endpoint=True)
            live.wait("ciped's initiation", lambda: live.of_type(peer.INITIATION))
            for _ in range(10):
                attempt, other = self.cross(live, ours_greater)
                if other.confirmed:
                    break
            self.assertTrue(other.confirmed, "ciped does not take the response to its initiation")
            live.initiator = attempt
            live.take_response(live.of_type(peer.RESPONSE)[-1][0])
            ours = live.current
            expected = ours if ours_greater else other
            self.check_answers_come_under(live, expected)
            for session in (ours, other):  # both are received
                self.assertEqual(take_ping(live, session=session), 0)
                self.assertIs(live.packets[-1][2], expected)
            live.current = expected
            self.kernel_ping(world, live, 4)

    def test_both_at_once_our_ephemeral_is_greater(self):
        self.both_at_once(True)

    def test_both_at_once_theirs_is_greater(self):
        self.both_at_once(False)

    def test_a_confirmed_session_ends_ones_own_attempt(self):
        with World() as world:
            live = world.peer()
            live.answer_initiations = False
            world.up(endpoint=True)
            live.wait("ciped's initiation", lambda: live.of_type(peer.INITIATION))
            ours = live.connect()
            self.assertEqual(take_ping(live), 0)
            answer, _ = live.responder.answer(live.of_type(peer.INITIATION)[0][0])
            live.send_frame(answer)
            world.wait_drop("hs_unknown_index")
            self.assertEqual(take_ping(live), 0)
            self.assertIs(live.packets[-1][2], ours)

    def test_ciped_restarts(self):
        """A new session with the same keys, time stamps above those before."""
        with World(noise.NNPSK0) as world:
            live = world.peer()
            world.up(endpoint=True)
            live.wait("a session", lambda: live.current)
            before = live.current
            world.site.down("tun")
            world.site.up("tun", "--no-wait")
            live.wait("a session after the restart", lambda: live.current is not before)
            self.assertEqual(live.drops["hs_replayed"], 0)
            self.assertEqual(live.current.remote.node_id, before.remote.node_id)
            self.assertEqual(take_ping(live), 0)


class LaneTest(Case):

    def test_every_announced_lane_is_taken(self):
        with World() as world:
            world.up(interface={"Lanes": 4})
            live = world.peer(lanes=4)
            session = live.connect()
            self.assertEqual(session.remote.lanes, 4)
            for lane in range(4):
                self.assertIsNotNone(take_ping(live, lane=lane), f"lane {lane}")

    def test_any_lane_confirms_a_session(self):
        with World() as world:
            world.up(interface={"Lanes": 2})
            live = world.peer(lanes=2)
            live.initiate()
            live.send = lambda *_, **__: None  # swallows the keepalive on lane 0
            live.wait("the response", lambda: live.sessions)
            del live.send
            self.assertIsNotNone(take_ping(live, lane=1))


# -- in-tunnel control ------------------------------------------------------------------------------


class ControlTest(Case):

    def connected(self, world):
        world.up()
        live = world.peer()
        live.connect()
        return live

    def test_echo_request(self):
        with World() as world:
            live = self.connected(world)
            for padding in (0, 1, 1000):
                identifier = os.urandom(8)
                live.control(live_peer.CONTROL_ECHO_REQUEST, identifier, padding)
                count = len(live.controls)
                live.wait("an echo reply", lambda: len(live.controls) > count)
                size = (12 + padding).to_bytes(2, "little")
                self.assertEqual(live.controls[-1][0][:14], b"\0\2\x0a\0" + identifier + size)
                self.assertLess(len(live.controls[-1][0]), 12 + 1000)

    def test_echo_reply_is_not_answered(self):
        with World() as world:
            live = self.connected(world)
            live.control(live_peer.CONTROL_ECHO_REPLY, bytes(10))
            self.assertEqual(live.listen(1), [])

    def test_unknown_type_is_ignored(self):
        with World() as world:
            live = self.connected(world)
            live.control(200, b"what is this")
            self.assertEqual(take_ping(live), 0)
            self.assertNotIn("rx_bad_inner", world.drops())

    def test_wrong_length_is_dropped(self):
        with World() as world:
            live = self.connected(world)
            live.control(live_peer.CONTROL_ECHO_REQUEST, bytes(7))
            world.wait_drop("rx_bad_inner")
            self.assertEqual(live.controls, [])
            self.assertEqual(take_ping(live), 0)

    def test_close_ends_all_sessions(self):
        with World() as world:
            live = self.connected(world)
            self.assertEqual(take_ping(live), 0)
            # An answer that was on its way meanwhile makes ciped ask for a new session.
            live.answer_initiations = False
            live.control(live_peer.CONTROL_CLOSE)
            live.wait("silence", lambda: take_ping(live, wait=0.5) is None)
            live.send(b"")
            world.wait_drop("xdp_unknown_session", "rx_unknown_session")
            live.connect()
            self.assertEqual(take_ping(live), 0)


if __name__ == "__main__":
    live_case.main()
