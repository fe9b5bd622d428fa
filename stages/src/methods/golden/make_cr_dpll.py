"""Writes cr_dpll.json: two whole steps of CR-DPLL (Wu et al. 2022) in PyTorch, in an epoch in which λ is .8 · 3/4.

    python make_cr_dpll.py            (needs torch; no data, no network)
"""
import torch
import torch.nn.functional as F

from steps import Rule, Y, images, steps, write

VIEWS, LAMBDA = 3, 0.8 * 3 / 4


class CrDpll(Rule):
    def __init__(self):
        self.p = Y / Y.sum(1, keepdim=True)

    def loss(self, net, number, rows):
        # A pass a view, each with the statistics of its own batch.
        f = [F.softmax(net(images(number, view))[0], 1) for view in range(VIEWS)]
        self.f = [of_view.detach() for of_view in f]
        supervised = -((1 - Y[rows]) * (1 - f[0]).log()).sum(1).mean()
        divergence = sum(F.kl_div(of_view.log(), self.p[rows], reduction="batchmean") for of_view in f)
        return LAMBDA * divergence + supervised

    def after(self, net, number, rows):
        product = Y[rows]
        for of_view in self.f:
            product = product * of_view ** (1 / 3)
        self.p[rows] = product / product.sum(1, keepdim=True)

    def kept(self):
        return self.p.flatten().tolist()


write(__file__, cr_dpll=steps(CrDpll()))
