"""Makes the goldens of the vision room with Pillow, into the folder of this script.

    pip install pillow numpy && python make.py

- resize_SOURCE.png, resize_SOURCE_WxH_FILTER.png: a source and Pillow's `Image.resize` of it.
- operations_SIZE.png: tiles from top to bottom: the source, then one tile for each line of operations.txt.
- operations.txt: one case a line: operation and magnitudes, as in `operations.rs`.
- cutout.txt and cutout.png: rectangles drawn by ImageDraw on black, on SIZE 32.
- decode_FILE and decode_FILE.expected.png: a file; above Pillow's `convert("RGB")` of it, below its `convert("L")`.
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


def decode():
    rgb = scene(24, 17, 4)
    alpha = Image.linear_gradient("L").resize(rgb.size)
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    frames = [scene(24, 17, seed).quantize(32) for seed in (5, 6)]
    jpeg = {"quality": 90}
    files = {
        "rgb.png": (rgb, {}), "rgba.png": (rgba, {}), "grey.png": (rgb.convert("L"), {}),
        "grey_alpha.png": (rgba.convert("LA"), {}), "bits.png": (rgb.convert("1"), {}),
        "palette.png": (rgb.quantize(40), {"transparency": 3}), "rgb.bmp": (rgb, {}),
        "rgb.tiff": (rgb, {"compression": "tiff_lzw"}), "cmyk.tiff": (rgb.convert("CMYK"), {}),
        "animated.gif": (frames[0], {"save_all": True, "append_images": frames[1:], "duration": 100}),
        "transparent.gif": (rgb.quantize(40), {"transparency": 3}), "rgb.webp": (rgb, {"lossless": True}),
        "lossy.webp": (rgb, {"quality": 90}), "444.jpg": (rgb, {"subsampling": 0, **jpeg}),
        "420.jpg": (rgb, {"subsampling": 2, **jpeg}), "progressive.jpg": (rgb, {"progressive": True, **jpeg}),
        "grey.jpg": (rgb.convert("L"), jpeg), "cmyk.jpg": (rgb.convert("CMYK"), jpeg),
    }  # fmt: skip
    for name, (image, options) in files.items():
        image.save(HERE / f"decode_{name}", **options)
        read = Image.open(HERE / f"decode_{name}")
        expected = Image.new("RGB", (24, 34))
        expected.paste(read.convert("RGB"), (0, 0))
        expected.paste(read.convert("L").convert("RGB"), (0, 17))
        expected.save(HERE / f"decode_{name}.expected.png", optimize=True)


if __name__ == "__main__":
    resize()
    decode()
