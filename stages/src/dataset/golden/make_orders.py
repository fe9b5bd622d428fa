"""Prints the random orders of rows that the tests of split.rs expect.

    python make_orders.py          (needs the package blake3)
"""
import pathlib
import sys

import blake3

sys.path.insert(0, str(pathlib.Path(__file__).parents[4] / "pipeline" / "src" / "golden"))
from random_stream import Stream  # noqa: E402


def by_place(count, seed, name):
    """Fisher-Yates from the end; an index is a 64-bit number scaled by multiplication."""
    stream, order = Stream(seed, name), list(range(count))
    for last in range(count - 1, 0, -1):
        drawn = stream.u64() * (last + 1) >> 64
        order[last], order[drawn] = order[drawn], order[last]
    return order


def by_id(ids, seed, name):
    """In the order of the hashes of the ids."""
    digest = lambda row: blake3.blake3(f"{seed}/{name}/{ids[row]}".encode()).digest()
    return sorted(range(len(ids)), key=digest)


if __name__ == "__main__":
    print("by place:", by_place(10, 0, "split"))
    print("by id:   ", by_id([f"class/{row}.png" for row in range(10)], 0, "split"))
