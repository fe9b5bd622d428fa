"""Writes networks.json: what PyTorch computes for small networks whose values come from a formula.

    python make_goldens.py            (needs torch; no data, no network)

Everything is computed in float64, so that both sides are compared with the truth: in float32 PyTorch itself is up
to 0.7 % away from it in single gradients, where an activation near zero falls on the other side of a ReLU.
Gradients are kept as two numbers each, their length and their product with a formula vector, so that the file
stays small. The formulas are repeated in tests/mod.rs.
"""
import json, math, pathlib
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)


def values(count, seed):
    i = torch.arange(count, dtype=torch.float64)
    return torch.sin(i * 1.7 + seed * 0.913 + (i * i % 97) * 0.31).float()


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(cin), nn.BatchNorm2d(cout)
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(cin, cout, 1, stride, bias=False) if stride != 1 or cin != cout else None

    def forward(self, x):
        a = F.relu(self.norm1(x))
        shortcut = self.shortcut(a) if self.shortcut else a
        return self.conv2(F.relu(self.norm2(self.conv1(a)))) + shortcut


class Stage(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)


class Net(nn.Module):
    def __init__(self, a):
        super().__init__()
        w = a["width"]
        self.stem = nn.ModuleDict({"conv": nn.Conv2d(a["input_channels"], w, 3, 1, 1, bias=False), "norm": nn.BatchNorm2d(w)})
        stages, cin = [], w
        for s, count in enumerate(a["blocks"]):
            blocks = []
            for b in range(count):
                stride = (a["first_stride"] if s == 0 else 2) if b == 0 else 1
                blocks.append(Block(cin, w << s, stride))
                cin = w << s
            stages.append(Stage(blocks))
        self.stages = nn.ModuleList(stages)
        self.classifier = nn.Linear(cin, a["classes"])
        self.projector = nn.Sequential(nn.Linear(cin, cin), nn.ReLU(), nn.Linear(cin, a["embedding"]))

    def forward(self, x):
        x = F.relu(self.stem["norm"](self.stem["conv"](x)))
        for stage in self.stages:
            for block in stage.blocks:
                x = block(x)
        h = x.mean((2, 3))
        return self.classifier(h), F.normalize(self.projector(h), dim=1), h


def build(a, first=0):
    net = Net(a)
    with torch.no_grad():
        for seed, (name, p) in enumerate(sorted(net.named_parameters()), first):
            v = values(p.numel(), seed).reshape(p.shape)
            if p.dim() > 1:
                v = v * (1.5 / math.sqrt(p[0].numel()))
            elif "norm" in name and name.endswith("weight"):
                v = 1 + 0.3 * v
            else:
                v = 0.2 * v
            p.copy_(v)
    return net.double()


def batch(a, count, seed):
    s, c = a["input_size"], a["input_channels"]
    x = values(count * s * s * c, seed).double().reshape(count, s, s, c).permute(0, 3, 1, 2).contiguous()
    return x, torch.arange(count) % a["classes"]


def loss_of(logits, z, y):
    return F.cross_entropy(logits, y) + (z * values(z.numel(), 500).double().reshape(z.shape)).mean()


def digest(t):
    flat = t.double().flatten()
    return [flat.norm().item(), (flat * values(flat.numel(), 77).double()).sum().item()]


def case(a, count):
    net = build(a)
    x, y = batch(a, count, 1000)
    logits, z, h = net(x)
    loss = loss_of(logits, z, y)
    loss.backward()
    out = {"architecture": a, "batch": count, "loss": loss.item(), "logits": logits.flatten().tolist(),
           "features": digest(h.detach()), "projections": digest(z.detach()),
           "gradients": {n: digest(p.grad) for n, p in sorted(net.named_parameters())},
           "running": {n: digest(b) for n, b in sorted(net.named_buffers()) if "running" in n}}
    net.eval()
    with torch.no_grad():
        out["eval_logits"] = net(x)[0].flatten().tolist()
    return out


def curve(a, count, steps, lr):
    net = build(a)
    sgd = torch.optim.SGD(net.parameters(), lr, momentum=0.9, weight_decay=5e-4)
    losses = []
    for step in range(steps):
        x, y = batch(a, count, 2000 + step % 4)
        sgd.zero_grad()
        logits, z, _ = net(x)
        loss = loss_of(logits, z, y)
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    return {"architecture": a, "batch": count, "lr": lr, "losses": losses}


def arch(channels, size, width, blocks, stride, classes, embedding):
    return dict(input_channels=channels, input_size=size, width=width, blocks=blocks, first_stride=stride,
                classes=classes, embedding=embedding)


if __name__ == "__main__":
    cases = [case(arch(3, 16, 16, [1, 1, 1, 1], 1, 5, 8), 4),
             case(arch(1, 13, 5, [2, 1, 1, 1], 2, 3, 7), 3),
             case(arch(2, 9, 12, [1, 1, 2, 1], 1, 4, 6), 1),
             case(arch(3, 32, 24, [2, 1, 1, 1], 1, 10, 16), 2),
             case(arch(1, 28, 16, [1, 2, 1, 1], 1, 10, 16), 9),
             case(arch(3, 64, 16, [1, 1, 1, 1], 2, 10, 16), 2),
             case(arch(3, 16, 16, [2, 1, 1, 1], 1, 4, 8), 16),
             case(arch(3, 16, 64, [1, 1, 1, 1], 1, 4, 8), 12)]
    out = {"torch": torch.__version__, "cases": cases, "curve": curve(arch(3, 16, 16, [2, 1, 1, 1], 1, 4, 8), 16, 30, 0.02)}
    path = pathlib.Path(__file__).with_name("networks.json")
    path.write_text(json.dumps(out, indent=None) + "\n")
