"""What the scripts beside it share: two whole steps of a method in PyTorch, from the same weights and images.

Everything is in float64 and follows the text of the method, not the Rust code. Inputs come from the formulas of
../../network/golden/make_goldens.py, which tests repeat; states are kept as two numbers a tensor.
"""
import json
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "network" / "golden"))
from make_goldens import arch, build, digest, values  # noqa: E402

A = arch(3, 16, 8, [1, 1, 1, 1], 2, 5, 8)
# Samples, samples of a step, classes, length of an embedding, learning rate.
N, B, C, E, RATE = 10, 6, 5, 8, 0.05
# The samples of the two steps; two of the first come again in the second.
BATCHES = [[0, 2, 4, 6, 8, 9], [2, 1, 9, 3, 5, 7]]
# Sample i has the candidates i mod 5 and, for even i, (3 i + 1) mod 5.
Y = torch.zeros(N, C).double()
for i in range(N):
    Y[i, i % C] = 1
    if i % 2 == 0:
        Y[i, (3 * i + 1) % C] = 1


def images(number, view=0):
    """View number `view` of the images of step number `number`: (B, 3, 16, 16)."""
    s = A["input_size"]
    x = values(B * s * s * 3, 3000 + 100 * view + number).double()
    return x.reshape(B, s, s, 3).permute(0, 3, 1, 2).contiguous()


def steps(rule, decay=5e-4):
    """The two steps of `rule`.

    `rule.loss(net, number, rows)` gives the loss of step `number` on the samples `rows`; `rule.after(net, number, rows)`
    moves what is kept once the step is done; `rule.kept()` is what is kept, a flat list.
    """
    net = build(A)
    net.train()
    rule.start(net)
    sgd = torch.optim.SGD(net.parameters(), RATE, momentum=0.9, weight_decay=decay)
    done = []
    for number, rows in enumerate(BATCHES):
        loss = rule.loss(net, number, rows)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        with torch.no_grad():
            rule.after(net, number, rows)
        state = {k: digest(v) for k, v in sorted(net.state_dict().items()) if "num_batches" not in k}
        done.append({"loss": loss.item(), "network": state, "kept": rule.kept()})
    return done


class Rule:
    """A method that keeps nothing."""

    def start(self, net):
        pass

    def after(self, net, number, rows):
        pass

    def kept(self):
        return []


def write(script, **methods):
    """Writes the steps of each method beside `script`, which is called make_NAME.py, into NAME.json."""
    path = pathlib.Path(script)
    path = path.with_name(path.stem.removeprefix("make_") + ".json")
    path.write_text(json.dumps({
        "torch": torch.__version__, "architecture": A, "batches": BATCHES, "candidates": Y.int().flatten().tolist(),
        **methods,
    }) + "\n")
