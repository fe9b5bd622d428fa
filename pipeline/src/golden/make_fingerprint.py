"""Prints the fingerprint that a test of fingerprint.rs expects: `Manifest::fingerprint`, written a second time.

    python make_fingerprint.py     (needs the package blake3)
"""
import json
import struct

import blake3

STAGE, VERSION, SETTINGS = "train", 1, {"a": 0.1, "b": [True, None]}
# Their content is their name.
INPUTS, FILES = ["images", "labels"], ["p.txt"]


def leaves(value, path=""):
    """Every setting that is no list or object, or an empty one, by its path, keys in alphabetical order."""
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from leaves(value[key], f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, json.dumps(value)


def fingerprint(facts):
    """BLAKE3 over the facts: a byte for the kind, then place and value, each behind its length as 8 bytes."""
    hasher = blake3.blake3(derive_key_context="pipeline manifest 1")
    for kind, place, value in facts:
        hasher.update(bytes([kind]))
        for text in (place.encode(), value.encode()):
            hasher.update(struct.pack("<Q", len(text)) + text)
    return hasher.hexdigest()


def main():
    facts = [(0, "", STAGE), (1, "", str(VERSION))]
    facts += [(2, path, value) for path, value in leaves(SETTINGS)]
    for kind, names in ((3, INPUTS), (4, FILES)):
        facts += [(kind, str(at), blake3.blake3(name.encode()).hexdigest()) for at, name in enumerate(names)]
    print(fingerprint(facts))


if __name__ == "__main__":
    main()
