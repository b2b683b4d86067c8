"""Two live models over the loopback interface: what the network tests rely on is proven here.

Needs no privilege. The same loss and the same attacks meet ciped in tests/netns.
"""

import pathlib
import socket
import subprocess
import sys
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/classic"), str(ROOT / "tools/lib")]

import classic_hostile  # noqa: E402
import unittest_xml  # noqa: E402
from model_driver import ModelPeer  # noqa: E402

KEY = "101112131415161718191a1b1c1d1e1f"


def free_endpoint():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % probe.getsockname()[1]


class LiveModel(unittest.TestCase):
    def start(self, **options):
        one, two = free_endpoint(), free_endpoint()
        self.a = ModelPeer(subprocess.Popen, one, two, KEY, inner="10.0.1.1", other="10.0.1.2",
                           **options)
        self.addCleanup(self.a.close)
        self.b = ModelPeer(subprocess.Popen, two, one, KEY, inner="10.0.1.2", other="10.0.1.1",
                           **options)
        self.addCleanup(self.b.close)

    def expect_content(self):
        self.a.expect_content()
        self.b.expect_content()

    def test_every_cipher_and_way_of_data(self):
        for cipher in ("blowfish", "idea-le", "idea-be"):
            for static_data in (False, True):
                with self.subTest(cipher, static_data=static_data):
                    self.start(cipher=cipher, static_data=static_data)
                    self.a.ping()
                    self.b.ping()
                    self.a.wait_keys()
                    self.a.ping(size=1300)
                    self.assertEqual(self.b.count("in static DATA") > 0, static_data)
                    self.expect_content()

    def test_wrong_key_or_cipher(self):
        self.start()
        self.b.close()
        port = self.a.state["peer"]
        for options in ({"key": KEY[::-1]}, {"key": KEY, "cipher": "idea-le"}):
            other = ModelPeer(subprocess.Popen, port, "127.0.0.1:9", **options)
            self.a.do("start")
            other.wait_event("drop bad_crc")
            other.close()
        self.assertEqual(self.a.state["echo"]["answered"], 0)

    def test_rekey_under_traffic(self):
        self.start(tokey=0.5, tokxc=1)
        self.a.ping(count=100, interval=0.02)
        for end in (self.a, self.b):
            self.assertGreaterEqual(end.count("sending key"), 3)
        self.expect_content()

    def test_loss_of_any_message(self):
        for way in ("in", "out"):
            for kind in ("NK_IND", "NK_ACK"):
                with self.subTest(kind, way=way):
                    self.start(tokxc=0.3)
                    self.a.do("lose", way=way, kind=kind, count=1)
                    self.a.do("ping", count=100, interval=0.02)
                    self.a.wait_event(f"lost {way} {kind}" if way == "out" else f"lost {kind}")
                    self.a.wait("all answers", lambda state: state["echo"]["answered"] == 100)
                    self.a.wait_keys()
                    self.expect_content()

    def test_request_and_its_loss(self):
        self.start(tokxc=0.3)
        self.a.ping()
        keys = self.a.count("receiving key")
        self.a.do("request")
        self.a.wait_event("receiving key", keys + 1)
        self.a.do("lose", way="out", kind="NK_REQ")
        self.a.do("request")
        time.sleep(0.3)
        self.assertEqual(self.a.count("receiving key"), keys + 1)
        self.expect_content()

    def test_control_blocks(self):
        self.start()
        self.a.ping()
        self.a.do("block", kind="CT_PING", count=3)
        self.a.wait_event("in CT_PONG", 3)
        self.a.do("block", kind="CT_DEBUG", text="hello")
        self.b.wait_event("in CT_DEBUG")
        self.assertEqual(self.b.state["texts"], ["hello"])
        self.expect_content()

    def test_roaming(self):
        self.start()
        self.a.ping()
        moved = free_endpoint()
        self.a.do("rebind", address=moved)
        self.a.ping()
        self.assertEqual(self.b.do("state")["peer"], moved)

    def test_attacks_are_sent_and_counted(self):
        """Every attack that needs no privilege arrives, none ends the model."""
        expected = {"short": "drop short", "odd_length": "drop odd_length",
                    "wrong_crc": "drop bad_crc", "bad_padding": "drop bad_padding",
                    "reserved_type": "drop reserved_type", "ctrl_type": "in CTRL",
                    "oversized": "drop bad_crc", "all_zero": "in DATA", "bad_inner": "in DATA",
                    "unknown_kind": "drop unknown_kind", "short_block": "drop short_block",
                    "forged_indication": "drop bad_key_crc", "wrong_acknowledgement":
                    "drop wrong_ack", "old_time": "drop old_time", "kill": "in CT_KILL",
                    "debug": "in CT_DEBUG", "dummy": "in CT_DUMMY", "foreign_key": "drop bad_crc",
                    "junk": "drop bad_crc", "replayed_static": "in static DATA",
                    "replayed_acknowledgement": "drop bad_crc", "reflected": "in NK_IND",
                    "replayed_indication": "receiving key"}
        self.assertEqual(set(expected), set(classic_hostile.ATTACKS) - classic_hostile.PORT_ZERO)
        for what, event in expected.items():
            with self.subTest(what):
                self.start(tokxts=30)
                self.a.ping()
                self.a.do("start")
                self.a.ping()
                before = self.b.count(event)
                self.a.do("hostile", what=what)
                self.assertGreater(self.a.count(f"hostile {what}"), 0)
                self.b.wait_event(event, before + 1, 3)
                self.assertIsNone(self.b.process.poll())
                self.a.close()
                self.b.close()


if __name__ == "__main__":
    unittest_xml.main()
