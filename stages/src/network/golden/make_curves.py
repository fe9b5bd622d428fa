"""Writes curves.json: how PyTorch's loss falls on two small problems, step by step, from the same start as ours.

    python make_curves.py            (needs torch; no data, no network)

The problem: 64 images of waves, four classes that differ in direction; batches of 16 in turn; cross-entropy and a
term that trains the projector; SGD with momentum 0.9 and so much weight decay that its absence would show. Sizes
are odd, so that strides meet odd borders. Images and initial weights come from formulas, which tests/curves.rs repeats.

The curve is computed in float64: the truth. Rounding parts two trainings from each other, the more the longer they
go on, since an activation that falls on the other side of a ReLU is as good as another gradient. How fast, PyTorch
itself shows: `spread` is the greatest distance from the truth, up to each step, of eight trainings in float32 whose
initial weights are off by up to 1e-5 of themselves, which is what Winograd's convolutions round in a layer.
"""
import json
import math
import pathlib

import torch
from torch.nn import functional as F

from make_goldens import arch, build, values

STEPS, IMAGES, BATCH, LR, DECAY = 60, 64, 16, 0.005, 0.05
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)


def problem(a):
    """Images (IMAGES, channels, size, size) in float64, and labels."""
    size, channels, classes = a["input_size"], a["input_channels"], a["classes"]
    labels = torch.arange(IMAGES) % classes
    at = torch.arange(size, dtype=torch.float64)
    y, x, channel = torch.meshgrid(at, at, torch.arange(channels, dtype=torch.float64), indexing="ij")
    images = []
    for i, label in enumerate(labels.tolist()):
        angle = math.pi * label / classes
        wave = torch.sin((x * math.cos(angle) + y * math.sin(angle)) * 0.9 + i * 2.3 + channel)
        noise = values(wave.numel(), 3000 + i).double().reshape(wave.shape)
        images.append((0.7 * wave + 0.6 * noise).float().double().permute(2, 0, 1))
    return torch.stack(images), labels


def train(a, dtype, off=None):
    """Losses of a training, and the logits of the first batch in evaluation after it."""
    net = build(a).to(dtype)
    if off is not None:
        with torch.no_grad():
            for seed, (_, p) in enumerate(sorted(net.named_parameters())):
                p.mul_(1 + 1e-5 * values(p.numel(), off * 1000 + seed).to(dtype).reshape(p.shape))
    images, labels = problem(a)
    images = images.to(dtype)
    sgd = torch.optim.SGD(net.parameters(), LR, momentum=0.9, weight_decay=DECAY)
    losses = []
    for step in range(STEPS):
        rows = slice(step * BATCH % IMAGES, step * BATCH % IMAGES + BATCH)
        logits, z, _ = net(images[rows])
        towards = values(z.numel(), 500).to(dtype).reshape(z.shape)
        loss = F.cross_entropy(logits, labels[rows]) + (z * towards).mean()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    net.eval()
    with torch.no_grad():
        logits = net(images[:BATCH])[0].flatten().tolist()
    return losses, logits


def curve(a):
    losses, logits = train(a, torch.float64)
    spread, logits_spread = [0.0] * STEPS, 0.0
    for off in range(1, 9):
        others, other_logits = train(a, torch.float32, off)
        spread = [max(s, abs(l - o)) for s, l, o in zip(spread, losses, others)]
        logits_spread = max([logits_spread] + [abs(l - o) for l, o in zip(logits, other_logits)])
    for step in range(1, STEPS):
        spread[step] = max(spread[step], spread[step - 1])

    def short(numbers, digits):
        return [float(f"{number:.{digits}g}") for number in numbers]

    return {"architecture": a, "losses": short(losses, 9), "spread": short(spread, 3), "logits": short(logits, 7),
            "logits_spread": logits_spread}


if __name__ == "__main__":
    curves = [curve(arch(3, 13, 12, [1, 1, 1, 1], 1, 4, 8)), curve(arch(1, 21, 16, [2, 1, 1, 1], 2, 4, 8))]
    out = {"torch": torch.__version__, "images": IMAGES, "batch": BATCH, "lr": LR, "weight_decay": DECAY, "curves": curves}
    path = pathlib.Path(__file__).with_name("curves.json")
    path.write_text(json.dumps(out) + "\n")
