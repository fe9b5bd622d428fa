"""Runs an exported student in onnxruntime and compares it with what coreg says of the same images.

    pip install onnx onnxruntime numpy pillow pyarrow safetensors torch
    target/release/coreg export demo --output exports/demo
    python tests/exports/check_onnx.py artifacts/demo exports/demo target/release/coreg

model.py, which makes a PyTorch module of the weights, must give the graph's logits, and the README's own lines the class
that coreg gives. Where torch is missing, that is said: NOT CHECKED.

Images are compared as they lie in the run, and in other sizes. Images of up to 512 pixels on the shorter side must agree
whatever their size: the graph resizes them to the same bytes. Two things are outside the graph, and are measured by
themselves: coreg's JPEG decoder is not Pillow's, and `coreg predict` stores an image that it made smaller as JPEG before
it looks at it. So sizes are compared with PNG files of what Pillow decoded, and large images with PNG files of what
Pillow made smaller.
"""

import ast
import csv
import importlib.util
import io
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import onnx
import onnxruntime
import pyarrow.parquet
from PIL import Image

MOST = 512  # Pixels on the shorter side, before predicting makes images smaller.
SMALL = [(28, 28), (50, 40), (64, 64), (37, 100), (640, 427), (300, 700)]
LARGE = [(1200, 900), (900, 1600)]
BASES = 8  # Test images that are shown in other sizes.


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def colours(image):
    return numpy.asarray(image.convert("RGB"))


