"""Makes the goldens of the vision room with Pillow, into the folder of this script.

    pip install pillow numpy && python make.py

- resize_SOURCE.png, resize_SOURCE_WxH_FILTER.png: a source and Pillow's `Image.resize` of it.
- operations_NAME.png: tiles from top to bottom: the source, then one for each line of operations_NAME.txt,
  which has an operation and its magnitude, named as in `operations.rs`.
- cutout.png: tiles of 32 x 32 for the lines of cutout.txt, each with side and centre as shares of the width.
- decode_FILE and decode_FILE.expected.png: a file; above Pillow's `convert("RGB")` of it, below its `convert("L")`.
"""
import io
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
    cmyk_as_other_programs_write_it(rgb)
    for name in [*files, "ycck.jpg", "cmyk_420.jpg", "cmyk_unmarked.jpg"]:
        read = Image.open(HERE / f"decode_{name}")
        expected = Image.new("RGB", (24, 34))
        expected.paste(read.convert("RGB"), (0, 0))
        expected.paste(read.convert("L").convert("RGB"), (0, 17))
        expected.save(HERE / f"decode_{name}.expected.png", optimize=True)


def cmyk_as_other_programs_write_it(rgb):
    """Black in its own channel, and the three ways of marking a CMYK JPEG that Pillow reads and does not write."""
    ink = np.array(rgb.convert("CMYK"))
    black = ink[..., :3].min(-1, keepdims=True) // 2
    ink = Image.fromarray(np.concatenate([ink[..., :3] - black, black], -1), "CMYK")
    marker = b"\xff\xee\x00\x0eAdobe"

    def encoded(image, subsampling):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=90, subsampling=subsampling)
        file = file.getvalue()
        assert file.count(marker) == 1
        return file, file.index(marker)

    file, _ = encoded(ink, 2)
    (HERE / "decode_cmyk_420.jpg").write_bytes(file)
    # Without Adobe's marker.
    file, at = encoded(ink, 0)
    (HERE / "decode_cmyk_unmarked.jpg").write_bytes(file[:at] + file[at + 16 :])
    # As Photoshop has it: cyan, magenta and yellow as YCbCr, which the marker's last byte says, and black inverted.
    # Pillow inverts what it writes.
    planes = np.array(ink)
    planes[..., :3] = 255 - np.array(Image.fromarray(planes[..., :3].copy(), "RGB").convert("YCbCr"))
    file, at = encoded(Image.fromarray(planes, "CMYK"), 0)
    assert file[at + 15] == 0
    (HERE / "decode_ycck.jpg").write_bytes(file[: at + 15] + b"\2" + file[at + 16 :])


FACTORS = [0.05, 0.5, 0.3, 0.77, 0.95]
EITHER_WAY = [-0.3, 0.07, 0.3, -0.11, 0.0, 0.02]
OPERATIONS = {
    "autocontrast": [0], "brightness": FACTORS, "colour": FACTORS, "contrast": FACTORS, "sharpness": FACTORS,
    "equalize": [0], "identity": [0], "posterize": [4, 5, 7, 8], "rotate": [-30, 17.3, 30, -3.7, 0],
    "shear_x": EITHER_WAY, "shear_y": EITHER_WAY, "solarize": [0, 100, 129, 255],
    "translate_x": EITHER_WAY, "translate_y": EITHER_WAY,
}  # fmt: skip


def apply(operation, m, image):
    enhance = {"brightness": "Brightness", "colour": "Color", "contrast": "Contrast", "sharpness": "Sharpness"}
    if operation in enhance:
        return getattr(ImageEnhance, enhance[operation])(image).enhance(m)
    size = image.width

    def affine(*matrix):
        return image.transform(image.size, Image.AFFINE, matrix)

    match operation:
        case "autocontrast":
            return ImageOps.autocontrast(image)
        case "equalize":
            return ImageOps.equalize(image)
        case "identity":
            return image
        case "posterize":
            return ImageOps.posterize(image, m)
        case "solarize":
            return ImageOps.solarize(image, m)
        case "rotate":
            return image.rotate(m)
        case "shear_x":
            return affine(1, m, 0, 0, 1, 0)
        case "shear_y":
            return affine(1, 0, 0, m, 1, 0)
        case "translate_x":
            return affine(1, 0, m * size, 0, 1, 0)
        case "translate_y":
            return affine(1, 0, 0, 0, 1, m * size)


def sheet(name, tiles):
    out = Image.new("RGB", (tiles[0].width, sum(tile.height for tile in tiles)))
    for i, tile in enumerate(tiles):
        out.paste(tile, (0, i * tile.height))
    out.save(HERE / f"{name}.png", optimize=True)


def operations():
    faint = np.array(scene(28, 28, 10)) // 3 + 60
    faint[..., 2] = 77
    for name, source, take in (
        ("28", scene(28, 28, 7), 6),
        ("32", scene(32, 32, 8), 6),
        ("64", scene(64, 64, 9), 2),
        ("faint", Image.fromarray(faint), 1),
    ):
        cases = [(operation, m) for operation, all in OPERATIONS.items() for m in all[:take]]
        (HERE / f"operations_{name}.txt").write_text("".join(f"{operation} {m}\n" for operation, m in cases))
        sheet(f"operations_{name}", [source] + [apply(operation, m, source) for operation, m in cases])


def cutout():
    r = np.random.default_rng(11)
    cases = [(0, 0.5, 0.5), (0.5, 0, 0), (0.5, 1, 1), (0.5, 0.5, 0.5), (0.25, 0.999, 0.1), (0, 1, 1)]
    cases += [(v / 2, x, y) for v, x, y in r.uniform(size=(20, 3))]
    tiles = []
    for side, x, y in cases:
        tile = Image.new("RGB", (32, 32))
        x0, y0 = max(0, 32 * x - 16 * side), max(0, 32 * y - 16 * side)
        square = (x0, y0, min(32, x0 + 32 * side), min(32, y0 + 32 * side))
        ImageDraw.Draw(tile).rectangle(square, (125, 123, 114))
        tiles.append(tile)
    (HERE / "cutout.txt").write_text("".join(f"{side} {x} {y}\n" for side, x, y in cases))
    sheet("cutout", tiles)


if __name__ == "__main__":
    resize()
    decode()
    operations()
    cutout()
