"""What the scripts of PiCO, PiCO+ and ensemble-contrast share: a key network with its queue, prototypes and targets as
PiCO has them, and the contrastive loss with weights, pair by pair.
"""
import copy

import torch
import torch.nn.functional as F

from steps import C, E, Rule, Y, values

T_CONTRAST, GAMMA, KEY_MOMENTUM, EPOCHS = 0.07, 0.9, 0.8, 4


def close_call(scores):
    """How much larger the largest of each row is than the next: too little would be decided by rounding."""
    first, second = scores.topk(2).values.T
    return (first - second).min().item()


def best(scores, allowed):
    """The class of the largest score among those that are allowed, for each row."""
    scores = scores.detach().masked_fill(allowed == 0, -torch.inf)
    assert close_call(scores) > 1e-3, close_call(scores)
    return scores.argmax(1).tolist()


def onehot(labels):
    return F.one_hot(torch.tensor(labels), C).double()


def contrast(z, others, weights):
    """The loss of each anchor i: its pairs with all rows but itself, which is row i, weighted and averaged."""
    losses = []
    for i in range(len(z)):
        rest = [a for a in range(len(others)) if a != i]
        a_i = others @ z[i] / T_CONTRAST
        log_sum = torch.logsumexp(a_i[rest], 0)
        total = sum(weights[i][a] for a in rest)
        losses.append(-sum(weights[i][a] * (a_i[a] - log_sum) for a in rest if weights[i][a]) / total)
    return torch.stack(losses)


def moco(z, keys, queue):
    """Own key against the queue."""
    losses = []
    for i in range(len(z)):
        a_i = torch.stack([z[i] @ k for k in [keys[i]] + queue]) / T_CONTRAST
        losses.append(torch.logsumexp(a_i, 0) - a_i[0])
    return torch.stack(losses).mean()


class Keys(Rule):
    """A key network and the queue of its keys, with room for the two steps or for `room` of them."""

    room = 24

    def start(self, net):
        self.key, self.queue, self.next = copy.deepcopy(net), [], 0
        self.key.train()

    def keys(self, net, x):
        with torch.no_grad():
            for mine, theirs in zip(self.key.parameters(), net.parameters()):
                mine.mul_(KEY_MOMENTUM).add_(theirs, alpha=1 - KEY_MOMENTUM)
            return self.key(x)[1]

    def enqueue(self, rows):
        """Key, label and whatever else there is of each sample; the oldest ones go."""
        for row in rows:
            self.queue[self.next:self.next + 1] = [row]
            self.next = (self.next + 1) % self.room


class PicoRule(Keys):
    """Prototypes and targets beside the keys, in epoch number `epoch` of EPOCHS."""

    def __init__(self, epoch):
        self.epoch = epoch
        self.p = Y / Y.sum(1, keepdim=True)
        self.o = F.normalize(values(C * E, 901).double().reshape(C, E), dim=1)

    def move_prototypes(self, z, labels):
        for q, c in zip(z.detach(), labels):
            self.o[c] = GAMMA * self.o[c] + (1 - GAMMA) * q
        self.o = F.normalize(self.o, dim=1)

    def move_targets(self, rows, scores):
        # As the momentum was set after the epoch before; the first epoch of all has the first one.
        phi = 0.95 + (0.8 - 0.95) * max(self.epoch - 1, 0) / EPOCHS
        self.p[rows] = phi * self.p[rows] + (1 - phi) * onehot(best(scores, Y[rows]))

    def kept(self):
        kept = [self.p, self.o] + [k for k, *_ in self.queue]
        return torch.cat([k.flatten() for k in kept]).tolist()


def cross_entropy(targets, logits):
    return -(targets * F.log_softmax(logits, 1)).sum(1)