def decoded(image, **how):
    """An image after it was a JPEG file, as Pillow decodes it, and the file."""
    file = io.BytesIO()
    image.save(file, "JPEG", **how)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB"), file.getvalue()


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def made_smaller(image):
    short = min(image.size)
    sides = [-(-side * MOST // short) for side in image.size]
    return image.resize(sides, Image.BICUBIC)


def predicted(coreg, student, folder, network):
    table = folder.parent / "predictions.csv"
    command = [coreg, "predict", str(student), str(folder), "--device", "cpu", "--output", str(table), "--force"]
    subprocess.run(command + network, check=True, capture_output=True)
    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return {row[0]: numpy.array([float(p) for p in row[3:]]) for row in rows}


def check_module(export, shown):
    """model.py against the graph, from the networks' input on."""
    spec = importlib.util.spec_from_file_location("model", export / "model.py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        print(f"NOT CHECKED: {export / 'model.py'}: {error}")
        return
    import torch

    graph = onnx.load(export / "student.onnx")
    graph.graph.output.append(onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, None))
    student = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    rebuilt = module.load(export)
    apart = 0.0
    for image in shown:
        logits, prepared = student.run(["logits", "input"], {"images": image[None]})
        with torch.no_grad():
            found = rebuilt(torch.from_numpy(prepared)).numpy()
        apart = max(apart, numpy.abs(found - logits).max() / max(1.0, numpy.abs(logits).max()))
    print(f"{export / 'model.py'}: logits of {len(shown)} images at most {apart:.1e} of the largest apart")
    assert apart < 1e-4, apart


def check_readme(export, surest, coreg, student, network):
    """The lines of the README on a photograph held sideways and on 16 bits of grey, against coreg."""
    lines = re.search(r"```python\n(.*?)```", (export / "README.md").read_text(encoding="utf-8"), re.DOTALL).group(1)
    sideways = Image.Exif()
    sideways[0x0112] = 6  # To be turned by 90 degrees clockwise.
    deep = (numpy.asarray(surest.convert("L")).astype("uint16") << 8) + 255
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "images"
        folder.mkdir()
        _, turned = decoded(surest.transpose(Image.Transpose.ROTATE_90), quality=95, exif=sideways)
        (folder / "sideways.jpg").write_bytes(turned)
        (folder / "deep.png").write_bytes(png(Image.fromarray(deep)))
        said = predicted(coreg, student, folder, network)
        names = json.loads(session(export / "student.onnx").get_modelmeta().custom_metadata_map["classes"])
        for name, probabilities in said.items():
            code = lines.replace('"image.jpg"', repr(str(folder / name)))
            command = [sys.executable, "-c", code]
            shown = subprocess.run(command, cwd=export, check=True, capture_output=True, encoding="utf-8").stdout
            assert shown == names[probabilities.argmax()] + "\n", (name, shown, names[probabilities.argmax()])
    print(f"{export / 'README.md'}: its lines say what coreg says of an image held sideways and of one of 16 bits")


def main(view, export, coreg):
    path = export / "student.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.opset_import[0].version) == (8, 18)
    halves = any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer)
    allowed = 1e-2 if halves else 1e-3
    student = session(path)
    metadata = student.get_modelmeta().custom_metadata_map
    classes = json.loads(metadata["classes"])
    source = view / metadata["method"] / "student.json"
    description = json.loads(source.read_text(encoding="utf-8"))
    size = description["input"]["size"]
    assert classes == description["classes"], classes
    assert ast.literal_eval(metadata["names"]) == dict(enumerate(classes)), metadata["names"]
    assert (metadata["task"], metadata["stride"], metadata["producer"]) == ("classify", "1", "coreg"), metadata
    assert metadata["imgsz"] == f"[{size}, {size}]", metadata["imgsz"]
    networks = json.loads(metadata["networks"])
    every = networks == description["networks"]
    network = [] if every else ["--network", str(1 + description["networks"].index(networks[0]))]
    print(f"{path}: {path.stat().st_size} bytes, {'f16' if halves else 'f32'}, {len(classes)} classes, {networks}")

    def probabilities(images):
        outputs = student.run(["probabilities", "logits"], {"images": images})
        exact = numpy.exp(outputs[1] - outputs[1].max(1, keepdims=True))
        assert numpy.abs(exact / exact.sum(1, keepdims=True) - outputs[0]).max() < 1e-5
        return outputs[0]

    # The test images as they lie in the run.
    images = pyarrow.parquet.read_table(view / "download/images.parquet", columns=["id", "image"]).to_pylist()
    images = {row["id"]: row["image"]["bytes"] for row in images}
    rows = pyarrow.parquet.read_table(view / "evaluate/predictions.parquet").slice(0, 1000).to_pylist()
    found = []
    for row in rows:
        found.append(probabilities(colours(Image.open(io.BytesIO(images[row["id"]])))[None])[0])
    wanted = numpy.array([row["probs"] for row in rows])
    apart = numpy.abs(numpy.array(found) - wanted)
    other = sum(int(p.argmax()) != row["prediction"] for p, row in zip(found, rows))
    if every:
        print(f"{len(rows)} test images: {other} of another class, probabilities at most {apart.max():.2e} apart")
        assert apart.max() < allowed, apart.max()
        assert halves or other == 0, other

    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "images"
        folder.mkdir()
        shown = {}  # What the graph is given, by the names of the files that `predict` is given.

        def show(name, image, file):
            shown[name] = colours(image)
            (folder / name).write_bytes(file)

        for base in range(BASES):
            row = rows[base * len(rows) // BASES]
            image = Image.open(io.BytesIO(images[row["id"]])).convert("RGB")
            for width, height in SMALL + LARGE:
                # Smooth, as photographs are, and once through JPEG, which is what most files are.
                pixels, jpeg = decoded(image.resize((width, height), Image.BICUBIC), quality=92)
                name = f"{width}x{height}-{base}"
                show(f"{name}-jpeg.jpg", pixels, jpeg)
                if min(width, height) <= MOST:
                    show(f"{name}-pixels.png", pixels, png(pixels))
                else:
                    # The graph makes the image smaller itself; for `predict` Pillow did.
                    show(f"{name}-pixels.png", pixels, png(made_smaller(pixels)))
                    stored, _ = decoded(made_smaller(pixels), quality=95, subsampling=0)
                    show(f"{name}-stored.png", stored, png(stored))
        said = predicted(coreg, source.parent, folder, network)
        assert set(said) == set(shown), set(said) ^ set(shown)
        given = {name: probabilities(image[None])[0] for name, image in shown.items()}

        def apart_in(kind, width, height):
            names = [f"{width}x{height}-{base}-{kind}" for base in range(BASES)]
            return numpy.array([numpy.abs(given[name] - said[name]).max() for name in names])

        for width, height in SMALL + LARGE:
            pixels, jpeg = (apart_in(kind, width, height) for kind in ("pixels.png", "jpeg.jpg"))
            line = f"{width} × {height}: from the same pixels at most {pixels.max():.1e} apart, "
            line += f"decoded from JPEG by each itself {jpeg.max():.1e} (median {numpy.median(jpeg):.1e})"
            if min(width, height) > MOST:
                names = [f"{width}x{height}-{base}" for base in range(BASES)]
                lost = [numpy.abs(given[f"{n}-pixels.png"] - given[f"{n}-stored.png"]).max() for n in names]
                line += f"; storing the smaller image as JPEG changes {max(lost):.1e} (median {numpy.median(lost):.1e})"
                assert apart_in("stored.png", width, height).max() < allowed
            print(line)
            assert pixels.max() < allowed, (width, height, pixels)

    # A batch is as good as its images one by one, and a batch of one kind of size is one call.
    batch = numpy.stack([shown[f"50x40-{base}-pixels.png"] for base in range(BASES)])
    alone = numpy.array([given[f"50x40-{base}-pixels.png"] for base in range(BASES)])
    assert numpy.abs(probabilities(batch) - alone).max() < 1e-5

    surest = rows[int(numpy.array(found).max(1).argmax())]["id"]
    surest = Image.open(io.BytesIO(images[surest])).convert("RGB")
    check_readme(export, surest, coreg, source.parent, network)
    if (export / "model.py").is_file():
        check_module(export, list(shown.values()))

    weights = export / "model.safetensors"
    if weights.is_file():
        from safetensors.numpy import load_file

        config = json.loads((export / "config.json").read_text(encoding="utf-8"))
        prepared = config["pretrained_cfg"]
        assert config["label_names"] == classes and config["num_classes"] == len(classes)
        assert config["networks"] == networks and config["network"]["norm_eps"] == 1e-5
        assert prepared["input_size"] == [description["input"]["channels"], size, size]
        assert (prepared["interpolation"], prepared["crop_pct"], prepared["crop_mode"]) == ("bilinear", 1, "squash")
        trained = load_file(source.parent / "student.safetensors")
        trained = {name: t for name, t in trained.items() if name.split(".")[0] in networks}
        stored = load_file(weights)
        assert set(stored) == set(trained)
        for name, tensor in trained.items():
            lost = numpy.abs(stored[name].astype("float32") - tensor)
            bound = 1e-3 * numpy.abs(tensor).max() if halves else 0
            assert stored[name].shape == tensor.shape and lost.max() <= bound, name
        print(f"{weights}: {len(stored)} tensors, as they were trained")
    print("all is well")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
