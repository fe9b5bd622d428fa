"""Writes partial_label.json: two whole steps of CC and of RC (method §14) in PyTorch, from the same weights and images.

    python make_partial_label.py            (needs torch; no data, no network)

Everything is in float64 and follows the text of the method, not the Rust code. Inputs come from the formulas of
../../network/golden/make_goldens.py, which tests repeat; states are kept as two numbers a tensor.
"""
import json
import pathlib
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "network" / "golden"))
from make_goldens import arch, build, digest, values  # noqa: E402

A = arch(3, 16, 8, [1, 1, 1, 1], 2, 5, 8)
N, B, C, RATE = 10, 6, 5, 0.05
# The samples of the two steps; two of the first come again in the second.
BATCHES = [[0, 2, 4, 6, 8, 9], [2, 1, 9, 3, 5, 7]]
# Sample i has the candidates i mod 5 and, for even i, (3 i + 1) mod 5.
Y = torch.zeros(N, C).double()
for i in range(N):
    Y[i, i % C] = 1
    if i % 2 == 0:
        Y[i, (3 * i + 1) % C] = 1


def images(seed):
    s = A["input_size"]
    return values(B * s * s * 3, seed).double().reshape(B, s, s, 3).permute(0, 3, 1, 2).contiguous()


def steps(rule):
    """`rule(f, rows)` gives the loss and, after the step, `rule.after(net, x, f, rows)` moves what is kept."""
    net = build(A)
    net.train()
    sgd = torch.optim.SGD(net.parameters(), RATE, momentum=0.9, weight_decay=5e-4)
    done = []
    for number, rows in enumerate(BATCHES):
        x = images(3000 + number)
        logits = net(x)[0]
        loss = rule.loss(logits, rows)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        rule.after(net, x, logits.detach(), rows)
        state = {k: digest(v) for k, v in sorted(net.state_dict().items()) if "num_batches" not in k}
        done.append({"loss": loss.item(), "network": state, "confidence": rule.kept()})
    return done


class Cc:
    def loss(self, logits, rows):
        inside = (F.softmax(logits, 1) * Y[rows]).sum(1)
        return -inside.log().mean()

    def after(self, net, x, logits, rows):
        pass

    def kept(self):
        return []


class Rc:
    def __init__(self, post_step):
        self.post_step = post_step
        self.p = Y / Y.sum(1, keepdim=True)

    def loss(self, logits, rows):
        return -(self.p[rows] * F.log_softmax(logits, 1)).sum(1).mean()

    def after(self, net, x, logits, rows):
        if self.post_step:
            with torch.no_grad():
                logits = net(x)[0]  # in train mode: batch statistics, and the running ones move
        within = F.softmax(logits, 1) * Y[rows]
        self.p[rows] = within / within.sum(1, keepdim=True)

    def kept(self):
        return self.p.flatten().tolist()


path = pathlib.Path(__file__).with_name("partial_label.json")
path.write_text(json.dumps({
    "torch": torch.__version__, "architecture": A, "batches": BATCHES, "candidates": Y.int().flatten().tolist(),
    "cc": steps(Cc()), "rc": steps(Rc(False)), "rc_post_step": steps(Rc(True)),
}) + "\n")
