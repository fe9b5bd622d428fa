"""Writes partial_label.json: two whole steps of CC and of RC (method §14) in PyTorch.

    python make_partial_label.py            (needs torch; no data, no network)
"""
import torch
import torch.nn.functional as F

from steps import Rule, Y, images, steps, write


class Cc(Rule):
    def loss(self, net, number, rows):
        inside = (F.softmax(net(images(number))[0], 1) * Y[rows]).sum(1)
        return -inside.log().mean()


class Rc(Rule):
    def __init__(self, post_step):
        self.post_step = post_step
        self.p = Y / Y.sum(1, keepdim=True)

    def loss(self, net, number, rows):
        logits = net(images(number))[0]
        self.logits = logits.detach()
        return -(self.p[rows] * F.log_softmax(logits, 1)).sum(1).mean()

    def after(self, net, number, rows):
        if self.post_step:  # in train mode: batch statistics, and the running ones move
            self.logits = net(images(number))[0]
        within = F.softmax(self.logits, 1) * Y[rows]
        self.p[rows] = within / within.sum(1, keepdim=True)

    def kept(self):
        return self.p.flatten().tolist()


write(__file__, cc=steps(Cc()), rc=steps(Rc(False)), rc_post_step=steps(Rc(True)))
