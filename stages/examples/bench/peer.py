"""The works of the example `bench`, done with PyTorch, transformers and Pillow: one JSON object a line.

    python peer.py --work step|clip|augment|epoch|memory|all [--batch 64] [--repeats 5] [--threads 2]
                   [--device cpu|cuda] [--amp] [--contiguous]

Names and fields are those of main.rs. Networks run in channels-last order unless --contiguous, in f32 unless
--amp (bf16 autocast; on CUDA, f32 products use TF32 as ours do). `co_reg_epoch` has no counterpart here.
"""
import argparse
import copy
import json
import statistics
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


# --- the clock and the lines -------------------------------------------------------------------------------

def measure(options, work, images, action, amp=False, own_process=True):
    """Prints the medians of the timed passes of `action`, which takes `images` images; the processor time only
    if all of it is this process's own."""
    before, wall, processor = 2, [], []
    for number in range(before + options.repeats):
        t, p = time.perf_counter(), time.process_time()
        action()
        if options.device == "cuda":
            torch.cuda.synchronize()
        if number >= before:
            wall.append(time.perf_counter() - t)
            processor.append(time.process_time() - p)
    seconds = statistics.median(wall)
    line = {"work": work, "batch": images, "threads": options.threads, "device": options.device,
            "amp": amp, "images_per_s": round(images / seconds, 1), "ms": round(1e3 * seconds, 2)}
    if own_process:
        line["cpu_ms"] = round(1e3 * statistics.median(processor), 2)
    print(json.dumps(line), flush=True)


def peak_mib():
    with open("/proc/self/status") as status:
        return next(int(row.split()[1]) for row in status if row.startswith("VmHWM:")) / 1024


# --- the network -------------------------------------------------------------------------------------------

