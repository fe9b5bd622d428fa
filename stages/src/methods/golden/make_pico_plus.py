"""Writes pico_plus.json: two whole steps of PiCO+ in PyTorch, of its first epochs, of those in which samples are
reliable or not, and of those in which neighbours attract the embeddings of the others.

    python make_pico_plus.py            (needs torch; no data, no network)
"""
import torch
import torch.nn.functional as F

from pico_steps import PicoRule, best, contrast, cross_entropy, moco
from steps import B, C, N, Y, images, steps, write

UNIFORM_EPOCHS, NEIGHBOURS_AFTER, NEIGHBOURS = 1, 3, 3
T_GUESS = 0.07
UNRELIABLE = [2, 3, 8]  # two of each step; 2 is in both
LAMBDA, ORDER = 0.7, [3, 0, 5, 1, 2, 4]  # of MixUp


class PicoPlus(PicoRule):
    def __init__(self, epoch):
        super().__init__(epoch)
        self.distance = torch.zeros(N).double()

    def nearest(self, z, others):
        """Which rows are among the nearest of each, itself included."""
        cosine = (z @ others.T).detach()
        first = cosine.topk(NEIGHBOURS + 1, 1).values
        assert (first[:, -2] - first[:, -1]).min() > 1e-4
        return cosine >= first[:, -2:-1]

    def loss(self, net, number, rows):
        weak, strong = images(number), images(number, 1)
        logits, z, _ = net(weak)
        scores = (z @ self.o.T).detach()  # with the prototypes before the step
        within = best(logits, Y[rows])
        self.distance[rows] = -scores[range(B), within]
        keys = self.keys(net, strong)
        past = [k for k, *_ in self.queue]

        if self.epoch < UNIFORM_EPOCHS:  # all are reliable
            self.move_prototypes(z, within)
            loss = cross_entropy(self.p[rows], logits).mean() + 0.5 * moco(z, keys, past)
            self.enqueue((k, c, True) for k, c in zip(keys, within))
            return loss

        reliable = [i not in UNRELIABLE for i in rows]
        anywhere = best(logits, torch.ones(B, C))
        labels = [w if r else a for w, a, r in zip(within, anywhere, reliable)]
        assert labels != within
        self.move_prototypes(z[reliable], [label for label, r in zip(labels, reliable) if r])
        self.move_targets(rows, scores)
        guess = F.softmax(scores / T_GUESS, 1)
        targets = torch.stack([self.p[i] if r else g for i, r, g in zip(rows, reliable, guess)])

        others = torch.stack([*z, *keys, *past])
        everyones = list(zip(labels, reliable)) * 2 + [(label, r) for _, label, r in self.queue]
        near = self.nearest(z, others)
        after = self.epoch >= NEIGHBOURS_AFTER
        positive = [[0.0] * len(others) for _ in rows]
        same = [[0.0] * len(others) for _ in rows]
        for i in range(B):
            for a, (label, r) in enumerate(everyones):
                same[i][a] = float(label == labels[i] or a == B + i)
                if reliable[i]:
                    chosen = label == labels[i] and r
                else:
                    chosen = after and near[i, a].item()
                positive[i][a] = float(chosen or a == B + i)
        weights = torch.tensor([(0.5 if r else 0.1) if after else 1.0 for r in reliable]).double()
        loss_contrast = (weights * contrast(z, others, positive)).mean() + 0.1 * contrast(z, others, same).mean()
        self.enqueue(zip(keys, labels, reliable))

        loss_reliable = cross_entropy(self.p[rows], logits)[reliable].mean()
        loss_unreliable = cross_entropy(guess, logits)[[not r for r in reliable]].mean()
        mixed = net(LAMBDA * weak + (1 - LAMBDA) * weak[ORDER])[0]
        loss_mixed = cross_entropy(LAMBDA * targets + (1 - LAMBDA) * targets[ORDER], mixed).mean()
        return loss_mixed + 2 * loss_reliable + 0.1 * loss_unreliable + loss_contrast

    def kept(self):
        return super().kept() + self.distance.tolist()


write(__file__, pico_plus_uniform=steps(PicoPlus(0), 1e-3), pico_plus_reliable=steps(PicoPlus(2), 1e-3),
      pico_plus_neighbours=steps(PicoPlus(3), 1e-3))
