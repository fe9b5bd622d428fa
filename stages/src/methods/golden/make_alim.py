"""Writes alim.json: two whole steps of ALIM-Onehot and of ALIM-Scale in PyTorch, with importance for classes that are
no candidates.

    python make_alim.py            (needs torch; no data, no network)
"""
import torch
import torch.nn.functional as F

from pico_steps import EPOCHS, PicoRule, best, contrast, cross_entropy, onehot
from steps import Y, images, steps, write

# λ, the temperature of the scores, the weight of the contrastive term, the share of an image itself in MixUp, and the
# partners of each step's samples.
IMPORTANCE, TEMPERATURE, LAMBDA_CONTRAST, OWN = 0.6, 0.07, 0.5, 0.7
PARTNERS = [[1, 3, 5, 7, 9, 0], [0, 4, 8, 2, 6, 1]]


class Alim(PicoRule):
    def __init__(self, epoch, scale):
        super().__init__(epoch)
        self.scale = scale
        self.beyond = 0

    def best(self, scores, rows):
        """The class of the largest weighted score, whether a candidate or not."""
        weights = Y[rows] + IMPORTANCE * (1 - Y[rows])
        labels = best((scores * weights).log(), torch.ones_like(scores))
        self.beyond += sum(Y[i, c].item() == 0 for i, c in zip(rows, labels))
        return labels

    def loss(self, net, number, rows):
        weak, strong, of_partners = (images(number, view) for view in range(3))
        logits, z, _ = net(weak)
        scores = F.softmax(z.detach() @ self.o.T / TEMPERATURE, 1)  # with the prototypes before the step
        labels = self.best(F.softmax(logits, 1), rows)
        self.move_prototypes(z, labels)
        keys = self.keys(net, strong)
        if self.scale:
            u = scores * (Y[rows] + IMPORTANCE * (1 - Y[rows]))
            targets = u / u.sum(1, keepdim=True)
        else:
            targets = onehot(self.best(scores, rows))
        # Epochs are counted from 1, and φ is set after each: in epoch number e from 0 it is φ(e / E).
        phi = 0.95 + (0.8 - 0.95) * self.epoch / EPOCHS
        self.p[rows] = phi * self.p[rows] + (1 - phi) * targets
        past = [k for k, _ in self.queue]
        everyones = labels + labels + [label for _, label in self.queue]
        positive = [[float(label == own) for label in everyones] for own in labels]
        loss_contrast = contrast(z, torch.stack([*z, *keys, *past]), positive).mean()
        self.queue += list(zip(keys, labels))
        own, partner = self.p[rows], self.p[PARTNERS[number]]
        mixed = net(OWN * weak + (1 - OWN) * of_partners)[0]
        mixup = cross_entropy(OWN * own + (1 - OWN) * partner, mixed).mean()
        return cross_entropy(own, logits).mean() + LAMBDA_CONTRAST * loss_contrast + mixup


rules = {"onehot": Alim(3, scale=False), "scale": Alim(3, scale=True)}
found = {name: steps(rule, 1e-3) for name, rule in rules.items()}
# λ decides something: labels outside the candidates.
assert all(rule.beyond for rule in rules.values())
write(__file__, **found)
