"""Writes draws.json: what MixUp draws in the first two steps of make_step.py, λ and the order of 20 rows.

    python make_draws.py            (needs nothing else)

It repeats the way from a stream's name to its numbers, each part after its source: the key of a stream (BLAKE3 in key
derivation mode, pipeline/src/random.rs), ChaCha8, and rand's and rand_distr's Beta (Cheng 1978, algorithm BB), numbers
below a bound (Canon) and shuffle (Durstenfeld).
"""
import json
import math
import pathlib
import struct

SEED, STREAMS = 0, ["co-reg/network1/epoch0/mixup/0", "co-reg/network1/epoch0/mixup/1"]
MIXUP, ROWS = 4.0, 20
MASK = 0xFFFFFFFF


def rotated(x, right):
    return (x >> right | x << (32 - right)) & MASK


# BLAKE3, for inputs of one chunk (at most 1024 bytes).
IV = [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19]
PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
CHUNK_START, CHUNK_END, ROOT, DERIVE_KEY_CONTEXT, DERIVE_KEY_MATERIAL = 1, 2, 8, 32, 64
COLUMNS_AND_DIAGONALS = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                         (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]


def compressed(chaining, block, length, flags):
    v = chaining + IV[:4] + [0, 0, length, flags]
    m = list(struct.unpack("<16I", block.ljust(64, b"\0")))
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(COLUMNS_AND_DIAGONALS):
            for word, first, second in ((m[2 * i], 16, 12), (m[2 * i + 1], 8, 7)):
                v[a] = (v[a] + v[b] + word) & MASK
                v[d] = rotated(v[d] ^ v[a], first)
                v[c] = (v[c] + v[d]) & MASK
                v[b] = rotated(v[b] ^ v[c], second)
        m = [m[i] for i in PERMUTATION]
    return [v[i] ^ v[i + 8] for i in range(8)]


def blake3(key, data, mode):
    blocks = [data[at:at + 64] for at in range(0, len(data), 64)] or [b""]
    for i, block in enumerate(blocks):
        start = CHUNK_START if i == 0 else 0
        end = CHUNK_END | ROOT if i == len(blocks) - 1 else 0
        key = compressed(key, block, len(block), mode | start | end)
    return key


class Stream:
    """pipeline::random::stream."""

    def __init__(self, seed, name):
        context = blake3(IV, b"coreg random stream 1", DERIVE_KEY_CONTEXT)
        self.key = blake3(context, struct.pack("<Q", seed) + name.encode(), DERIVE_KEY_MATERIAL)
        self.block, self.words = 0, []

    def u32(self):
        if not self.words:
            self.words = self.chacha8()
            self.block += 1
        return self.words.pop(0)

    def u64(self):
        low = self.u32()
        return self.u32() << 32 | low

    def chacha8(self):
        start = list(struct.unpack("<4I", b"expand 32-byte k")) + self.key + [self.block, 0, 0, 0]
        v = list(start)
        for _ in range(4):
            for a, b, c, d in COLUMNS_AND_DIAGONALS:
                for first, second in ((16, 12), (8, 7)):
                    v[a] = (v[a] + v[b]) & MASK
                    v[d] = rotated(v[d] ^ v[a], 32 - first)
                    v[c] = (v[c] + v[d]) & MASK
                    v[b] = rotated(v[b] ^ v[c], 32 - second)
        return [(x + y) & MASK for x, y in zip(v, start)]

    def open01(self):
        return struct.unpack("<d", struct.pack("<Q", self.u64() >> 12 | 1023 << 52))[0] - (1.0 - 2.0 ** -53)

    def below(self, bound):
        product = self.u32() * bound
        result, low = product >> 32, product & MASK
        if low > 2 ** 32 - bound:
            result += low + (self.u32() * bound >> 32) > MASK
        return result


def beta(stream, a):
    """Beta(a, a), a > 1."""
    both = a + a
    b = math.sqrt((both - 2.0) / (2.0 * a * a - both))
    gamma = a + 1.0 / b
    while True:
        u1, u2 = stream.open01(), stream.open01()
        v = b * math.log(u1 / (1.0 - u1))
        w = a * math.exp(v)
        z = u1 * u1 * u2
        r = gamma * v - math.log(4.0)
        s = a + r - w
        if s + 1.0 + math.log(5.0) >= 5.0 * z or s >= math.log(z):
            return a / (a + w)
        if not r + both * math.log(both / (a + w)) < math.log(z):
            return a / (a + w)


def shuffled(stream, count):
    """0..count, several indices to a draw: a number below n(n + 1)… gives one below each."""
    order, chunk, left = list(range(count)), 0, 1  # the first index is 0 without a draw
    for i in range(count):
        n = i + 1
        if left == 0:
            bound, left = n, 1
            while bound * (n + left) <= MASK:
                bound, left = bound * (n + left), left + 1
            chunk = stream.below(bound)
        left -= 1
        index = chunk if left == 0 else chunk % n
        chunk //= n
        order[i], order[index] = order[index], order[i]
    return order


def draw(name):
    stream = Stream(SEED, name)
    share = beta(stream, MIXUP)
    return {"lambda": max(share, 1.0 - share), "order": shuffled(stream, ROWS)}


if __name__ == "__main__":
    lines = ",\n".join("  " + json.dumps(draw(name)) for name in STREAMS)
    pathlib.Path(__file__).with_name("draws.json").write_text(f"[\n{lines}\n]\n")
