"""Golden numbers for the formulas that methods share and for Co-Reg's, made with PyTorch and scikit-learn.

    pip install torch scikit-learn
    python make_formulas.py > formulas.json

Every formula is written here as it stands in the paper, with no code in common with the Rust side.
"""
import json

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.mixture import GaussianMixture

torch.manual_seed(0)
B, C, E, K, Q = 6, 5, 4, 2, 7
flat = lambda t: [round(float(v), 8) for v in t.reshape(-1)]

logits = torch.randn(B, C, requires_grad=True)
candidates = (torch.rand(B, C) < 0.4).float()
candidates[torch.arange(B), torch.randint(0, C, (B,))] = 1
candidates[3] = 1  # all classes: carries no information
f = F.softmax(logits, 1)

keep = candidates.sum(1) < C
partial = (-torch.log((f * candidates).sum(1)))[keep].mean()
entropy = (f * torch.log(f)).sum(1).mean()
grad_partial = torch.autograd.grad(partial, logits, retain_graph=True)[0]
grad_entropy = torch.autograd.grad(entropy, logits, retain_graph=True)[0]

targets = F.softmax(torch.randn(B, C), 1)
cross_entropy = F.cross_entropy(logits, targets)
mse = F.mse_loss(f, targets)

division = -torch.log((f * candidates).max(1).values)
aligned = f / f.mean(0) / C
aligned = aligned / aligned.sum(1, keepdim=True)

other = F.softmax(torch.randn(B, C), 1)
rescaled = other * candidates / (other * candidates).sum(1, keepdim=True)
views = F.softmax(torch.randn(K * B, C), 1)
mean_views = views.view(K, B, C).mean(0)
w = torch.rand(B)
fused = w[:, None] * rescaled + (1 - w[:, None]) * mean_views
sharpened = fused ** 2 / (fused ** 2).sum(1, keepdim=True)

z = F.normalize(torch.randn(B, E), dim=1)
prototypes = F.normalize(torch.randn(C, E), dim=1)
proto_logits = z @ prototypes.T / 0.3
kl = F.kl_div(F.log_softmax(proto_logits, 1), targets, reduction="batchmean")
labels = torch.tensor([0, 2, 2, 4, 0, 2])
updated = prototypes.clone()
for i in range(B):
    updated[labels[i]] = 0.9 * updated[labels[i]] + 0.1 * z[i]
updated = F.normalize(updated, dim=1)

# Noisy contrastive loss, pair by pair. Samples 0–3 are from P, 4–5 from U.
queries = F.normalize(torch.randn(B, E), dim=1).requires_grad_()
keys = F.normalize(torch.randn(B, E), dim=1)
queue = F.normalize(torch.randn(Q, E), dim=1)
own_partial = [1, 1, 1, 1, 0, 0]
queue_labels, queue_partial = [0, 1, 2, 2, 4, 0, 3], [1, 1, 0, 1, 1, 0, 0]
everything = torch.cat([queries, keys, queue])
all_labels = labels.tolist() * 2 + queue_labels
all_partial = own_partial * 2 + queue_partial
T = 0.07


def contrastive(supervised):
    total = 0
    for x in range(B):
        positives, counted = [], []
        for a in range(len(all_labels)):
            if a == x:
                continue
            same = all_labels[a] == labels[x].item()
            trusted = own_partial[x] and all_partial[a]
            positive = a == B + x or (same and (supervised or trusted))
            if positive:
                positives.append(a)
            if positive or not same:
                counted.append(a)
        s = queries[x] @ everything.T / T
        log_sum = torch.logsumexp(s[counted], 0)
        total = total - (s[positives] - log_sum).mean()
    return total / B


noisy, supervised = contrastive(False), contrastive(True)
grad_noisy = torch.autograd.grad(noisy, queries)[0]

# The mixture on losses as training gives them: most near zero and a long tail; early, when the two heaps still overlap;
# late, when nearly all samples are believed.
rng = np.random.default_rng(0)
loss_sets = [
    [rng.gamma(1.2, 0.06, 700), 0.25 + rng.beta(2, 3, 300) * 0.75],
    [rng.gamma(3.0, 0.07, 1200), rng.normal(0.5, 0.14, 800)],
    [rng.exponential(0.02, 1850), 0.1 + rng.beta(1.5, 2, 150) * 0.9],
]
mixtures = []
for heaps in loss_sets:
    losses = np.concatenate(heaps).clip(0, 1).round(5).astype(np.float32)
    mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0).fit(losses[:, None])
    posterior = mixture.predict_proba(losses[:, None])[:, mixture.means_.argmin()]
    mixtures.append({"losses": [round(float(v), 5) for v in losses], "posterior": [round(float(v), 4) for v in posterior]})

# MixUp of rows with a shuffled copy, and the learning rate as PyTorch's scheduler has it.
mix_lambda, mix_order = 0.7, [3, 0, 5, 1, 2, 4]
mixed = mix_lambda * z + (1 - mix_lambda) * z[mix_order]
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.01)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=800, eta_min=1e-5)
rates = []
for epoch in range(800):
    rates.append(optimizer.param_groups[0]["lr"])
    optimizer.step()
    scheduler.step()

print(json.dumps({
    "shapes": {"B": B, "C": C, "E": E, "K": K, "Q": Q},
    "logits": flat(logits), "candidates": flat(candidates), "targets": flat(targets),
    "partial": float(partial), "grad_partial": flat(grad_partial),
    "negative_entropy": float(entropy), "grad_negative_entropy": flat(grad_entropy),
    "cross_entropy": float(cross_entropy), "mean_squared_error": float(mse),
    "probs": flat(f), "division": flat(division), "aligned": flat(aligned),
    "other": flat(other), "rescaled": flat(rescaled), "views": flat(views), "mean_views": flat(mean_views),
    "w": flat(w), "fused": flat(fused), "sharpened": flat(sharpened),
    "z": flat(z), "prototypes": flat(prototypes), "kl": float(kl),
    "labels": labels.tolist(), "updated_prototypes": flat(updated),
    "queries": flat(queries), "keys": flat(keys), "queue": flat(queue), "own_partial": own_partial,
    "queue_labels": queue_labels, "queue_partial": queue_partial,
    "noisy": float(noisy), "supervised": float(supervised), "grad_noisy": flat(grad_noisy),
    "mixtures": mixtures,
    "mix_lambda": mix_lambda, "mix_order": mix_order, "mixed": flat(mixed),
    "rates": {str(epoch): rates[epoch] for epoch in (0, 1, 10, 50, 100, 400, 799)},
}))
