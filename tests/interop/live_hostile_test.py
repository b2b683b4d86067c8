"""The Python peer and a real ciped, in network namespaces: what must be refused in silence.

Every frame that ciped must not take is counted by it under a reason, is not answered, and changes
nothing: the right frame is taken afterwards. Needs root. CIPE_BIN_DIR names the directory of ciped
and cipectl.
"""

import os

import live_case
from live_case import Together, take_ping
import cipe_noise as noise
import cipe_peer as peer
import lab as labs
import live_peer
from live_world import INNER, PORT, World

BURST = 64  # frames that surely fit into ciped's socket buffer
MAC2_OCTETS = 16


def with_one_bit_changed(frame, octets):
    """The frame with each bit of its first `octets` changed."""
    for bit in range(octets * 8):
        changed = bytearray(frame)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def cut(frame):
    """The frame at every shorter length, and one octet too long."""
    return [frame[:size] for size in range(len(frame))] + [frame + b"\0"]


class HostileCase(Together):

    def refused(self, world, live, frames, *reasons):
        """All frames are counted, for these reasons if some are given, and none is answered."""
        frames, before, heard = list(frames), world.drops(), len(live.frames)
        for start in range(0, len(frames), BURST):
            chunk = frames[start:start + BURST]
            for frame in chunk:
                live.send_frame(frame)
            expected = before.total() + start + len(chunk)
            labs.wait_for(f"{expected} counted drops",
                          lambda expected=expected: world.drops().total() >= expected)
        while live.poll(0):
            pass
        self.assertEqual([frame.hex() for frame in live.frames_since(heard)], [])
        counted = world.drops() - before
        self.assertEqual(counted.total(), len(frames), counted)
        if reasons:
            self.assertLessEqual(set(counted), set(reasons))
        return counted


class HandshakeTest(HostileCase):

    def changed_initiations(self, pattern, suite):
        with World(pattern, suite) as world:
            # On plain sockets: the XDP program limits control frames by source.
            world.up(interface={"Datapath": "socket"})
            live = world.peer()
            attempt = live.make_initiation()
            counted = self.refused(world, live, with_one_bit_changed(
                attempt.frame, len(attempt.frame) - MAC2_OCTETS))
            self.assertGreater(counted["hs_bad_mac1"], 700)
            self.refused(world, live, cut(attempt.frame), "hs_bad_length", "rx_unknown_type",
                         "rx_truncated")
            live.initiator = attempt
            live.send_frame(attempt.frame)
            live.wait("a session by the unchanged initiation", lambda: live.sessions)
            self.assertEqual(take_ping(live), 0)

    def wait_changed_initiation_ikpsk2(self):
        self.changed_initiations(noise.IKPSK2, noise.CHACHA_POLY)

    def wait_changed_initiation_nnpsk0(self):
        self.changed_initiations(noise.NNPSK0, noise.AES_GCM)

    def changed_responses(self, pattern, suite):
        with World(pattern, suite, psk=os.urandom(32)) as world:
            live = world.peer()
            live.answer_initiations = False
            world.up(endpoint=True, interface={"Datapath": "socket"})
            live.wait("an initiation", lambda: live.of_type(peer.INITIATION))
            answer, session = live.responder.answer(live.of_type(peer.INITIATION)[0][0])
            live.sessions.append(session)
            # Every eighth, and all of the header: ciped tries again after five seconds.
            changed = list(with_one_bit_changed(answer, len(answer) - MAC2_OCTETS))
            self.refused(world, live, changed[:96] + changed[96::8])
            self.refused(world, live, cut(answer)[100:])
            live.send_frame(answer)
            live.wait("the first frame after the right response", lambda: session.confirmed)
            self.assertEqual(take_ping(live), 0)

    def wait_changed_response_ikpsk2(self):
        self.changed_responses(noise.IKPSK2, noise.AES_GCM)

    def wait_changed_response_nnpsk0(self):
        self.changed_responses(noise.NNPSK0, noise.CHACHA_POLY)

    def wait_replayed_initiation(self):
        with World() as world:
            world.up()
            live = world.peer()
            early, late = live.make_initiation(), live.make_initiation()
            live.initiator = late
            live.send_frame(late.frame)
            live.wait("a session", lambda: live.sessions)
            self.assertEqual(take_ping(live), 0)
            live.listen(live_peer.INITIATION_SPACING)
            self.refused(world, live, [late.frame, early.frame], "hs_replayed")
            stale = live.make_initiation(stamp=peer.tai64n(10**18))
            self.refused(world, live, [stale.frame], "hs_clock_behind")
            self.assertEqual(take_ping(live), 0)
            live.connect()
            self.assertEqual(take_ping(live), 0)

    def wait_initiations_too_soon(self):
        with World(noise.NNPSK0) as world:
            world.up()
            live = world.peer()
            first, second = live.make_initiation(), live.make_initiation()
            live.send_frame(first.frame)
            live.send_frame(second.frame)
            world.wait_drop("hs_too_soon")
            live.connect()
            self.assertEqual(take_ping(live), 0)

    def wait_own_initiation_comes_back(self):
        for pattern, reason in ((noise.IKPSK2, "hs_bad_mac1"), (noise.NNPSK0, "hs_reflected")):
            with World(pattern) as world:
                live = world.peer()
                live.answer_initiations = False
                world.up(endpoint=True)
                live.wait("an initiation", lambda: live.of_type(peer.INITIATION))
                self.refused(world, live, [live.of_type(peer.INITIATION)[0][0]], reason)

    def wait_strangers(self):
        """Other suite, other pattern, other keys: nothing at all comes back."""
        with World() as world:
            world.up()
            theirs = world.identity.peer_public
            own_public = noise.public_key(world.identity.static)
            for stranger, reason in (
                    ({"suite": noise.SUITES[noise.CHACHA_POLY]}, "hs_other_suite"),
                    ({"identity": peer.shared_key_identity(os.urandom(32))}, "hs_other_pattern"),
                    ({"identity": peer.public_keys_identity(os.urandom(32), theirs)},
                     "hs_unknown_peer"),
                    ({"identity": peer.public_keys_identity(world.identity.static, own_public)},
                     "hs_bad_mac1")):
                live = world.peer(PORT + 1, **stranger)
                self.refused(world, live, [live.make_initiation().frame], reason)
                live.socket.close()

    def wait_wrong_shared_key(self):
        with World(noise.NNPSK0) as world:
            world.up()
            live = world.peer(identity=peer.shared_key_identity(os.urandom(32)))
            self.refused(world, live, [live.make_initiation().frame], "hs_unknown_peer")

    def wait_wrong_preshared_key(self):
        """Shows at the initiator only: Noise mixes it into the second message."""
        with World(psk=os.urandom(32)) as world:
            world.up()
            wrong = peer.public_keys_identity(world.identity.static, world.identity.peer_public)
            live = world.peer(identity=wrong)
            live.initiate()
            live.wait("a response that does not decrypt", lambda: live.drops["hs_wrong_psk"])
            self.assertEqual(live.sessions, [])

    def wait_wrong_preshared_key_of_the_responder(self):
        with World(psk=os.urandom(32)) as world:
            live = world.peer(identity=peer.public_keys_identity(world.identity.static,
                                                                 world.identity.peer_public))
            world.up(endpoint=True)
            live.wait("an initiation", lambda: live.sessions)
            world.wait_drop("hs_wrong_psk")
            self.assertEqual(live.of_type(peer.DATA), [])

    def wait_low_order_key(self):
        """An ephemeral key that makes every result zero, with a right mac1."""
        with World() as world:
            world.up()
            live = world.peer()
            frame = live.make_initiation().frame
            frame = frame[:8] + bytes(32) + frame[40:-32]
            frame += noise.blake2s_128(live.identity.peer_mac1_key, frame) + peer.NO_MAC
            self.refused(world, live, [frame], "hs_low_order_key")


