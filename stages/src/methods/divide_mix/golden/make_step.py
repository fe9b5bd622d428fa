"""Writes step.json: two whole steps of DivideMix's warm-up and two of what follows, in PyTorch.

    python make_step.py            (needs torch; no data, no network)

Everything is in float64 and follows the text of the method (Li et al. 2020), not the Rust code. In the two steps after
warm-up one network learns, and the other does not change. Inputs come from the formulas of
../../../network/golden/make_goldens.py, which tests repeat; states are kept as two numbers a tensor.
"""
import pathlib
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "golden"))
from steps import A, C, RATE, Rule, Y, build, digest, steps, values, write  # noqa: E402
from steps import images as images_of_step  # noqa: E402

# Samples of a step that are believed, and that are not; the constants of the method.
P, U = 6, 4
W, RAMP, LAMBDA_U, T = 2, 4, 25, 0.5
# Of the two steps: epochs done, and what MixUp draws for its 20 rows.
PROGRESS = [3.0, 3.5]
MIXING = [{"lambda": 0.7, "order": [(7 * i + 3) % 20 for i in range(20)]},
          {"lambda": 0.85, "order": [(3 * i + 11) % 20 for i in range(20)]}]


class WarmUp(Rule):
    """Cross-entropy to one label, the first candidate, and the negative entropy."""

    def loss(self, net, number, rows):
        labels = torch.tensor([Y[i].nonzero()[0].item() for i in rows])
        f = F.softmax(net(images_of_step(number))[0], 1)
        cross_entropy = -f[torch.arange(len(rows)), labels].log().mean()
        return cross_entropy + (f * f.log()).sum(1).mean()


def view(count, seed):
    s = A["input_size"]
    return values(count * s * s * 3, seed).double().reshape(count, s, s, 3).permute(0, 3, 1, 2).contiguous()


def sharpen(p):
    p = p ** (1 / T)
    return p / p.sum(1, keepdim=True)


def divided():
    net, other = build(A), build(A, 300)
    sgd = torch.optim.SGD(net.parameters(), RATE, momentum=0.9, weight_decay=5e-4)
    done = []
    for number in range(2):
        base = 2000 + 100 * number
        # Two weak views of what is believed, then two of what is not.
        views = view(2 * (P + U), base)
        x1, x2, u1, u2 = views.split([P, P, U, U])
        labels = [(2 * i + number) % C for i in range(P)]
        w = 0.5 + 0.5 * values(P, base + 1).double()

        net.train(), other.eval()
        with torch.no_grad():
            own_x1, own_x2, own_u1, own_u2 = F.softmax(net(views)[0], 1).split([P, P, U, U])
            other_u1, other_u2 = (F.softmax(other(u)[0], 1) for u in (u1, u2))
            refined = w[:, None] * F.one_hot(torch.tensor(labels), C) + (1 - w[:, None]) * (own_x1 + own_x2) / 2
            target_x = sharpen(refined)
            target_u = sharpen((own_u1 + own_u2 + other_u1 + other_u2) / 4)

        # MixUp of everything with everything, on the views that the targets were made of.
        lam, order = MIXING[number]["lambda"], MIXING[number]["order"]
        targets = torch.cat([target_x, target_x, target_u, target_u])
        mixed_images = lam * views + (1 - lam) * views[order]
        mixed_targets = lam * targets + (1 - lam) * targets[order]
        logits = net(mixed_images)[0]
        f = F.softmax(logits, 1)
        loss_x = -(mixed_targets[:2 * P] * F.log_softmax(logits[:2 * P], 1)).sum(1).mean()
        loss_u = ((f[2 * P:] - mixed_targets[2 * P:]) ** 2).mean()
        prior, mean = torch.full((C,), 1 / C).double(), f.mean(0)
        loss_reg = (prior * (prior / mean).log()).sum()
        weight = LAMBDA_U * min(max((PROGRESS[number] - W) / RAMP, 0), 1)
        loss = loss_x + weight * loss_u + loss_reg
        sgd.zero_grad()
        loss.backward()
        sgd.step()

        state = lambda n: {k: digest(v) for k, v in sorted(n.state_dict().items()) if "num_batches" not in k}
        done.append({
            "given": labels, "progress": PROGRESS[number], "mixing": MIXING[number],
            "labels": torch.cat([target_x, target_u]).argmax(1).tolist(),
            "terms": {"loss_partial": loss_x.item(), "loss_unlabeled": loss_u.item(),
                      "loss_prior": loss_reg.item(), "loss": loss.item()},
            "network": state(net), "other": state(other),
        })
    return done


write(__file__, warm_up=steps(WarmUp()), divided=divided())
