"""The Python model of protocol 3 against published vectors, and its key exchange with itself.

Needs no privilege and no library: octets and state machine only, with a clock of its own.
"""

import collections
import json
import pathlib
import random
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/classic"), str(ROOT / "tools/lib")]

import classic_ciphers as ciphers  # noqa: E402
import classic_link as links  # noqa: E402
import classic_wire as wire  # noqa: E402
import unittest_xml  # noqa: E402

VECTORS = json.loads((ROOT / "tests/vectors/classic.json").read_text())
COMMON = {name: bytes.fromhex(VECTORS["common"][name])
          for name in ("static_key", "dynamic_key", "crc_of_dynamic_key", "iv", "padding")}
SECONDS = VECTORS["common"]["unix_seconds"]
FILLER = bytes((7 * i + 3) % 256 for i in range(56))


class Ciphers(unittest.TestCase):
    def test_published_blocks(self):
        makers = {"blowfish-le": lambda key: ciphers.Blowfish(key, "<"),
                  "blowfish-be": lambda key: ciphers.Blowfish(key, ">"),
                  "idea-be": lambda key: ciphers.Idea(key, ">")}
        for row in VECTORS["ciphers"]:
            with self.subTest(row["source"], cipher=row["cipher"], key=row["key"]):
                cipher = makers[row["cipher"]](bytes.fromhex(row["key"]))
                plain, encrypted = bytes.fromhex(row["plain"]), bytes.fromhex(row["encrypted"])
                self.assertEqual(cipher.encrypt_block(plain), encrypted)
                self.assertEqual(cipher.decrypt_block(encrypted), plain)

    def test_decryption_reverses_encryption(self):
        generator = random.Random(1)
        for name in ciphers.MAKERS:
            for key in [bytes(16), b"\xff" * 16] + [generator.randbytes(16) for _ in range(8)]:
                cipher = ciphers.make(name, key)
                for block in (bytes(8), b"\xff" * 8, generator.randbytes(8)):
                    encrypted = cipher.encrypt_block(block)
                    self.assertEqual(cipher.decrypt_block(encrypted), block, (name, key))

    def test_word_orders_differ_as_described(self):
        """Little-endian words are the textbook with the octets of each word swapped."""
        key, text = COMMON["static_key"], bytes(range(8))

        def swapped(data, size):
            return b"".join(data[i:i + size][::-1] for i in range(0, len(data), size))

        textbook = ciphers.Blowfish(key, ">").encrypt_block(swapped(text, 4))
        self.assertEqual(ciphers.Blowfish(key, "<").encrypt_block(text), swapped(textbook, 4))
        textbook = ciphers.Idea(swapped(key, 2), ">").encrypt_block(swapped(text, 2))
        self.assertEqual(ciphers.Idea(key, "<").encrypt_block(text), swapped(textbook, 2))

    def test_a_key_has_16_octets(self):
        for size in (0, 15, 17, 32):
            self.assertRaises(ValueError, ciphers.make, "blowfish", bytes(size))


