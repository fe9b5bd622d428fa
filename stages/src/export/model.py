"""The student as a PyTorch module, of the two files beside this one: model.safetensors and config.json.

    import model
    logits = model.load()(images)  # (N, classes), the sum over networks

`images` are float32 (N, channels, size, size), as `pretrained_cfg` in config.json has it: (value / 255 - mean) / std.
"""

import json
from pathlib import Path

from safetensors.torch import load_file
from torch import nn


class Block(nn.Module):
    """Norm and ReLU come before each convolution, and before the shortcut too."""

    def __init__(self, channels, width, stride):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels, eps=1e-5)
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width, eps=1e-5)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        changes = stride != 1 or channels != width
        self.shortcut = nn.Conv2d(channels, width, 1, stride, bias=False) if changes else nn.Identity()

    def forward(self, x):
        x = self.norm1(x).relu()
        return self.conv2(self.norm2(self.conv1(x)).relu()) + self.shortcut(x)


class Network(nn.Module):
    """One network: (N, channels, size, size) to logits (N, classes)."""

    def __init__(self, input_channels, width, blocks, first_stride, classes, embedding, **_):
        super().__init__()
        conv = nn.Conv2d(input_channels, width, 3, 1, 1, bias=False)
        self.stem = nn.ModuleDict({"conv": conv, "norm": nn.BatchNorm2d(width, eps=1e-5)})
        self.stages = nn.ModuleList()
        channels = width
        for stage, count in enumerate(blocks):
            strides = [2 if stage else first_stride] + [1] * (count - 1)
            made = nn.ModuleList()
            for stride in strides:
                made.append(Block(channels, width << stage, stride))
                channels = width << stage
            self.stages.append(nn.ModuleDict({"blocks": made}))
        self.classifier = nn.Linear(channels, classes)
        # Training alone needs it.
        self.projector = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, embedding))

    def forward(self, x):
        x = self.stem["norm"](self.stem["conv"](x)).relu()
        for stage in self.stages:
            for block in stage["blocks"]:
                x = block(x)
        return self.classifier(x.mean((2, 3)))


class Student(nn.ModuleDict):
    """All networks: their logits are added."""

    def forward(self, images):
        return sum(network(images) for network in self.values())


def load(folder=Path(__file__).parent):
    """The student in evaluation mode; weights that are stored as float16 are computed with as float32."""
    config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    student = Student({name: Network(**config["model_args"]) for name in config["networks"]})
    weights = load_file(Path(folder) / "model.safetensors")
    student.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return student.eval()
