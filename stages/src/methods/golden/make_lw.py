"""Writes lw.json: two whole steps of LWS and LWC (Wen et al. 2021) in PyTorch.

    python make_lw.py            (needs torch; no data, no network)

β is 1 where the batch is shown again after the step, and 2 where the weights follow the prediction of the step itself.
"""
import torch
import torch.nn.functional as F

from steps import C, N, Rule, Y, images, steps, write


class Lw(Rule):
    def __init__(self, beta, post_step):
        self.beta, self.post_step = beta, post_step
        self.w = torch.full((N, C), 1 / C).double()

    def loss(self, net, number, rows):
        g = net(images(number))[0]
        self.g = g.detach()
        y, w = Y[rows], self.w[rows]
        candidates, others = self.terms(g)
        return ((y * w * candidates).sum(1) + self.beta * ((1 - y) * w * others).sum(1)).mean()

    def after(self, net, number, rows):
        if self.post_step:  # in train mode: batch statistics, and the running ones move
            self.g = net(images(number))[0]
        f, y = F.softmax(self.g, 1), Y[rows]
        inside, outside = f * y, f * (1 - y)
        self.w[rows] = inside / inside.sum(1, keepdim=True) + outside / outside.sum(1, keepdim=True)

    def kept(self):
        return self.w.flatten().tolist()


class Lws(Lw):
    def terms(self, g):
        psi = lambda z: 1 / (1 + torch.exp(z))
        return psi(g), psi(-g)


class Lwc(Lw):
    def terms(self, g):
        f = F.softmax(g, 1)
        return -f.log(), -(1 - f).log()


write(
    __file__,
    lws=steps(Lws(1, True), 1e-3), lws_of_the_step=steps(Lws(2, False), 1e-3),
    lwc=steps(Lwc(1, True), 1e-3), lwc_of_the_step=steps(Lwc(2, False), 1e-3),
)