class Packets(unittest.TestCase):
    def cases(self):
        for name, vector in VECTORS["packets"].items():
            for cipher, packets in vector["packets"].items():
                for key, octets in packets.items():
                    with self.subTest(name, cipher=cipher, key=key):
                        yield (vector, ciphers.make(cipher, COMMON[f"{key}_key"]),
                               key == "dynamic", bytes.fromhex(octets))

    def test_sealed_as_in_the_vectors(self):
        for vector, cipher, dynamic, octets in self.cases():
            payload = bytes.fromhex(vector["payload"])
            self.assertEqual(wire.seal(cipher, payload, vector["type"], COMMON["iv"],
                                       COMMON["padding"], dynamic), octets)

    def test_vectors_open(self):
        for vector, cipher, dynamic, octets in self.cases():
            wire.check_length(octets)
            packet = wire.open_packet(cipher, octets)
            self.assertEqual(packet, wire.Packet(bytes.fromhex(vector["payload"]), vector["type"],
                                                 dynamic, int(vector["trailer"], 16)))
            self.assertEqual(wire.padding_octets(len(packet.payload)), vector["padding"])

    def test_other_key_or_changed_bit_fails(self):
        for vector, cipher, _, octets in self.cases():
            for at in range(8 * 8, 8 * len(octets), 37):  # a bit of the IV may fall into the text
                changed = bytearray(octets)
                changed[at // 8] ^= 1 << at % 8
                with self.assertRaisesRegex(wire.Drop, "bad_crc"):
                    wire.open_packet(cipher, bytes(changed))

    def test_crc(self):
        for row in VECTORS["crc"]:
            self.assertEqual(wire.crc(bytes.fromhex(row["data"])), int(row["crc"], 16))
        self.assertEqual(wire.crc(bytes(100)), 0)
        self.assertEqual(wire.crc(b"\0\0abc"), wire.crc(b"abc"))

    def test_every_payload_length(self):
        cipher = ciphers.make("blowfish", COMMON["static_key"])
        for octets in range(0, 40):
            payload = bytes(range(octets))
            sealed = wire.seal(cipher, payload, wire.DATA, COMMON["iv"], COMMON["padding"], False)
            self.assertEqual(len(sealed) % 8, 0)
            self.assertIn(len(sealed) - octets, range(13, 21))
            self.assertEqual(wire.open_packet(cipher, sealed).payload, payload)

    def test_refused(self):
        cipher = ciphers.make("blowfish", COMMON["static_key"])
        for octets, reason in ((0, "short"), (15, "short"), (17, "odd_length")):
            self.assertRaisesRegex(wire.Drop, reason, wire.check_length, bytes(octets))
        for kind, reason in ((wire.RESERVED, "reserved_type"),):
            sealed = wire.seal(cipher, b"abc", kind, COMMON["iv"], bytes(7), False)
            self.assertRaisesRegex(wire.Drop, reason, wire.open_packet, cipher, sealed)
        text = b"\0\0\0\x70"  # more padding than there is packet
        text += wire.crc(text).to_bytes(4, "big")
        sealed = wire.seal_text(cipher, text, COMMON["iv"], False)
        self.assertRaisesRegex(wire.Drop, "bad_padding", wire.open_packet, cipher, sealed)

    def test_all_zero_text_has_a_valid_crc(self):
        cipher = ciphers.make("blowfish", COMMON["static_key"])
        packet = wire.open_packet(cipher, wire.seal_text(cipher, bytes(24), COMMON["iv"], False))
        self.assertEqual((packet.payload, packet.kind), (bytes(19), wire.DATA))


class Blocks(unittest.TestCase):
    def test_as_in_the_vectors(self):
        key = COMMON["dynamic_key"]
        self.assertEqual(wire.indication_body(key)[16:], COMMON["crc_of_dynamic_key"])
        for name, kind, body in (("request", wire.NK_REQ, b""),
                                 ("indication", wire.NK_IND, wire.indication_body(key))):
            self.assertEqual(wire.block(kind, body, SECONDS, FILLER).hex(),
                             VECTORS["packets"][name]["payload"])

    def test_what_a_receiver_reads(self):
        key = COMMON["dynamic_key"]
        for filler in (FILLER, FILLER + bytes(255)):
            block = wire.block(wire.NK_IND, wire.indication_body(key), SECONDS, filler)
            self.assertEqual(wire.read_block(block + b"rubbish"),
                             wire.Block(wire.NK_IND, SECONDS, key, wire.crc(key)))
            block = wire.block(wire.NK_ACK, wire.acknowledgement_body(key), SECONDS, filler)
            self.assertEqual(wire.read_block(block).key_crc, wire.crc(key))
        block = wire.block(wire.CT_DEBUG, b"hello", SECONDS, FILLER)
        self.assertEqual((wire.read_block(block).text, block[47]), (b"hello", 0))
        block = wire.block(wire.CT_DEBUG, b"x" * 46, SECONDS, FILLER)
        self.assertEqual(wire.read_block(block).text, b"x" * 46)

    def test_refused(self):
        self.assertRaisesRegex(wire.Drop, "short_block", wire.read_block, FILLER[:51])
        for kind in (0, 4, 0x6f, 0x75, 255):
            self.assertRaisesRegex(wire.Drop, "unknown_kind", wire.read_block,
                                   bytes([kind]) + FILLER[1:])

    def test_socks_header(self):
        header = wire.socks_header("10.0.0.2", 6543)
        self.assertEqual(header.hex(), "000000010a000002198f")
        self.assertEqual(wire.split_socks(header + b"rest"), (("10.0.0.2", 6543), b"rest"))
        for at, value, reason in ((2, 1, "socks_fragment"), (3, 4, "socks_address_type")):
            changed = bytearray(header)
            changed[at] = value
            self.assertRaisesRegex(wire.Drop, reason, wire.split_socks, bytes(changed))
        self.assertRaisesRegex(wire.Drop, "short", wire.split_socks, header[:9])

    def test_echo(self):
        packet = wire.icmp_echo("10.0.1.1", "10.0.1.2", False, 7, 9, b"data")
        self.assertEqual(wire.read_echo(packet + b"tail"),
                         wire.Echo("10.0.1.1", "10.0.1.2", False, 7, 9, b"data"))
        self.assertIsNone(wire.read_echo(packet[:-1] + b"x"))
        payload = bytes.fromhex(VECTORS["packets"]["data"]["payload"])
        self.assertEqual(wire.read_echo(payload).data, b"abcde")


class Wire:
    """Two links and the road between them; `lose` holds names of messages still to be lost."""

    def __init__(self, **settings):
        self.now, self.lose = 1000.0, collections.Counter()
        self.ends = {}
        for seed, name in enumerate("ab"):
            chosen = links.Settings(COMMON["static_key"], tokxc=1, tokey=3,
                                    **{"hold_data": False, **settings})
            self.ends[name] = links.Link(chosen, random.Random(seed).randbytes)
        self.a, self.b = self.ends.values()
        self.delivered = {"a": [], "b": []}

    def unix(self):
        return SECONDS + self.now

    def carry(self, sender, datagrams):
        """Delivers until nothing more is sent."""
        receiver = "b" if sender == "a" else "a"

        def lost(name):
            self.lose[receiver, name] -= 1
            return self.lose[receiver, name] >= 0

        for datagram in datagrams:
            packets, answers = self.ends[receiver].receive(datagram, self.now, self.unix(), lost)
            self.delivered[receiver] += packets
            self.carry(receiver, answers)

    def send(self, sender, packet=b"packet"):
        self.carry(sender, self.ends[sender].send_data(packet, self.now, self.unix()))

    def agreed(self):
        return all(one.sending.key and one.sending.key == other.receiving.key
                   for one, other in ((self.a, self.b), (self.b, self.a)))


class KeyExchange(unittest.TestCase):
    def tearDown(self):
        for end in self.wire.ends.values():
            self.assertEqual(end.complaints, [])

    def test_first_packet_starts_it(self):
        self.wire = w = Wire()
        w.send("a")
        self.assertEqual(w.a.sending.key, w.b.receiving.key)
        self.assertTrue(w.a.sending.key)
        self.assertTrue(w.agreed())  # its first NK_ACK was the other's first packet
        self.assertEqual(w.delivered["b"], [b"packet"])
        for name in ("out NK_IND", "in NK_IND", "out NK_ACK", "in NK_ACK"):
            self.assertEqual((w.a.events[name], w.b.events[name]), (1, 1), name)

    def test_held_data(self):
        self.wire = w = Wire(hold_data=True)
        w.lose["b", "NK_IND"] = 1
        for number in range(100):
            w.send("a", b"%d" % number)
        self.assertEqual(w.delivered["b"], [])
        w.now += 1.1
        w.send("a", b"100")
        self.assertEqual(w.delivered["b"], [b"%d" % n for n in range(37, 101)])
        self.assertEqual(w.b.events["in static DATA"], 0)

    def test_loss_of_any_message(self):
        for receiver in "ab":
            for name in ("NK_IND", "NK_ACK"):
                with self.subTest(name, receiver=receiver):
                    self.wire = w = Wire()
                    w.lose[receiver, name] = 2
                    for _ in range(8):
                        w.send("a"), w.send("b")
                        w.now += 0.6
                    self.assertTrue(w.agreed())
                    self.assertEqual(w.ends[receiver].events[f"lost {name}"], 2)

    def test_rekey_by_age_and_by_packets(self):
        self.wire = w = Wire()
        for _ in range(100):
            w.send("a"), w.send("b")
            w.now += 0.1
        for end in (w.a, w.b):
            self.assertEqual((end.events["sending key"], end.events["receiving key"]), (4, 4))
        self.wire = w = Wire(send_packets=20, receive_packets=10**6)
        for _ in range(100):
            w.send("a")
        self.assertEqual(w.a.events["sending key"], 5)
        self.assertEqual(w.b.events["sending key"], 1)

    def test_lost_receiving_key_is_asked_for(self):
        self.wire = w = Wire()
        w.send("a")
        w.b.receiving.forget(0)
        w.send("a")
        self.assertEqual((w.b.events["out NK_REQ"], w.b.events["drop no_key"]), (1, 1))
        self.assertTrue(w.agreed())
        w.b.receiving.forget(w.now + 1)
        w.send("a")  # not sooner than tokxc
        self.assertEqual(w.b.events["out NK_REQ"], 1)
        w.now += 1.1
        w.lose["a", "NK_REQ"] = 1
        w.send("a")
        self.assertFalse(w.agreed())
        w.now += 1.1
        w.send("a")
        self.assertTrue(w.agreed())

    def test_receiver_tires_of_an_old_key(self):
        """Twice tokey after an installation the receiver forgets the key, whatever the sender does."""
        self.wire = w = Wire()
        w.send("a")
        w.a.sending.due = w.now + 1000
        w.now += 6.1
        w.send("a")
        self.assertEqual(w.b.events["out NK_REQ"], 1)
        self.assertTrue(w.a.sending.key == w.b.receiving.key)

    def test_bad_blocks_change_nothing(self):
        self.wire = w = Wire()
        w.send("a")
        before = w.b.receiving.key, w.b.sending.key
        key = bytes(16)
        for kind, body, reason in (
                (wire.NK_IND, key + b"\1\2\3\4", "bad_key_crc"),
                (wire.NK_ACK, b"\1\2\3\4", "wrong_ack"), (9, b"", "unknown_kind")):
            answers = []
            for datagram in w.a.send_block(kind, body, w.now, w.unix()):
                answers += w.b.receive(datagram, w.now, w.unix())[1]
            self.assertEqual((answers, w.b.events[f"drop {reason}"]), ([], 1))
        self.assertEqual((w.b.receiving.key, w.b.sending.key), before)
        self.assertEqual(len(w.b.complaints), 3)  # the model tells on what it is sent
        w.b.complaints.clear()

    def test_time_window(self):
        for tokxts, age, taken in ((0, 10**6, True), (30, 29, True), (30, 31, False),
                                   (30, -31, False)):
            self.wire = w = Wire(tokxts=tokxts)
            w.send("a")
            block = wire.indication_body(b"k" * 16)
            for datagram in w.a.send_block(wire.NK_IND, block, w.now, w.unix() - age):
                w.b.receive(datagram, w.now, w.unix())
            self.assertEqual(w.b.receiving.key == b"k" * 16, taken, (tokxts, age))
            self.assertEqual(w.b.events["drop old_time"], 0 if taken else 1)
            w.b.complaints.clear()

    def test_ping_is_answered_and_text_is_kept(self):
        self.wire = w = Wire()
        w.carry("a", w.a.send_block(wire.CT_PING, b"", w.now, w.unix()))
        self.assertEqual((w.b.events["out CT_PONG"], w.a.events["in CT_PONG"]), (1, 1))
        w.carry("a", w.a.send_block(wire.CT_DEBUG, b"a\x1b[1m\n", w.now, w.unix()))
        self.assertEqual(w.b.texts, [b"a\x1b[1m\n"])

    def test_what_the_model_complains_of(self):
        """The eye on the peer sees: every complaint is made once here."""
        self.wire = w = Wire()
        w.send("a"), w.send("a")
        static = ciphers.make("blowfish", COMMON["static_key"])
        for payload, kind, dynamic in (
                (b"static data", wire.DATA, False), (b"reserved", wire.CTRL, True),
                (bytes([wire.NK_IND]) + bytes(400), wire.NEWKEY, True)):
            cipher = w.a.sending.cipher if dynamic else static
            for _ in range(2):
                w.b.receive(wire.seal(cipher, payload, kind | 0x80, COMMON["iv"], bytes(7),
                                      dynamic), w.now, w.unix())
        text = "\n".join(w.b.complaints)
        for part in ("trailer 0x", "reserved type", "was used before", "static key after",
                     "block of 401 octets", "time stamp", "under a dynamic key"):
            self.assertIn(part, text)
        w.b.complaints.clear()


if __name__ == "__main__":
    unittest_xml.main()
