"""The Python peer and a real ciped, in network namespaces: timers, rekeying and cookies.

Needs root. CIPE_BIN_DIR names the directory of ciped and cipectl.
"""

import os
import time

import live_case
from live_case import Together, take_ping
import cipe_noise as noise
import cipe_peer as peer
import live_peer
from live_world import INNER, PORT, World

# -- timers -----------------------------------------------------------------------------------------


class TimerTest(Together):

    def wait_keepalive_after_ten_seconds_of_one_way_data(self):
        """And a keepalive is not answered by one: idle peers stay silent."""
        with World() as world:
            world.up()
            live = world.peer()
            live.connect()
            self.assertEqual(take_ping(live), 0)
            # What it sends to learn the path's MTU, after its first packets, would be the keepalive.
            live.wait("its question about the path", lambda: live.questions)
            live.listen(0.2)
            live.send(live_peer.icmp_echo(INNER[4][1], INNER[4][0], False))
            started, count = time.monotonic(), len(live.keepalives)
            live.wait("a keepalive", lambda: len(live.keepalives) > count, 12)
            self.assertGreater(time.monotonic() - started, 9)
            live.send(b"")
            self.assertEqual(live.listen(11), [])

    def wait_persistent_keepalive(self):
        with World(noise.NNPSK0, noise.CHACHA_POLY, 6) as world:
            world.up(peer_lines={"PersistentKeepalive": 1})
            live = world.peer()
            live.connect()
            live.wait("three keepalives", lambda: len(live.keepalives) >= 3, 6)

    def wait_silence_brings_a_new_initiation(self):
        with World() as world:
            world.up()
            live = world.peer()
            live.connect()
            self.assertEqual(take_ping(live), 0)
            live.answer_pings = live.send_keepalives = live.answer_questions = False
            started = time.monotonic()
            ping = world.kernel_ping()
            live.wait("an initiation", lambda: live.of_type(peer.INITIATION), 18)
            self.assertGreater(time.monotonic() - started, 14)
            ping.wait(timeout=10)
            live.wait("the new session", lambda: not live.current.initiator)
            live.answer_pings = True
            self.check_traffic(world, live)

    def wait_rekey_by_ciped_loses_nothing(self):
        with World(noise.IKPSK2, noise.CHACHA_POLY, 6, os.urandom(32)) as world:
            live = world.peer()
            world.up(endpoint=True, interface={"Rekey": 15})
            live.wait("a session", lambda: live.current)
            first, started = live.current, time.monotonic()
            while live.current is first:
                self.assertLess(time.monotonic() - started, 20, "no new session")
                self.assertEqual(take_ping(live, wait=1), 0)
                live.listen(0.1)
            self.assertGreater(time.monotonic() - started, 14)
            self.assertEqual(take_ping(live), 0)
            self.assertIs(live.packets[-1][2], live.current)


# -- cookies ----------------------------------------------------------------------------------------


class CookieTest(Together):

    def ciped_takes_a_cookie(self, *arguments):
        with World(*arguments) as world:
            live = world.peer()
            live.responder.cookie = os.urandom(16)
            world.up(endpoint=True)
            live.wait("an initiation", lambda: live.responses)
            self.assertEqual(live.responses[0][0], peer.COOKIE_REPLY)
            live.wait("a session by cookie", lambda: live.current, 4)
            (first, _, first_time), (second, _, second_time) = live.of_type(peer.INITIATION)
            # The first cookie reply of an attempt hurries the retry: at most 333 ms and a timer's half
            # second, not the 5 s of the others.
            self.assertLess(second_time - first_time, 2)
            self.assertFalse(any(first[-16:]))
            self.assertTrue(any(second[-16:]))
            start = 8 + len(world.identity.key_id)  # of the ephemeral key
            self.assertNotEqual(first[4:8], second[4:8])
            self.assertNotEqual(first[start:start + 32], second[start:start + 32])
            self.check_traffic(world, live)

    def wait_ciped_takes_a_cookie_ikpsk2(self):
        self.ciped_takes_a_cookie(noise.IKPSK2, noise.CHACHA_POLY, 4)

    def wait_ciped_takes_a_cookie_nnpsk0(self):
        self.ciped_takes_a_cookie(noise.NNPSK0, noise.AES_GCM, 6)

    def wait_forged_cookie_reply_is_refused(self):
        with World() as world:
            live = world.peer()
            live.answer_initiations = False
            world.up(endpoint=True)
            live.wait("an initiation", lambda: live.of_type(peer.INITIATION))
            initiation = live.of_type(peer.INITIATION)[0][0]
            forged = bytearray(peer.make_cookie_reply(live.identity, live.suite, initiation,
                                                      bytes(16)))
            forged[-1] ^= 1
            live.send_frame(forged)
            world.wait_drop("hs_bad_cookie")
            live.wait("the retry", lambda: len(live.of_type(peer.INITIATION)) > 1)
            self.assertFalse(any(live.of_type(peer.INITIATION)[1][0][-16:]))

    def flood(self, live):
        """Initiations with a right mac1 and nothing else right, as fast as it takes for load."""
        template = live.make_initiation().frame[:-40]
        live.frames.clear()
        deadline = time.monotonic() + 10
        while not live.of_type(peer.COOKIE_REPLY):
            self.assertLess(time.monotonic(), deadline, "no cookie reply whatever the load")
            for _ in range(50):
                frame = template + os.urandom(8)
                frame += noise.blake2s_128(live.identity.peer_mac1_key, frame) + bytes(16)
                live.send_frame(frame)
                live.poll(0)

    def type_of_answer(self, live):
        """The first octet of the answer to an initiation of ours. What the flood left in ciped's
        queues may cost us some: a real peer tries again, too."""
        def answers(index):
            return [frame[0] for frame, _, _ in live.frames
                    if index == (frame[8:12] if frame[0] == peer.RESPONSE else frame[4:8])]

        for _ in range(10):
            live.initiate()
            index = live.initiator.frame[4:8]
            if live.poll_until(lambda index=index: answers(index), 1):
                return answers(index)[0]
        self.fail(f"ten initiations unanswered; frames: {len(live.frames)}")

    def asked_for_cookie(self, live, flooder):
        """Load is over a second after the flood, so a slow machine may need a few tries."""
        for _ in range(5):
            self.flood(flooder)
            if self.type_of_answer(live) == peer.COOKIE_REPLY:
                return True
        return False

    def ciped_gives_cookies_under_load(self, *arguments):
        with World(*arguments) as world:
            world.up(interface={"Datapath": "socket"})
            live, flooder, thief = world.peer(), world.peer(PORT + 1), world.peer(PORT + 2)
            self.assertTrue(self.asked_for_cookie(live, flooder))
            self.assertIsNotNone(live.cookie)
            # It holds for our address and port only.
            thief.cookie = live.cookie
            self.assertTrue(self.asked_for_cookie(thief, flooder))
            self.flood(flooder)
            self.assertEqual(self.type_of_answer(live), peer.RESPONSE)
            self.assertEqual(take_ping(live), 0)
            world.wait_drop("hs_bad_mac2")

    def wait_cookies_under_load_ikpsk2(self):
        self.ciped_gives_cookies_under_load(noise.IKPSK2, noise.AES_GCM, 6)

    def wait_cookies_under_load_nnpsk0(self):
        self.ciped_gives_cookies_under_load(noise.NNPSK0, noise.CHACHA_POLY, 4)


if __name__ == "__main__":
    live_case.main()
