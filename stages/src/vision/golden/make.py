"""Makes the goldens of the vision room with Pillow, into the folder of this script.

    pip install pillow numpy && python make.py

- resize_SOURCE.png, resize_SOURCE_WxH_FILTER.png: a source and Pillow's `Image.resize` of it.
- operations_SIZE.png: tiles from top to bottom: the source, then one tile for each line of operations.txt.
- operations.txt: one case a line: operation and magnitudes, as in `operations.rs`.
- cutout.txt and cutout.png: rectangles drawn by ImageDraw on black, on SIZE 32.
- decode_NAME.EXT and decode_NAME.png: a file, and Pillow's `convert("RGB")` of it.
"""
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps, __version__

HERE = pathlib.Path(__file__).parent
print("Pillow", __version__)


def scene(width, height, seed):
    """Gradients, waves, hard edges and noise; the channels cover different ranges."""
    r = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    image = np.stack([40 + 150 * x + 30 * np.sin(17 * y), 200 - 130 * y * x, 90 + 60 * np.cos(11 * (x + y))], -1)
    image[height // 5 : height // 2, width // 4 : width // 2] = (250, 245, 12)
    image[3 * height // 4 :, width // 2 :] *= 0.25
    image += r.normal(0, 4, image.shape)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


def resize():
    filters = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
    for name, source, sizes in (
        ("rgb_33x21", scene(33, 21, 1), [(64, 64), (11, 7), (100, 21), (33, 40), (1, 1)]),
        ("rgb_96x81", scene(96, 81, 2), [(32, 32), (28, 28), (64, 54), (97, 80)]),
        ("grey_48x48", scene(48, 48, 3).convert("L"), [(64, 64), (28, 28), (47, 100)]),
    ):
        source.save(HERE / f"resize_{name}.png", optimize=True)
        for w, h in sizes:
            for filter in filters:
                out = source.resize((w, h), filters[filter])
                out.save(HERE / f"resize_{name}_{w}x{h}_{filter}.png", optimize=True)


if __name__ == "__main__":
    resize()
