"""Writes ensemble_contrast.json: two whole steps of ensemble-contrast in PyTorch, of its warm-up and with contrast.

    python make_ensemble_contrast.py            (needs torch; no data, no network)
"""
import torch
import torch.nn.functional as F

from pico_steps import Keys, close_call, contrast, cross_entropy
from steps import B, C, N, images, steps, values, write

LAMBDA = 0.5


class EnsembleContrast(Keys):
    room = 9  # keys of the second step overwrite some of the first

    def __init__(self, contrasts):
        self.contrasts = contrasts
        self.e = F.softmax(3 * values(N * C, 902).double().reshape(N, C), 1)
        assert close_call(self.e) > 1e-3

    def loss(self, net, number, rows):
        labels = self.e[rows]
        logits, z, _ = net(images(number))
        loss = cross_entropy(labels, logits).mean()
        if not self.contrasts:
            return loss
        keys = self.keys(net, images(number, 1))
        others = torch.stack([*z, *keys, *(k for k, _ in self.queue)])
        everyones = torch.stack([*labels, *labels, *(label for _, label in self.queue)])
        weights = [[0.0] * len(others) for _ in rows]
        for i in range(B):
            for a, label in enumerate(everyones):
                if a == B + i:
                    weights[i][a] = 1.0
                elif label.argmax() == labels[i].argmax():
                    weights[i][a] = (label @ labels[i]).item()
        # Beside itself and its key somebody attracts somebody.
        assert sum(0 < w < 1 for row in weights for w in row) > B
        self.enqueue(zip(keys, labels))
        return loss + LAMBDA * contrast(z, others, weights).mean()

    def kept(self):
        kept = [k for k, _ in self.queue] + [label for _, label in self.queue]
        return torch.cat([k.flatten() for k in kept]).tolist() if kept else []


write(__file__, warm_up=steps(EnsembleContrast(False)), ensemble_contrast=steps(EnsembleContrast(True)))
