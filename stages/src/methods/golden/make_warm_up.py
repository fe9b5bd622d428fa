"""Writes warm_up.json: two whole steps of warm-up (method §4) in PyTorch, without and with an epsilon in the logarithm.

    python make_warm_up.py            (needs torch; no data, no network)
"""
import torch
import torch.nn.functional as F

from steps import Rule, Y, images, steps, write


class WarmUp(Rule):
    def __init__(self, epsilon):
        self.epsilon = epsilon

    def loss(self, net, number, rows):
        f = F.softmax(net(images(number))[0], 1)
        partial = -((f * Y[rows]).sum(1) + self.epsilon).log().mean()
        return partial + (f * f.log()).sum(1).mean()


write(__file__, paper=steps(WarmUp(0)), epsilon=steps(WarmUp(0.05)))
