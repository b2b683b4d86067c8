"""The Python peer reproduces every worked vector of docs/protocol.md, one case per value.

Also: the published Noise vectors of tests/vectors/noise.json, and that the frames of the document
are refused once a bit of them is changed. Needs no privilege.
"""

import json
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/interop"), str(ROOT / "tools/lib")]

try:
    import cipe_noise as noise
    import cipe_peer as peer
except ModuleNotFoundError as missing:
    if not (missing.name or "").startswith("cryptography"):
        raise
    print("skipped, because python3-cryptography is not installed")
    sys.exit(77)
import unittest_xml  # noqa: E402

COMMON = "Common inputs"


def read_vectors(text):
    """{section: {name: value}}; values of hex digits become octets, the others numbers."""
    body = text.split("<!-- vectors:begin -->")[1].split("<!-- vectors:end -->")[0]
    sections = {}
    for part in body.split("### ")[1:]:
        title, block = part.split("\n", 1)
        values = sections[title.strip()] = {}
        for name, value in re.findall(r"^(\w+) =((?:\s+\S+)+?)(?=\n\w+ =|\n```)", block, re.M):
            digits = "".join(value.split())
            decimal = name == "unix_nanoseconds" or digits.startswith("0x")
            values[name] = int(digits, 0) if decimal else bytes.fromhex(digits)
    return sections


VECTORS = read_vectors((ROOT / "docs/protocol.md").read_text())


def suite_and_pattern(section):
    pattern = next(number for number, row in noise.PATTERNS.items() if f"_{row[0]}_" in section)
    return next(s for s in noise.SUITES.values() if section.endswith(s.name)), pattern


class Exchange:
    """One handshake of the document, with its inputs and the parts that were made from them."""

    def __init__(self, section):
        self.given, self.common = VECTORS[section], VECTORS[COMMON]
        self.suite, self.pattern = suite_and_pattern(section)
        if self.pattern == noise.IKPSK2:
            publics = [noise.public_key(self.given[name])
                       for name in ("initiator_private", "responder_private")]
            self.ours = peer.public_keys_identity(self.given["initiator_private"], publics[1],
                                                  self.given["psk"])
            self.theirs = peer.public_keys_identity(self.given["responder_private"], publics[0],
                                                    self.given["psk"])
        else:
            self.ours = self.theirs = peer.shared_key_identity(self.given["shared_key"])
        # Decoding what is then encoded again says that the block holds nothing we do not know.
        self.parameters = [peer.Parameters.decode(self.common[name][:48])
                           for name in ("initiation_payload", "response_payload")]
        self.stamp = peer.tai64n(self.common["unix_nanoseconds"])
        self.initiator = self.start()
        self.responder = peer.Responder(self.theirs, self.suite, self.parameters[1])
        self.response, self.at_responder = self.answer(self.initiator.frame)
        self.at_initiator = self.initiator.read_response(self.response)

    def start(self, cookie=None):
        return peer.Initiator(self.ours, self.suite, self.parameters[0], self.stamp,
                              self.common["initiator_index"],
                              self.given["initiator_ephemeral_private"], cookie)

    def answer(self, initiation):
        return self.responder.answer(initiation, self.common["responder_index"],
                                     self.given["responder_ephemeral_private"])

    def computed(self):
        """{name: value} of everything in the section that is not an input."""
        common, ours, theirs = self.common, self.ours, self.theirs
        if self.pattern == noise.IKPSK2:
            values = {"initiator_public": noise.public_key(self.given["initiator_private"]),
                      "responder_public": noise.public_key(self.given["responder_private"]),
                      "initiator_mac1_key": ours.own_mac1_key,
                      "responder_mac1_key": theirs.own_mac1_key,
                      "responder_cookie_key": theirs.own_cookie_key}
        else:
            values = {"psk": ours.psk, "mac1_key": ours.own_mac1_key,
                      "cookie_key": ours.own_cookie_key, "key_id": ours.key_id}
        initiation, session = self.initiator.frame, self.at_initiator
        values |= {
            "initiation": initiation, "response": self.response,
            "cookie_reply": peer.make_cookie_reply(theirs, self.suite, initiation,
                                                   common["cookie"], common["cookie_salt"]),
            "initiation_mac2": self.start(common["cookie"]).frame[-16:],
            "handshake_hash": session.handshake_hash,
            "initiator_to_responder_key": session.send_key,
            "responder_to_initiator_key": session.receive_key}
        for lane in (0, 1):
            values[f"initiator_to_responder_lane_{lane}_key"] = session.lane_key(session.send_key,
                                                                                 lane)
            for name, side in (("initiator", session), ("responder", self.at_responder)):
                values[f"{name}_data_lane_{lane}"] = side.seal(common["data_plaintext"], lane)
        return values


INPUTS = {"initiator_private", "responder_private", "shared_key", "initiator_ephemeral_private",
          "responder_ephemeral_private"}