class Residual(nn.Module):
    """a = relu(norm1(x)); conv2(relu(norm2(conv1(a)))) + (shortcut(a) or a)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, x):
        a = self.norm1(x).relu()
        return self.conv2(self.norm2(self.conv1(a)).relu()) + self.shortcut(a)


class Student(nn.Module):
    """PreAct ResNet-18: logits and features; `project` gives embeddings of length 1."""

    def __init__(self, size, width=64, classes=10, embedding=128):
        super().__init__()
        layers = [nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        inputs = width
        for stage, stride in enumerate([2 if size > 32 else 1, 2, 2, 2]):
            outputs = width << stage
            layers += [Residual(inputs, outputs, stride), Residual(outputs, outputs, 1)]
            inputs = outputs
        self.trunk = nn.Sequential(*layers)
        self.classifier = nn.Linear(inputs, classes)
        self.projector = nn.Sequential(nn.Linear(inputs, inputs), nn.ReLU(), nn.Linear(inputs, embedding))

    def forward(self, x):
        features = self.trunk(x).mean((2, 3))
        return self.classifier(features), features

    def project(self, features):
        return F.normalize(self.projector(features), dim=1)


def placed(options, network, images):
    """Network and images on the device, in the order that was asked for."""
    order = torch.contiguous_format if options.contiguous else torch.channels_last
    network = network.to(options.device, memory_format=order)
    return network, images.to(options.device).contiguous(memory_format=order)


def autocast(options):
    return torch.autocast(options.device, dtype=torch.bfloat16, enabled=options.amp)


def sgd_of(network):
    return torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)


def trainer(options, size, batch):
    """A network, a batch of images, and a function that does one step on their cross-entropy."""
    network, images = placed(options, Student(size), torch.rand(batch, 3, size, size) * 2 - 1)
    labels = torch.arange(batch, device=options.device) % 10
    sgd = sgd_of(network)

    def train():
        with autocast(options):
            logits, features = network(images)
            network.project(features)  # forward only: the loss does not use it
        sgd.zero_grad()
        F.cross_entropy(logits.float(), labels).backward()
        sgd.step()

    return network, images, train


# --- the works ---------------------------------------------------------------------------------------------

def step(options):
    for size in (32, 64):
        network, images, train = trainer(options, size, options.batch)
        measure(options, f"preact_resnet18_train_{size}", options.batch, train, options.amp)
        network.eval()

        def infer():
            with torch.no_grad(), autocast(options):
                network.project(network(images)[1])

        measure(options, f"preact_resnet18_infer_{size}", options.batch, infer, options.amp)


def clip(options):
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
                              image_size=224, patch_size=32, projection_dim=512)
    tower = CLIPVisionModelWithProjection(config).eval().to(options.device)
    images = (torch.rand(options.batch, 3, 224, 224) * 2 - 1).to(options.device)

    def encode():
        with torch.no_grad(), autocast(options):
            F.normalize(tower(pixel_values=images).image_embeds, dim=1)

    measure(options, "clip_vit_b32_images", options.batch, encode, options.amp)


class StrongViews(torch.utils.data.Dataset):
    """Strong views of random 64-pixel images, through Pillow: crop after padding by 8, mirror, one operation of
    14, a grey square, normalised f32."""

    def __init__(self, count):
        from PIL import Image
        noise = torch.randint(0, 256, (count, 64, 64, 3), dtype=torch.uint8)
        self.images = [Image.fromarray(image.numpy()) for image in noise]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        import random
        import numpy
        from PIL import ImageDraw, ImageOps

        image = self.images[index]
        x, y = random.randrange(17), random.randrange(17)
        image = ImageOps.expand(image, border=8, fill=0).crop((x, y, x + 64, y + 64))
        if random.random() < 0.5:
            image = ImageOps.mirror(image)
        image = self.operation(image, random.randrange(14), random.random())
        half = 16 * random.random()
        centre = random.uniform(0, 64), random.uniform(0, 64)
        corners = [max(0, c - half) for c in centre] + [min(64, c + half) for c in centre]
        image = image.copy()
        ImageDraw.Draw(image).rectangle(corners, fill=(125, 123, 114))
        pixels = torch.from_numpy(numpy.array(image)).permute(2, 0, 1)
        return pixels.float().div_(127.5).sub_(1)

    @staticmethod
    def operation(image, which, magnitude):
        from PIL import Image, ImageEnhance, ImageOps

        signed = 0.6 * magnitude - 0.3

        def affine(*matrix):
            return image.transform(image.size, Image.Transform.AFFINE, matrix)

        if which == 0:
            return ImageOps.autocontrast(image)
        if which == 1:
            return ImageOps.equalize(image)
        if which == 2:
            return image
        if which == 3:
            return ImageOps.posterize(image, 4 + int(4.999 * magnitude))
        if which == 4:
            return ImageOps.solarize(image, int(256 * magnitude))
        if which == 5:
            return image.rotate(100 * signed)
        if which == 6:
            return affine(1, signed, 0, 0, 1, 0)
        if which == 7:
            return affine(1, 0, 0, signed, 1, 0)
        if which == 8:
            return affine(1, 0, 64 * signed, 0, 1, 0)
        if which == 9:
            return affine(1, 0, 0, 0, 1, 64 * signed)
        enhance = [ImageEnhance.Brightness, ImageEnhance.Color, ImageEnhance.Contrast, ImageEnhance.Sharpness]
        return enhance[which - 10](image).enhance(0.05 + 0.9 * magnitude)


def augment(options):
    views = StrongViews(1000)
    kept = torch.get_num_threads()
    torch.set_num_threads(1)
    all_threads, options.threads = options.threads, 1
    measure(options, "strong_augment_64_one_process", len(views),
            lambda: torch.stack([views[i] for i in range(len(views))]))
    torch.set_num_threads(kept)
    options.threads = all_threads
    # What a training script does to use all cores: worker processes.
    loader = torch.utils.data.DataLoader(views, batch_size=250, num_workers=all_threads, persistent_workers=True)
    measure(options, "strong_augment_64_all_threads", len(views), lambda: [None for _ in loader],
            own_process=False)


def contrastive(queries, keys, queue, labels, partial):
    """Noisy contrastive loss of the queries: pairs of one label attract if both are of the partial split, and
    are left out otherwise; the own key always attracts."""
    count = len(queries)
    logits = queries @ torch.cat([queries, keys, queue["keys"]]).T / 0.07
    all_labels = torch.cat([labels, labels, queue["labels"]])
    all_partial = torch.cat([partial, partial, queue["partial"]])
    same = labels[:, None] == all_labels
    rows = torch.arange(count, device=queries.device)
    attracts = same & partial[:, None] & all_partial
    attracts[rows, rows + count] = True
    attracts[rows, rows] = False
    counted = attracts | ~same
    counted[rows, rows] = False
    total = logits.masked_fill(~counted, float("-inf")).logsumexp(1)
    attracts = attracts.float()
    return (total - (logits * attracts).sum(1) / attracts.sum(1)).mean()


def epoch(options):
    """`co_reg_step`: pseudo-labels from two weak views and the other network, MixUp over two strong views,
    prototype and contrastive terms with a full queue. The views are random numbers that are there already."""
    p, u, classes, embedding, size = 256, 256, 10, 128, 64
    weak = torch.rand(2 * (p + u), 3, size, size) * 2 - 1
    network, weak = placed(options, Student(size, width=16), weak)
    other, strong = placed(options, Student(size, width=16), weak.roll(1, 0))
    other.eval()
    key = copy.deepcopy(network)
    sgd = sgd_of(network)
    device = options.device
    prototypes = torch.zeros(classes, embedding, device=device)
    queue = {"keys": F.normalize(torch.randn(8192, embedding, device=device)),
             "labels": torch.randint(0, classes, (8192,), device=device),
             "partial": torch.rand(8192, device=device) < 0.5}
    place = 0
    teacher = torch.full((p, classes), 1 / classes, device=device)
    candidates = (torch.rand(p, classes, device=device) < 0.3).float()
    candidates[:, 0] = 1
    w = torch.full((p, 1), 0.5, device=device)
    partial = torch.arange(p + u, device=device) < p
    mixing = torch.distributions.Beta(4.0, 4.0)

    def sharpen(probs):
        probs = probs.square()
        return probs / probs.sum(1, keepdim=True)

    @torch.no_grad()
    def pseudo_labels():
        with autocast(options):
            logits, features = network(weak)
            others = other(weak[2 * p:])[0]
            embeddings = network.project(features[:p])
        probs, others = logits.float().softmax(1), others.float().softmax(1)
        rescaled = teacher * candidates
        rescaled = rescaled / rescaled.sum(1, keepdim=True)
        own = probs[:2 * p].view(2, p, classes).mean(0)
        mean = (probs[2 * p:].view(2, u, classes).mean(0) + others.view(2, u, classes).mean(0)) / 2
        return sharpen(w * rescaled + (1 - w) * own), sharpen(mean), embeddings.float()

    def whole():
        nonlocal place
        of_partial, of_unlabeled, embeddings = pseudo_labels()
        labels = torch.cat([of_partial, of_unlabeled]).argmax(1)
        targets = torch.cat([of_partial, of_partial, of_unlabeled, of_unlabeled])
        share = mixing.sample().item()
        share = max(share, 1 - share)
        order = torch.randperm(len(strong), device=device)
        mixed = share * strong + (1 - share) * strong[order]
        partners = targets[order]
        with autocast(options):
            logits, features = network(mixed)
            z = network.project(features)
        logits, z = logits.float(), z.float()
        mixed_targets = share * targets + (1 - share) * partners
        loss = -(mixed_targets[:2 * p] * logits[:2 * p].log_softmax(1)).sum(1).mean()
        loss = loss + (logits[2 * p:].softmax(1) - mixed_targets[2 * p:]).square().mean()
        near = z @ prototypes.T / 0.3
        for weight, wanted in ((share, targets), (1 - share, partners)):
            divergence = F.kl_div(near[:2 * p].log_softmax(1), wanted[:2 * p], reduction="batchmean")
            error = (near[2 * p:].softmax(1) - wanted[2 * p:]).square().mean()
            loss = loss + 0.1 * weight * (divergence + error)
        views = [torch.cat([strong[n * p:(n + 1) * p], strong[2 * p + n * u:2 * p + (n + 1) * u]]) for n in (0, 1)]
        with autocast(options):
            queries = network.project(network(views[0])[1])
            with torch.no_grad():
                keys = key.project(key(views[1])[1]).float()
        loss = loss + 0.1 * contrastive(queries.float(), keys, queue, labels, partial)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        with torch.no_grad():
            for slow, fast in zip(key.parameters(), network.parameters()):
                slow.mul_(0.999).add_(fast, alpha=0.001)
            for label, embedded in zip(labels[:p].tolist(), embeddings):
                prototypes[label].mul_(0.999).add_(embedded, alpha=0.001)
            prototypes.copy_(F.normalize(prototypes, dim=1))
            at = slice(place, place + p + u)
            queue["keys"][at], queue["labels"][at], queue["partial"][at] = keys, labels, partial
            place = (place + p + u) % 8192
        loss.item()

    measure(options, "co_reg_step", p + u, whole, options.amp)


def memory(options):
    if not sys.platform.startswith("linux") or options.device != "cpu":
        print("note: peak memory is measured on Linux and for the CPU only", file=sys.stderr)
        return
    if not options.here:
        flags = ["--contiguous"] if options.contiguous else []
        subprocess.run([sys.executable, __file__, "--work", "memory", "--here", "--threads", str(options.threads),
                        *flags], check=True)
        return
    start = peak_mib()
    train = trainer(options, 32, 256)[2]
    train(), train()
    line = {"work": "preact_resnet18_train_32_memory", "batch": 256, "threads": options.threads,
            "device": options.device, "peak_mib": round(peak_mib(), 1), "start_mib": round(start, 1)}
    print(json.dumps(line), flush=True)


WORKS = {"step": step, "clip": clip, "augment": augment, "epoch": epoch, "memory": memory}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", default="all", choices=[*WORKS, "all"])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--amp", action="store_true", help="bf16 autocast")
    parser.add_argument("--contiguous", action="store_true", help="PyTorch's default memory order")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: this PyTorch finds no CUDA device")
    if chosen.amp and chosen.device == "cpu":
        sys.exit("error: --amp is for a GPU: leave it out, or use --device cuda")
    torch.set_num_threads(chosen.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    for name, work in WORKS.items():
        if chosen.work in (name, "all"):
            work(chosen)
