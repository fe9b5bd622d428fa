"""Writes step.json: two whole steps of Co-Reg (method §§6-8) in PyTorch, from the same weights, views and draws; in three
variants.

    python make_step.py            (needs torch; no data, no network)

Everything is in float64 and follows the text of the method, not the Rust code: pseudo-labels of both splits, MixUp,
self-training, prototypes, the noisy contrastive loss with its queue, the optimizer, the key network. Inputs come from
the formulas of ../../../network/golden/make_goldens.py, which tests repeat; states are kept as two numbers a tensor.
"""
import json
import pathlib
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "network" / "golden"))
from make_goldens import arch, build, digest, values  # noqa: E402

A = arch(3, 16, 8, [1, 1, 1, 1], 2, 5, 8)
P, U, K, C, E, QUEUE = 6, 4, 2, 5, 8, 24
T, T_PROTO, T_CONTRAST = 0.5, 0.3, 0.07
LAMBDA_PROTO, LAMBDA_CONTRAST, GAMMA, KEY_MOMENTUM, RATE = 0.1, 0.1, 0.9, 0.8, 0.05
RAMP, PROGRESS = 4, [1.0, 1.5]  # the weight of U's term is a quarter, then three eighths
# What the streams co-reg/network1/epoch0/mixup/0 and /1 of seed 0 draw for 20 rows; a test holds them against it.
DRAWS = json.loads(pathlib.Path(__file__).with_name("draws.json").read_text())


def images(count, seed):
    s = A["input_size"]
    return values(count * s * s * 3, seed).double().reshape(count, s, s, 3).permute(0, 3, 1, 2).contiguous()


def distributions(rows, seed):
    return F.softmax(3 * values(rows * C, seed).double().reshape(rows, C), 1)


def sharpen(p):
    p = p ** (1 / T)
    return p / p.sum(1, keepdim=True)


def contrast(z, labels, partial, keys, queue):
    """One anchor after the other, one pair after the other (method §8)."""
    everything = torch.cat([z, keys] + ([torch.stack([k for k, _, _ in queue])] if queue else []))
    everyones = list(zip(labels, partial)) * 2 + [(l, s) for _, l, s in queue]
    total = 0
    for x in range(len(labels)):
        positives, negatives = [], []
        for a, (label, from_p) in enumerate(everyones):
            if a == x:
                continue
            if a == len(labels) + x or (label == labels[x] and from_p and partial[x]):
                positives.append(a)
            elif label != labels[x]:
                negatives.append(a)
        similarity = everything @ z[x] / T_CONTRAST
        rest = torch.logsumexp(similarity[positives + negatives], 0)
        total = total - (similarity[positives] - rest).mean()
    return total / len(labels)


def moved(prototypes, labels, z):
    """One image after the other, then all prototypes to length 1."""
    prototypes = prototypes.clone()
    for label, embedding in zip(labels, z):
        prototypes[label] = GAMMA * prototypes[label] + (1 - GAMMA) * embedding
    return F.normalize(prototypes, dim=1)