class CommonTest(unittest.TestCase):
    """The inputs that are the same everywhere."""

    def setUp(self):
        self.common = VECTORS[COMMON]

    def test_initiation_payload(self):
        parameters = peer.Parameters(bytes([0xa1]) * 16, 2, 1420, "10.9.0.1", "fd00::1")
        stamp = peer.tai64n(self.common["unix_nanoseconds"])
        self.assertEqual(parameters.encode() + stamp, self.common["initiation_payload"])
        peer.check_tai64n(stamp)

    def test_response_payload(self):
        parameters = peer.Parameters(bytes([0xb2]) * 16, 2, 1420, "10.9.0.2", "fd00::2")
        indices = (peer.index_octets(self.common["initiator_index"])
                   + peer.index_octets(self.common["responder_index"]))
        self.assertEqual(parameters.encode() + indices, self.common["response_payload"])

    def test_nothing_else_is_in_the_document(self):
        self.assertEqual(set(self.common), {
            "initiator_index", "responder_index", "unix_nanoseconds", "initiation_payload",
            "response_payload", "cookie", "cookie_salt", "data_plaintext"})
        self.assertEqual(set(VECTORS), {COMMON} | {
            f"Noise_{row[0]}_{suite.name}" for row in noise.PATTERNS.values()
            for suite in noise.SUITES.values()})


