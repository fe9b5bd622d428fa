"""How many images a second an exported student classifies in onnxruntime, beside `coreg predict` on the same files.

    pip install onnxruntime numpy pillow pyarrow
    python tests/exports/speed.py artifacts/demo exports/demo target/release/coreg [IMAGES]

Both are timed from the files to the probabilities, on two threads, in turn: onnxruntime in batches of 64 that Pillow
decodes beside it, and `coreg predict` with its start. The files are the images of the run, as often as it
takes to make 10,000. Medians of three.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
import onnxruntime
import pyarrow.parquet
from PIL import Image

BATCH = 64
ROUNDS = 3
THREADS = 2


def decoded(batch):
    return numpy.stack([numpy.asarray(Image.open(path).convert("RGB")) for path in batch])


def classify(student, paths):
    batches = [paths[first : first + BATCH] for first in range(0, len(paths), BATCH)]
    # The next batch is decoded while the network looks at this one.
    with ThreadPoolExecutor(1) as decoder:
        following = decoder.submit(decoded, batches[0])
        for batch in batches[1:] + [None]:
            images = following.result()
            if batch:
                following = decoder.submit(decoded, batch)
            student.run(["probabilities"], {"images": images})


def main(view, export, coreg, count):
    images = pyarrow.parquet.read_table(view / "download/images.parquet", columns=["image"]).to_pylist()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "images"
        folder.mkdir()
        for number in range(count):
            (folder / f"{number:06}.png").write_bytes(images[number % len(images)]["image"]["bytes"])
        paths = sorted(folder.iterdir())
        table = Path(root) / "predictions.parquet"
        command = [coreg, "predict", str(view), str(folder), "--device", "cpu", "--output", str(table), "--force"]
        environment = os.environ | {"RAYON_NUM_THREADS": str(THREADS)}
        seconds = {"onnxruntime": [], "coreg predict": []}
        for _ in range(ROUNDS):
            began = time.perf_counter()
            path, providers = str(export / "student.onnx"), ["CPUExecutionProvider"]
            student = onnxruntime.InferenceSession(path, options, providers=providers)
            classify(student, paths)
            seconds["onnxruntime"].append(time.perf_counter() - began)
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=environment)
            seconds["coreg predict"].append(time.perf_counter() - began)
    rates = {name: count / statistics.median(times) for name, times in seconds.items()}
    for name, rate in rates.items():
        spread = ", ".join(f"{count / took:.0f}" for took in seconds[name])
        print(f"{name:<14} {rate:>7.0f} images a second ({spread})")
    print(f"coreg predict is {rates['coreg predict'] / rates['onnxruntime']:.2f} times as fast")


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]) if len(sys.argv) == 5 else 10_000)