def two_steps(summed, prototypes_first):
    """Whether squared errors on U are summed over classes or averaged, and whether prototypes move before the loss is
    taken or after the step."""
    net, other_net, key = build(A), build(A, 300), build(A)
    key.load_state_dict(net.state_dict())
    sgd = torch.optim.SGD(net.parameters(), RATE, momentum=0.9, weight_decay=5e-4)
    prototypes = F.normalize(values(C * E, 900).double().reshape(C, E), dim=1)
    queue, steps = [], []
    squared = lambda d: (d ** 2).sum(1).mean() if summed else (d ** 2).mean()
    for number in range(2):
        base = 2000 + 100 * number
        weak, strong = images(K * (P + U), base), images(2 * (P + U), base + 1)
        p, w = distributions(P, base + 2), (0.5 + 0.5 * values(P, base + 3).double())
        lam, order = DRAWS[number]["lambda"], DRAWS[number]["order"]

        # method §6, co-pseudo-labels: no gradient flows.
        net.train(), other_net.eval(), key.train()
        with torch.no_grad():
            logits, z_weak, _ = net(weak)
            own = F.softmax(logits, 1)
            own_p, own_u = own[:K * P].reshape(K, P, C).mean(0), own[K * P:].reshape(K, U, C).mean(0)
            theirs_u = F.softmax(other_net(weak[K * P:])[0], 1).reshape(K, U, C).mean(0)
            target_p = sharpen(w[:, None] * p + (1 - w[:, None]) * own_p)
            target_u = sharpen((own_u + theirs_u) / 2)
        labels = torch.cat([target_p, target_u]).argmax(1).tolist()
        if prototypes_first:
            prototypes = moved(prototypes, labels[:P], z_weak)

        # method §7, self-training on mixed strong views.
        targets = torch.cat([target_p, target_p, target_u, target_u])
        mixed_targets = lam * targets + (1 - lam) * targets[order]
        logits, z, _ = net(lam * strong + (1 - lam) * strong[order])
        loss_partial = -(mixed_targets[:2 * P] * F.log_softmax(logits[:2 * P], 1)).sum(1).mean()
        loss_unlabeled = squared(F.softmax(logits[2 * P:], 1) - mixed_targets[2 * P:])
        s = F.softmax(z @ prototypes.T / T_PROTO, 1)
        kl = lambda target: (target * (target.log() - s[:2 * P].log())).sum(1).mean()
        square = lambda target: squared(s[2 * P:] - target)
        both = lambda term, rows: lam * term(targets[rows]) + (1 - lam) * term(targets[order][rows])
        proto_partial, proto_unlabeled = both(kl, slice(0, 2 * P)), both(square, slice(2 * P, None))

        # method §8, the noisy contrastive loss between the first and the second strong views.
        first = torch.cat([strong[:P], strong[2 * P:2 * P + U]])
        second = torch.cat([strong[P:2 * P], strong[2 * P + U:]])
        partial = [True] * P + [False] * U
        z_query = net(first)[1]
        with torch.no_grad():
            z_key = key(second)[1]
        loss_contrast = contrast(z_query, labels, partial, z_key, queue)
        queue += list(zip(z_key, labels, partial))

        loss = (loss_partial + min(PROGRESS[number] / RAMP, 1) * loss_unlabeled
                + LAMBDA_PROTO * (proto_partial + proto_unlabeled) + LAMBDA_CONTRAST * loss_contrast)
        sgd.zero_grad()
        loss.backward()
        sgd.step()

        with torch.no_grad():
            for mine, theirs in zip(key.parameters(), net.parameters()):
                mine.mul_(KEY_MOMENTUM).add_(theirs, alpha=1 - KEY_MOMENTUM)
        if not prototypes_first:  # with the embeddings from before the step
            prototypes = moved(prototypes, labels[:P], z_weak)

        state = lambda n: {k: digest(v) for k, v in sorted(n.state_dict().items()) if "num_batches" not in k}
        steps.append({
            "labels": labels,
            "terms": {"loss_partial": loss_partial.item(), "loss_unlabeled": loss_unlabeled.item(),
                      "loss_prototype_partial": proto_partial.item(), "loss_prototype_unlabeled": proto_unlabeled.item(),
                      "loss_contrastive": loss_contrast.item(), "loss": loss.item()},
            "network": state(net), "key": state(key), "prototypes": prototypes.flatten().tolist(),
        })
    return steps


path = pathlib.Path(__file__).with_name("step.json")
path.write_text(json.dumps({
    "torch": torch.__version__, "architecture": A,
    # By co-reg.unlabeled_error and co-reg.prototypes_first: the defaults, the release's, and those of the profile quick.
    "paper": two_steps(True, True), "release": two_steps(False, True), "quick": two_steps(False, False),
}) + "\n")