class SectionTest(unittest.TestCase):
    """Base of one class per Noise protocol; one case per value is added below."""

    section = None

    @classmethod
    def setUpClass(cls):
        if cls.section is None:
            raise unittest.SkipTest("base class")
        cls.exchange = Exchange(cls.section)
        cls.values = cls.exchange.computed()

    def check_value(self, name):
        self.assertEqual(self.values[name].hex(), VECTORS[self.section][name].hex())

    def refuses(self, read, frame, octets, reasons):
        """Every single-bit change of the first `octets` is dropped; the frame itself is taken."""
        for bit in range(octets * 8):
            changed = bytearray(frame)
            changed[bit // 8] ^= 1 << bit % 8
            with self.assertRaises(noise.Drop, msg=f"bit {bit}") as caught:
                read(bytes(changed))
            self.assertIn(str(caught.exception), reasons, f"bit {bit}")
        read(frame)


def bit_cases(exchange):
    """{name: (read, frame, octets, reasons)}."""
    responder = peer.Responder(exchange.theirs, exchange.suite, exchange.parameters[1])
    header = ("hs_reserved_bits", "hs_other_pattern", "hs_other_suite", "hs_unknown_index",
              "hs_unknown_peer")
    initiation, response = exchange.initiator.frame, exchange.response
    cookie_reply = peer.make_cookie_reply(exchange.theirs, exchange.suite, initiation, bytes(16))
    data = exchange.at_initiator.seal(b"")

    def answer(frame):
        if frame[0] != peer.INITIATION:
            raise noise.Drop("hs_other_protocol")
        return responder.answer(frame)

    # The type octet of the others is what a receiver dispatches by, so it is not looked at again.
    def behind_type(read, frame):
        return lambda changed: read(frame[:1] + changed)

    return {
        "initiation": (answer, initiation, len(initiation) - 16,
                       (*header, "hs_bad_mac1", "hs_other_protocol")),
        "response": (behind_type(exchange.initiator.read_response, response), response[1:], 131,
                     (*header, "hs_bad_mac1")),
        "cookie_reply": (behind_type(exchange.initiator.read_cookie, cookie_reply),
                         cookie_reply[1:], 55, (*header, "hs_bad_cookie")),
        "data": (exchange.at_responder.open, data, len(data),
                 ("rx_unknown_type", "rx_reserved_bits", "rx_unknown_session", "rx_unknown_lane",
                  "rx_counter_limit", "rx_bad_tag"))}


def add_section(section):
    def value_case(name):
        return lambda self: self.check_value(name)

    def bit_case(name):
        return lambda self: self.refuses(*bit_cases(self.exchange)[name])

    def names_case(self):
        outputs = set(self.values) | INPUTS | {"psk"}
        self.assertEqual(set(VECTORS[section]) - outputs, set())
        self.assertEqual(set(self.values) - set(VECTORS[section]), set())

    def replay_case(self):
        with self.assertRaisesRegex(noise.Drop, "hs_replayed"):
            self.exchange.answer(self.exchange.initiator.frame)

    def cookie_case(self):
        reply = VECTORS[section]["cookie_reply"]
        self.assertEqual(self.exchange.initiator.read_cookie(reply), VECTORS[COMMON]["cookie"])

    def data_case(self):
        """What either side sealed, the other opens, once."""
        for lane in (0, 1):
            for name, side in (("initiator", self.exchange.at_responder),
                               ("responder", self.exchange.at_initiator)):
                frame = VECTORS[section][f"{name}_data_lane_{lane}"]
                self.assertEqual(side.open(frame), (lane, VECTORS[COMMON]["data_plaintext"]))
                with self.assertRaisesRegex(noise.Drop, "rx_replayed"):
                    side.open(frame)

    cases = {f"test_value_{name}": value_case(name)
             for name in VECTORS[section] if name not in INPUTS
             and not (name == "psk" and "_IKpsk2_" in section)}
    cases |= {f"test_bits_of_{name}": bit_case(name)
              for name in ("initiation", "response", "cookie_reply", "data")}
    cases |= {"test_every_value_is_computed": names_case, "test_replayed_initiation": replay_case,
              "test_cookie_is_opened": cookie_case, "test_data_is_opened": data_case}
    name = section.replace("Noise_", "").replace("25519_", "")
    globals()[name] = type(name, (SectionTest,), {"section": section, **cases})


for title in VECTORS:
    if title != COMMON:
        add_section(title)
del SectionTest  # so that the loader does not count it


class PublishedNoiseTest(unittest.TestCase):
    """The same handshake code against vectors that are not ours (source in the file)."""

    def run_vector(self, section):
        document = json.loads((ROOT / "tests/vectors/noise.json").read_text())
        vector = next(v for v in document["vectors"] if v["protocol_name"] == section)
        suite, pattern = suite_and_pattern(section)
        static = {side: vector.get(f"{side}_static") for side in ("init", "resp")}
        sides = []
        for side, other in (("init", "resp"), ("resp", "init")):
            own = static[side] and bytes.fromhex(static[side])
            remote = (noise.public_key(bytes.fromhex(static[other]))
                      if own and side == "init" else None)
            sides.append(noise.Noise(
                pattern, suite, side == "init", bytes.fromhex(vector[f"{side}_prologue"]),
                bytes.fromhex(vector[f"{side}_ephemeral"]), bytes.fromhex(vector["init_psks"][0]),
                own, remote))
        messages = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"]))
                    for m in vector["messages"]]
        for number, (payload, ciphertext) in enumerate(messages[:2]):
            self.assertEqual(sides[number].write_message(payload), ciphertext)
            self.assertEqual(sides[1 - number].read_message(ciphertext), payload)
        keys = sides[0].split()
        self.assertEqual(sides[1].split(), keys)
        for number, (payload, ciphertext) in enumerate(messages[2:]):
            sealed = suite.seal(keys[number % 2], suite.nonce(number // 2), b"", payload)
            self.assertEqual(sealed, ciphertext)
        self.assertEqual(sides[0].hash.hex(), vector["handshake_hash"])

    def test_ikpsk2_aesgcm(self):
        self.run_vector("Noise_IKpsk2_25519_AESGCM_SHA256")

    def test_ikpsk2_chachapoly(self):
        self.run_vector("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")

    def test_nnpsk0_aesgcm(self):
        self.run_vector("Noise_NNpsk0_25519_AESGCM_SHA256")

    def test_nnpsk0_chachapoly(self):
        self.run_vector("Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s")


class RuleTest(unittest.TestCase):
    """Rules of the text that no vector shows."""

    def test_shared_key_of_16_octets_is_another_key(self):
        short, long = (peer.shared_key_identity(bytes(range(n))) for n in (16, 32))
        self.assertNotEqual(short.key_id, long.key_id)

    def test_low_order_points_end_a_handshake(self):
        for point in (bytes(32), (1).to_bytes(32, "little"), (2**255 - 20).to_bytes(32, "little")):
            with self.assertRaisesRegex(noise.Drop, "hs_low_order_key"):
                noise.exchange(bytes(range(32)), point)

    def test_bad_parameters(self):
        good = peer.Parameters(bytes([1]) * 16, 1, 1420, "10.0.0.1", "fd00::1").encode()
        for start, value in ((0, bytes(16)), (16, b"\0"), (16, b"\x41"), (17, b"\1"),
                             (18, b"\x43\0"), (20, b"\0\0\0\1"), (20, b"\x7f\0\0\1"),
                             (20, b"\xe0\0\0\1"), (24, bytes(15) + b"\1"), (24, b"\xff"),
                             (47, b"\1")):
            with self.assertRaisesRegex(noise.Drop, "hs_bad_parameters", msg=(start, value)):
                peer.Parameters.decode(good[:start] + value + good[start + len(value):])
        peer.Parameters.decode(good)

    def test_bad_time_stamps(self):
        for stamp in ((2**62 + 9).to_bytes(8, "big") + bytes(4),
                      (2**62 + 10).to_bytes(8, "big") + (10**9).to_bytes(4, "big"),
                      (2**62 + 10 + 2**63 // 10**9 + 1).to_bytes(8, "big") + bytes(4)):
            with self.assertRaisesRegex(noise.Drop, "hs_bad_parameters"):
                peer.check_tai64n(stamp)

    def test_replay_window(self):
        window = peer.ReplayWindow()
        for counter in (0, 8192, 1, 8191):
            window.check(counter)
            window.mark(counter)
        for counter, reason in ((0, "rx_too_old"), (1, "rx_replayed"), (8192, "rx_replayed")):
            with self.assertRaisesRegex(noise.Drop, reason):
                window.check(counter)


if __name__ == "__main__":
    unittest_xml.main()
