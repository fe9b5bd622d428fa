"""Writes alignment.json: distribution alignment by a running mean (method §5) in PyTorch, over two passes of a set.

    python make_alignment.py            (needs torch; no data, no network)

Everything is in float64 and follows the text of the method, not the Rust code: the mean is taken anew for every batch.
"""
import json
import pathlib

import torch
import torch.nn.functional as F

N, C, BATCH, PASSES = 11, 4, 4, 2
torch.manual_seed(0)
last = torch.full((N, C), 1 / C).double()
passes = []
for _ in range(PASSES):
    # Rounded, so that both sides begin with the same numbers. The last class is predicted less than the others.
    f = F.softmax(1.5 * torch.randn(N, C).double() - torch.tensor([0, 0, 0, 2]), 1).float().double()
    aligned = torch.zeros(N, C).double()
    for at in range(0, N, BATCH):
        rows = slice(at, min(at + BATCH, N))
        last[rows] = f[rows]
        quotient = f[rows] * (1 / C) / last.mean(0)
        aligned[rows] = quotient / quotient.sum(1, keepdim=True)
    passes.append({"probs": f.flatten().tolist(), "aligned": aligned.flatten().tolist()})

path = pathlib.Path(__file__).with_name("alignment.json")
path.write_text(json.dumps({"torch": torch.__version__, "classes": C, "batch": BATCH, "passes": passes}) + "\n")
