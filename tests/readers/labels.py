"""Reads labels that `coreg export labels` wrote, and compares them with the tables of the run that they are of.

    pip install pandas pyarrow datasets pillow
    coreg export labels demo --format csv --output labels.csv
    coreg export labels demo --format imagefolder --output folder
    python tests/readers/labels.py artifacts/demo labels.csv folder …

Each further argument is a file or folder of any format; what it is, its content tells. Fails if one of them has other
labels than the run, or lacks what its format demands. The method is Co-Reg.
"""
import json
import sys
import tempfile
import xml.etree.ElementTree
from pathlib import Path

import datasets
import pandas
import pyarrow.parquet

datasets.disable_progress_bars()

MANIFEST = ".coreg-export.json"


def said_by_the_run(view):
    """The label of each image by its id."""
    features = json.loads(pyarrow.parquet.read_schema(view / "download/images.parquet").metadata[b"huggingface"])
    names = features["classes"]
    settled = pandas.read_parquet(view / "co-reg/pseudo_labels.parquet")
    tested = pandas.read_parquet(view / "evaluate/predictions.parquet")
    labels = dict(zip(settled["id"], settled["pseudo_label"])) | dict(zip(tested["id"], tested["prediction"]))
    return names, {image: names[label] for image, label in labels.items()}


def table(frame):
    assert list(frame.columns) == ["id", "split", "label", "confidence", "source", "candidates", "truth"], frame.columns
    # A student's probabilities and shares of votes are two measures: what annotators say comes last.
    annotated = frame["source"] == "annotators"
    assert annotated.is_monotonic_increasing, "the annotators' labels do not come last"
    for part in (frame[~annotated], frame[annotated]):
        assert part["confidence"].is_monotonic_increasing, "the most doubtful do not come first"
    return dict(zip(frame["id"], frame["label"]))


def check_list_of_files(folder):
    """By this list the folder is known for an export, and its files are told from those that others put there."""
    listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    there = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert set(listed) | {MANIFEST} == there, set(listed) ^ there


def image_folder(folder):
    labels = {}
    with tempfile.TemporaryDirectory() as cache:
        parts = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=cache)
        for name, part in parts.items():
            files = [file for file in (folder / name).iterdir() if not file.name.startswith("metadata.")]
            assert len(files) == len(part), (name, len(files), len(part))
            for row in part:
                row["image"].load()
                labels[row["id"]] = row["label"]
    return labels


def coco(folder):
    content = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    images = {image["id"]: image for image in content["images"]}
    categories = {category["id"]: category["name"] for category in content["categories"]}
    assert len(images) == len(content["images"]) and min(categories) == 1, "numbers are not unique, or begin at 0"
    for image in images.values():
        assert image["width"] > 0 and image["height"] > 0, image
        assert (folder / "images" / image["file_name"]).is_file(), image
    labels = {}
    for annotation in content["annotations"]:
        assert 0 <= annotation["score"] <= 1 and annotation["id"] > 0, annotation
        labels[images[annotation["image_id"]]["name"]] = categories[annotation["category_id"]]
    return labels, list(categories.values())


def label_studio(folder):
    config = xml.etree.ElementTree.parse(folder / "config.xml").getroot()
    choices = config.find("Choices")
    image = config.find("Image")
    names = [choice.get("value") for choice in choices]
    labels = {}
    for task in json.loads((folder / "tasks.json").read_text(encoding="utf-8")):
        # `value="$image"` is the key of the task's data.
        address = task["data"][image.get("value").lstrip("$")]
        assert (folder / "images" / address.rsplit("/", 1)[-1]).is_file(), address
        for prediction in task["predictions"]:
            (result,) = prediction["result"]
            assert result["from_name"] == choices.get("name"), result
            assert result["to_name"] == choices.get("toName") == image.get("name"), result
            assert result["type"] == "choices" and 0 <= prediction["score"] <= 1, prediction
            (choice,) = result["value"]["choices"]
            assert choice in names, choice
            labels[task["data"]["id"]] = choice
    return labels, names


names, expected = said_by_the_run(Path(sys.argv[1]))
exports = [Path(argument) for argument in sys.argv[2:]]
assert exports, __doc__
for export in exports:
    listed = names
    if export.is_dir():
        check_list_of_files(export)
    if export.suffix == ".csv":
        kind, labels = "CSV", table(pandas.read_csv(export, keep_default_na=False, dtype={"id": str, "label": str}))
    elif export.suffix == ".jsonl":
        kind, labels = "JSON lines", table(pandas.read_json(export, lines=True, dtype=False))
    elif (export / "annotations.json").exists():
        kind, (labels, listed) = "COCO", coco(export)
    elif (export / "tasks.json").exists():
        kind, (labels, listed) = "Label Studio", label_studio(export)
    else:
        kind, labels = "imagefolder", image_folder(export)
        listed = json.loads((export / "classes.json").read_text(encoding="utf-8"))
    assert listed == names, (export, listed)
    # An export may be of some images alone.
    assert labels and labels == {image: expected[image] for image in labels}, f"{export}: other labels than the run's"
    print(f"{export}: {kind}, {len(labels)} of {len(expected)} images, the labels are the run's")
