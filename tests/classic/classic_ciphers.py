"""Blowfish and IDEA as protocol 3 uses them, each from its published description.

For tests: slow, not constant-time. A cipher has encrypt_block and decrypt_block on 8 octets; cbc_*
chain them. Nothing is taken from a library, so that no library's byte order slips in: Blowfish's
tables are computed as what they are, the fraction of pi (Schneier, "Description of a New
Variable-Length Key, 64-Bit Block Cipher", 1993); IDEA follows Lai's thesis (1992).
"""

import functools
import struct

MASK32 = 0xFFFFFFFF


# -- Blowfish ---------------------------------------------------------------------------------------


@functools.cache
def _fraction_of_pi(words):
    """The first 32-bit words of pi's binary fraction, by Machin's formula."""
    bits = 32 * words + 64  # the last 64 swallow the rounding errors

    def arctan_of_inverse(n):
        term, total, k, sign = (1 << bits) // n, 0, 1, 1
        while term:
            total += sign * (term // k)
            term //= n * n
            k, sign = k + 2, -sign
        return total

    pi = 16 * arctan_of_inverse(5) - 4 * arctan_of_inverse(239)
    fraction = (pi - (3 << bits)) >> 64
    return struct.unpack(f">{words}I", fraction.to_bytes(4 * words, "big"))


class Blowfish:
    """`order` is the struct prefix of the two words of a block: "<" in protocol 3, ">" textbook."""

    def __init__(self, key, order="<"):
        self._format = order + "II"
        pi = _fraction_of_pi(18 + 4 * 256)
        self._boxes = [list(pi[18 + 256 * n:274 + 256 * n]) for n in range(4)]
        stream = key * (72 // len(key) + 1)
        self._subkeys = [word ^ int.from_bytes(stream[4 * n:4 * n + 4], "big")
                         for n, word in enumerate(pi[:18])]
        left = right = 0
        for table in [self._subkeys, *self._boxes]:
            for n in range(0, len(table), 2):
                left, right = self._run(left, right, self._subkeys)
                table[n], table[n + 1] = left, right

    def _run(self, left, right, keys):
        box0, box1, box2, box3 = self._boxes
        for key in keys[:16]:
            left ^= key
            mixed = (box0[left >> 24] + box1[left >> 16 & 255]) & MASK32
            right ^= ((mixed ^ box2[left >> 8 & 255]) + box3[left & 255]) & MASK32
            left, right = right, left
        return right ^ keys[17], left ^ keys[16]

    def encrypt_block(self, block):
        return struct.pack(self._format,
                           *self._run(*struct.unpack(self._format, block), self._subkeys))

    def decrypt_block(self, block):
        return struct.pack(self._format,
                           *self._run(*struct.unpack(self._format, block), self._subkeys[::-1]))


# -- IDEA -------------------------------------------------------------------------------------------


def _multiply(a, b):
    """Modulo 65537, 0 standing for 65536."""
    return (a or 65536) * (b or 65536) % 65537 & 0xFFFF


class Idea:
    """`order` is the struct prefix of the words of key and block: "<" or, as textbooks have it, ">"."""

    ROUNDS = 8

    def __init__(self, key, order="<"):
        self._format = order + "4H"
        words = struct.unpack(order + "8H", key)
        number = int.from_bytes(struct.pack(">8H", *words), "big")
        subkeys = []
        while len(subkeys) < 52:
            subkeys += struct.unpack(">8H", number.to_bytes(16, "big"))
            number = (number << 25 | number >> 103) & (1 << 128) - 1
        self._encryption = subkeys[:52]
        self._decryption = self._inverted(self._encryption)

    @classmethod
    def _inverted(cls, keys):
        inverse = [pow(key or 65536, -1, 65537) & 0xFFFF for key in keys]
        negative = [-key & 0xFFFF for key in keys]
        result = []
        for step in range(cls.ROUNDS + 1):
            at = 6 * (cls.ROUNDS - step)
            inner = (at + 1, at + 2) if step in (0, cls.ROUNDS) else (at + 2, at + 1)
            result += [inverse[at], negative[inner[0]], negative[inner[1]], inverse[at + 3]]
            if step < cls.ROUNDS:
                result += keys[at - 2:at]
        return result

    def _run(self, block, keys):
        a, b, c, d = struct.unpack(self._format, block)
        for n in range(0, 6 * self.ROUNDS, 6):
            a, d = _multiply(a, keys[n]), _multiply(d, keys[n + 3])
            b, c = (b + keys[n + 1]) & 0xFFFF, (c + keys[n + 2]) & 0xFFFF
            p = _multiply(a ^ c, keys[n + 4])
            q = _multiply((p + (b ^ d)) & 0xFFFF, keys[n + 5])
            p = (p + q) & 0xFFFF
            a, b, c, d = a ^ q, c ^ q, b ^ p, d ^ p
        n = 6 * self.ROUNDS
        return struct.pack(self._format, _multiply(a, keys[n]), (c + keys[n + 1]) & 0xFFFF,
                           (b + keys[n + 2]) & 0xFFFF, _multiply(d, keys[n + 3]))

    def encrypt_block(self, block):
        return self._run(block, self._encryption)

    def decrypt_block(self, block):
        return self._run(block, self._decryption)


# -- by name, and chaining --------------------------------------------------------------------------

MAKERS = {"blowfish": functools.partial(Blowfish, order="<"),
          "idea-le": functools.partial(Idea, order="<"),
          "idea-be": functools.partial(Idea, order=">")}


def make(name, key):
    """The cipher of a link for a 16-octet key; names are those of MAKERS."""
    if len(key) != 16:
        raise ValueError(f"a key has 16 octets, not {len(key)}")
    return MAKERS[name](key)


def _xor(one, two):
    return (int.from_bytes(one, "big") ^ int.from_bytes(two, "big")).to_bytes(8, "big")


def cbc_encrypt(cipher, iv, text):
    result = b""
    for at in range(0, len(text), 8):
        iv = cipher.encrypt_block(_xor(text[at:at + 8], iv))
        result += iv
    return result


def cbc_decrypt(cipher, iv, text):
    result = b""
    for at in range(0, len(text), 8):
        result += _xor(cipher.decrypt_block(text[at:at + 8]), iv)
        iv = text[at:at + 8]
    return result
