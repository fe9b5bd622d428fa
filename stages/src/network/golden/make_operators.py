"""Writes operators.json: what PyTorch computes for single operators, forward and backward, in float64.

    python make_operators.py            (needs torch; no data, no network)

Inputs, weights and the output's gradients come from the formula of make_goldens.py, activations in order
(image, y, x, channel). Each result is kept as two numbers: its length, and its product with a formula vector.
The tests of cpu/convolution and cpu/norm repeat the formulas.
"""
import json
import pathlib

import torch
from torch import nn

from make_goldens import digest, values


def given(shape, seed):
    count = torch.Size(shape).numel()
    return values(count, seed).double().reshape(shape).requires_grad_()


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1).contiguous()


def convolution(cin, cout, kernel, stride, size, images):
    x, w = given((images, size, size, cin), 1), given((cout, cin, kernel, kernel), 2)
    y = nhwc(nn.functional.conv2d(nchw(x), w, stride=stride, padding=kernel // 2))
    y.backward(given(y.shape, 3).detach())
    return {"cin": cin, "cout": cout, "kernel": kernel, "stride": stride, "size": size, "images": images,
            "output": digest(y.detach()), "input_gradient": digest(x.grad), "weight_gradient": digest(w.grad)}


def norm_and_relu(channels, pixels):
    norm = nn.BatchNorm2d(channels).double().train()
    with torch.no_grad():
        norm.weight.copy_(1 + 0.3 * values(channels, 4).double())
        norm.bias.copy_(0.2 * values(channels, 5).double())
    x = given((1, pixels, 1, channels), 6)
    y = nhwc(norm(nchw(x)).relu())
    y.backward(given(y.shape, 7).detach())
    # From 0.9 · start + 0.1 · of the batch, the batch's own.
    return {"channels": channels, "pixels": pixels, "output": digest(y.detach()), "input_gradient": digest(x.grad),
            "weight_gradient": digest(norm.weight.grad), "bias_gradient": digest(norm.bias.grad),
            "mean": digest(10 * norm.running_mean), "unbiased_variance": digest(10 * (norm.running_var - 0.9))}


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)
    convolutions = [convolution(*shape) for shape in (
        (3, 16, 3, 1, 5, 3), (16, 24, 3, 1, 9, 3), (20, 40, 3, 2, 7, 2), (33, 17, 3, 2, 8, 3), (16, 32, 1, 2, 9, 2),
        (5, 64, 1, 1, 4, 3), (16, 16, 3, 2, 1, 2), (64, 48, 3, 1, 12, 1), (16, 16, 3, 1, 13, 2))]
    norms = [norm_and_relu(12, 91), norm_and_relu(16, 64), norm_and_relu(33, 5)]
    out = {"torch": torch.__version__, "convolutions": convolutions, "norms": norms}
    path = pathlib.Path(__file__).with_name("operators.json")
    path.write_text(json.dumps(out) + "\n")
