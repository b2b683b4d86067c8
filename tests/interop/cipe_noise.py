"""Keys, hashes, AEADs and the Noise handshake of protocol 5, written from docs/protocol.md alone.

For tests: nothing here is constant-time, and secrets stay in memory. Functions take and return
bytes. Whatever a peer sent that cannot be accepted raises Drop with the reason's name of section 9
of the document; state that is to survive a bad message is copied by the caller (copy.copy), since
all fields are immutable values.
"""

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.ciphers import aead

IKPSK2, NNPSK0 = 1, 2
AES_GCM, CHACHA_POLY = 1, 2


class Drop(Exception):
    """A frame that must be dropped; str() is the reason's name."""


# -- suites -----------------------------------------------------------------------------------------


class Suite:
    """One row of the table of suites."""

    def __init__(self, number, name, hash_name, cipher, byte_order):
        self.number, self.name, self.hash_name = number, name, hash_name
        self._cipher, self._byte_order = cipher, byte_order

    def hash(self, data):
        return hashlib.new(self.hash_name, data).digest()

    def hmac(self, key, data):
        return hmac.new(key, data, self.hash_name).digest()

    def hkdf(self, chaining_key, data, outputs):
        """HKDF of the Noise specification, section 4.3."""
        key = self.hmac(chaining_key, data)
        results, last = [], b""
        for number in range(1, outputs + 1):
            last = self.hmac(key, last + bytes([number]))
            results.append(last)
        return results

    def extract(self, salt, key_material):
        """HKDF-Extract of RFC 5869."""
        return self.hmac(salt, key_material)

    def expand(self, key, info, length=32):
        """HKDF-Expand of RFC 5869."""
        result, last, number = b"", b"", 0
        while len(result) < length:
            number += 1
            last = self.hmac(key, last + info + bytes([number]))
            result += last
        return result[:length]

    def nonce(self, counter):
        return bytes(4) + counter.to_bytes(8, self._byte_order)

    def seal(self, key, nonce, associated, plaintext):
        return self._cipher(key).encrypt(nonce, plaintext, associated)

    def open(self, key, nonce, associated, ciphertext, reason):
        """The plaintext; Drop(reason) when the tag does not match."""
        if len(ciphertext) < 16:
            raise Drop(reason)
        try:
            return self._cipher(key).decrypt(nonce, ciphertext, associated)
        except InvalidTag:
            raise Drop(reason) from None


SUITES = {
    AES_GCM: Suite(AES_GCM, "25519_AESGCM_SHA256", "sha256", aead.AESGCM, "big"),
    CHACHA_POLY: Suite(CHACHA_POLY, "25519_ChaChaPoly_BLAKE2s", "blake2s", aead.ChaCha20Poly1305,
                       "little"),
}


def blake2s_256(data):
    return hashlib.blake2s(data).digest()


def blake2s_128(key, data):
    """Keyed, 16 octets: mac1, mac2 and the cookie."""
    return hashlib.blake2s(data, key=key, digest_size=16).digest()


# -- X25519 -----------------------------------------------------------------------------------------


def public_key(private):
    key = x25519.X25519PrivateKey.from_private_bytes(private).public_key()
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def exchange(private, public):
    """Drop when the result is 32 zero octets, which the library refuses by itself."""
    try:
        return x25519.X25519PrivateKey.from_private_bytes(private).exchange(
            x25519.X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Drop("hs_low_order_key") from None


# -- Noise ------------------------------------------------------------------------------------------

PATTERNS = {
    IKPSK2: ("IKpsk2", True, (("e", "es", "s", "ss"), ("e", "ee", "se", "psk"))),
    NNPSK0: ("NNpsk0", False, (("psk", "e"), ("e", "ee"))),
}


class Noise:
    """One handshake, one side of it.

    static and ephemeral are private keys, remote_static the responder's public key when we are the
    initiator of IKpsk2. A responder learns the initiator's as `remote_static` from read_message and
    may set `psk` before the message that needs it.
    """

    def __init__(self, pattern, suite, initiator, prologue, ephemeral, psk, static=None,
                 remote_static=None):
        name, with_static, self._messages = PATTERNS[pattern]
        self.suite, self.initiator, self.psk = suite, initiator, psk
        self._static, self._ephemeral = static, ephemeral
        self.remote_static, self._remote_ephemeral = remote_static, None
        self._key, self._nonce, self._next = None, 0, 0
        full_name = f"Noise_{name}_{suite.name}".encode()
        self.hash = full_name.ljust(32, b"\0") if len(full_name) <= 32 else suite.hash(full_name)
        self._chaining_key = self.hash
        self._mix_hash(prologue)
        if with_static:
            self._mix_hash(remote_static if initiator else public_key(static))

    def _mix_hash(self, data):
        self.hash = self.suite.hash(self.hash + data)

    def _mix_key(self, data):
        self._chaining_key, self._key = self.suite.hkdf(self._chaining_key, data, 2)
        self._nonce = 0

    def _mix_key_and_hash(self, data):
        self._chaining_key, mixed, self._key = self.suite.hkdf(self._chaining_key, data, 3)
        self._mix_hash(mixed)
        self._nonce = 0

    def _encrypt(self, plaintext):
        sealed = self.suite.seal(self._key, self.suite.nonce(self._nonce), self.hash, plaintext)
        self._nonce += 1
        self._mix_hash(sealed)
        return sealed

    def _decrypt(self, sealed):
        plaintext = self.suite.open(self._key, self.suite.nonce(self._nonce), self.hash, sealed,
                                    "hs_decrypt_failed")
        self._nonce += 1
        self._mix_hash(sealed)
        return plaintext

    def _mix_ephemeral(self, public):
        self._mix_hash(public)
        self._mix_key(public)

    def _mix_token(self, token):
        """psk, ee, es, se or ss: the same for both sides and both directions."""
        if token == "psk":
            self._mix_key_and_hash(self.psk)
            return
        ours, theirs = token if self.initiator else reversed(token)
        self._mix_key(exchange(self._ephemeral if ours == "e" else self._static,
                               self._remote_ephemeral if theirs == "e" else self.remote_static))

    def write_message(self, payload):
        message = b""
        for token in self._messages[self._next]:
            if token == "e":
                public = public_key(self._ephemeral)
                message += public
                self._mix_ephemeral(public)
            elif token == "s":
                message += self._encrypt(public_key(self._static))
            else:
                self._mix_token(token)
        self._next += 1
        return message + self._encrypt(payload)

    def read_message(self, message):
        """The payload; raises Drop and is then of no more use."""
        for token in self._messages[self._next]:
            if token == "e":
                self._remote_ephemeral, message = message[:32], message[32:]
                self._mix_ephemeral(self._remote_ephemeral)
            elif token == "s":
                self.remote_static, message = self._decrypt(message[:48]), message[48:]
            else:
                self._mix_token(token)
        self._next += 1
        return self._decrypt(message)

    def split(self):
        """(initiator to responder, responder to initiator)."""
        return tuple(self.suite.hkdf(self._chaining_key, b"", 2))
