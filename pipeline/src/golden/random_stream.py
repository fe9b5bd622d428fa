"""The random streams of `pipeline::random`, written a second time, for the makers of goldens that depend on them.

It needs the package blake3.
"""
import struct

import blake3

WORD = 0xFFFFFFFF


def quarter_round(s, a, b, c, d):
    for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = (s[x] + s[y]) & WORD
        s[z] ^= s[x]
        s[z] = (s[z] << turn | s[z] >> (32 - turn)) & WORD


class Stream:
    """The random stream of a name under a seed: 32-bit numbers of ChaCha8, block after block."""

    def __init__(self, seed, name):
        key = blake3.blake3(
            struct.pack("<Q", seed) + name.encode(), derive_key_context="coreg random stream 1"
        ).digest()
        self.key, self.block, self.numbers = struct.unpack("<8I", key), 0, []

    def u32(self):
        if not self.numbers:
            start = [*struct.unpack("<4I", b"expand 32-byte k"), *self.key, self.block & WORD, self.block >> 32, 0, 0]
            s = list(start)
            for _ in range(4):
                for column in range(4):
                    quarter_round(s, column, 4 + column, 8 + column, 12 + column)
                for column in range(4):
                    quarter_round(s, column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
            self.numbers = [(x + y) & WORD for x, y in zip(s, start)]
            self.block += 1
        return self.numbers.pop(0)

    def u64(self):
        low = self.u32()
        return low | self.u32() << 32

    def unit(self):
        """From (0, 1): 52 bits and a half."""
        return ((self.u64() >> 12) + 0.5) * 2.0**-52

    def below(self, bound):
        """Below a bound, by multiplication; a second number decides where the first alone would be biased."""
        product = self.u32() * bound
        result, rest = product >> 32, product & WORD
        if rest > -bound & WORD:
            result += rest + (self.u32() * bound >> 32) > WORD
        return result
