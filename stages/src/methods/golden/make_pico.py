"""Writes pico.json: two whole steps of PiCO in PyTorch, of its first epoch and of one in which targets move.

    python make_pico.py            (needs torch; no data, no network)
"""
import torch
import torch.nn.functional as F

from pico_steps import PicoRule, best, contrast, cross_entropy, moco
from steps import Y, images, steps, write

UNIFORM_EPOCHS, LAMBDA = 1, 0.5


class Pico(PicoRule):
    def loss(self, net, number, rows):
        logits, z, _ = net(images(number))
        labels = best(logits, Y[rows])
        scores = F.softmax(z.detach() @ self.o.T, 1)  # with the prototypes before the step
        self.move_prototypes(z, labels)
        keys = self.keys(net, images(number, 1))
        past = [k for k, _ in self.queue]
        if self.epoch < UNIFORM_EPOCHS:
            loss_contrast = moco(z, keys, past)
        else:
            self.move_targets(rows, scores)
            everyones = labels + labels + [label for _, label in self.queue]
            positive = [[float(label == own) for label in everyones] for own in labels]
            loss_contrast = contrast(z, torch.stack([*z, *keys, *past]), positive).mean()
        self.enqueue(zip(keys, labels))
        return cross_entropy(self.p[rows], logits).mean() + LAMBDA * loss_contrast


uniform = Pico(0)
uniform.room = 9  # keys of the second step overwrite some of the first
write(__file__, pico_uniform=steps(uniform, 1e-3), pico=steps(Pico(3), 1e-3))
