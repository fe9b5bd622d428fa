"""Writes ir_net.json: two whole steps of IRNet in PyTorch, with corrections and the symmetric loss.

    python make_ir_net.py            (needs torch; no data, no network)
"""
import torch
import torch.nn.functional as F

from pico_steps import EPOCHS, PicoRule, best, contrast, onehot
from steps import Y, images, steps, write

# τ, weights of both halves of the symmetric loss (small, for the precision of the test), and of the contrastive term.
MARGIN, FORWARD, REVERSE, LAMBDA_CONTRAST = 0.02, 1.5, 0.5, 0.5


class IrNet(PicoRule):
    def __init__(self, epoch):
        super().__init__(epoch)
        self.y = Y.clone()
        self.corrected, self.left = 0, 0

    def scores(self, z):
        return F.softmax(z.detach() @ self.o.T, 1)

    def loss(self, net, number, rows):
        candidates = self.y[rows]
        logits, z, _ = net(images(number))
        self.first = self.scores(z)  # with the prototypes before the step, as the second
        with torch.no_grad():  # in train mode: batch statistics, and the running ones move
            self.second = self.scores(net(images(number, 2))[1])
        labels = best(logits, candidates)
        self.move_prototypes(z, labels)
        keys = self.keys(net, images(number, 1))
        # Epochs are counted from 1, and φ is set after each: in epoch number e from 0 it is φ(e / E).
        phi = 0.95 + (0.8 - 0.95) * self.epoch / EPOCHS
        self.p[rows] = phi * self.p[rows] + (1 - phi) * onehot(best(self.first, candidates))
        past = [k for k, _ in self.queue]
        everyones = labels + labels + [label for _, label in self.queue]
        positive = [[float(label == own) for label in everyones] for own in labels]
        loss_contrast = contrast(z, torch.stack([*z, *keys, *past]), positive).mean()
        self.queue += list(zip(keys, labels))
        p, f = self.p[rows].clamp(min=1e-4), F.softmax(logits, 1).clamp(min=1e-7)
        forward, reverse = -(p * f.log()).sum(1).mean(), -(f * p.log()).sum(1).mean()
        return FORWARD * forward + REVERSE * reverse + LAMBDA_CONTRAST * loss_contrast

    def after(self, net, number, rows):
        for at, i in enumerate(rows):
            inside, outside = self.y[i] == 1, self.y[i] == 0
            views = [self.first[at], self.second[at]]
            gaps = [(s[outside].max() - s[inside].max()).item() for s in views]
            joining = [s.masked_fill(inside, -1).argmax().item() for s in views]
            assert all(abs(gap - MARGIN) > 1e-4 for gap in gaps), gaps
            if min(gaps) > MARGIN and joining[0] == joining[1]:
                self.y[i, joining[0]] = 1
                self.p[i, joining[0]] = self.first[at, joining[0]]
                self.p[i] /= self.p[i].sum()
                self.corrected += 1
            else:
                self.left += 1

    def kept(self):
        return super().kept() + self.y.flatten().tolist()


rule = IrNet(3)
found = steps(rule, 1e-3)
assert rule.corrected and rule.left
write(__file__, corrects=found)
print(f"{rule.corrected} corrected, {rule.left} left")