class DataTest(HostileCase):

    def changed_frames(self, datapath, pattern, suite):
        with World(pattern, suite) as world:
            world.up(interface={"Datapath": datapath})
            live = world.peer()
            session = live.connect()
            self.assertEqual(take_ping(live), 0)
            ping = session.seal(live_peer.icmp_echo(INNER[4][1], INNER[4][0], True))
            self.refused(world, live, with_one_bit_changed(ping, len(ping)))
            self.refused(world, live, cut(ping))
            count = len(live.packets)
            live.send_frame(ping)
            live.wait("the answer to the right frame", lambda: len(live.packets) > count)
            self.refused(world, live, [ping] * 3, "rx_replayed")
            # One's own frames: another index, and the key of the other direction.
            self.refused(world, live, [live.of_type(peer.DATA)[-1][0]], "rx_unknown_session",
                         "xdp_unknown_session")
            self.assertEqual(take_ping(live), 0)

    def wait_changed_frames_xdp(self):
        self.changed_frames("auto", noise.IKPSK2, noise.AES_GCM)

    def wait_changed_frames_socket(self):
        self.changed_frames("socket", noise.NNPSK0, noise.CHACHA_POLY)

    def wait_replay_window(self):
        """8192 counters, and the limit of the suite."""
        with World() as world:
            world.up()
            live = world.peer()
            session = live.connect()

            def sealed(counter):
                return session.seal(live_peer.icmp_echo(INNER[4][1], INNER[4][0], True),
                                    counter=counter)

            def taken(counter):
                count = len(live.packets)
                live.send_frame(sealed(counter))
                live.wait(f"the answer to {counter}", lambda: len(live.packets) > count)

            for counter in (20000, 20000 - 8191, 19999, 20001):
                taken(counter)
            self.refused(world, live, [sealed(20000), sealed(19999)], "rx_replayed")
            self.refused(world, live, [sealed(20001 - 8192), sealed(1)], "rx_too_old")
            self.refused(world, live, [sealed(2**28), sealed(2**64 - 1)], "rx_counter_limit")
            taken(20001 - 8190)
            taken(2**28 - 1)

    def wait_bad_plaintext(self):
        with World() as world:
            world.up()
            live = world.peer()
            session = live.connect()
            for plaintext in (b"\x10" + bytes(40), b"\x45", b"\x60" + bytes(20), b"\0\1", b"\0",
                              b"\0\xc8\xff\xff"):
                self.refused(world, live, [session.seal(plaintext)], "rx_bad_inner")
            foreign = live_peer.icmp_echo("10.9.0.77", INNER[4][0], True)
            self.refused(world, live, [session.seal(foreign)], "rx_source_not_allowed")
            self.assertEqual(take_ping(live), 0)

    def wait_unknown_lane(self):
        with World() as world:
            world.up()
            live = world.peer(lanes=64)
            session = live.connect()
            self.refused(world, live, [session.seal(b"", lane) for lane in (1, 63)],
                         "rx_unknown_lane", "xdp_unknown_lane")
            self.assertEqual(take_ping(live), 0)


if __name__ == "__main__":
    live_case.main()
