"""Writes draws.json: what MixUp of Co-Reg's first two steps draws, which make_step.py gives to PyTorch.

    python make_draws.py           (needs the package blake3; no data, no network)

A second implementation of the draws of rand and rand_distr: Beta(4, 4) by Cheng's algorithm BB, and the shuffle of
Fisher and Yates with as many indices out of one number as fit. A test holds the Rust code against the file, so a
library that draws otherwise does not go unnoticed.
"""
import json
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[5] / "pipeline" / "src" / "golden"))
from random_stream import WORD, Stream  # noqa: E402

ROWS, MIXUP = 20, 4.0


def beta(stream, a):
    """Beta(a, a) for a > 1 (Cheng 1978, BB)."""
    alpha = a + a
    b = math.sqrt((alpha - 2) / (2 * a * a - alpha))
    gamma = a + 1 / b
    while True:
        u1, u2 = stream.unit(), stream.unit()
        v = b * math.log(u1 / (1 - u1))
        w = a * math.exp(v)
        z = u1 * u1 * u2
        r = gamma * v - math.log(4)
        s = a + r - w
        if s + 1 + math.log(5) >= 5 * z or s >= math.log(z) or r + alpha * math.log(alpha / (a + w)) >= math.log(z):
            return a / (a + w)


def shuffled(stream, count):
    """The numbers below a count: the i-th is swapped with one up to it, the index of which is a digit of a number
    below i · (i + 1) · …, as many factors as 32 bits hold."""
    order, digits, left = list(range(count)), 0, 1
    for i in range(count):
        if left == 0:
            bound, last = i + 1, i + 2
            while bound * last <= WORD:
                bound, last = bound * last, last + 1
            digits, left = stream.below(bound), last - i - 1
        left -= 1
        digits, index = (digits, digits) if left == 0 else divmod(digits, i + 1)
        order[i], order[index] = order[index], order[i]
    return order


def main():
    draws = []
    for step in range(2):
        stream = Stream(0, f"co-reg/network1/epoch0/mixup/{step}")
        share = beta(stream, MIXUP)
        draws.append({"lambda": max(share, 1 - share), "order": shuffled(stream, ROWS)})
    lines = ",\n  ".join(json.dumps(draw) for draw in draws)
    pathlib.Path(__file__).with_name("draws.json").write_text(f"[\n  {lines}\n]\n")


if __name__ == "__main__":
    main()
