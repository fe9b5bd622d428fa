"""Writes distill.json: two whole steps of plain distillation (method §14) in PyTorch, at two teacher temperatures.

    python make_distill.py            (needs torch; no data, no network)
"""
import torch
import torch.nn.functional as F

from steps import C, N, Rule, images, steps, write

# The teacher gives class j of sample i a share of 1 + (3 i + 2 j) mod 7.
SHARES = torch.tensor([[1 + (3 * i + 2 * j) % 7 for j in range(C)] for i in range(N)]).double()


class Distill(Rule):
    def __init__(self, temperature):
        softened = (SHARES / SHARES.sum(1, keepdim=True)) ** (1 / temperature)
        self.p = softened / softened.sum(1, keepdim=True)

    def loss(self, net, number, rows):
        return -(self.p[rows] * F.log_softmax(net(images(number))[0], 1)).sum(1).mean()


write(__file__, distill=steps(Distill(1)), distill_softened=steps(Distill(4)))
