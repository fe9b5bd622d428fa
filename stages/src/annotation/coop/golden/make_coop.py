"""Makes coop.json: two steps of CoOp (Zhou et al. 2022) in PyTorch at double precision, from the text of the paper.

    pip install torch
    python make_coop.py        # writes coop.json beside this file

CLIP's text tower is written out here in plain torch and reads the weights of the tiny random CLIPs of
stages/src/clip/golden. A prompt is [start] v1 ... vM name "." [end], cut to the longest; a class with two
wordings stands where the mean of their unit features points. The loss is the cross-entropy of scale *
cos(image, text); the optimizer is torch.optim.SGD with momentum and weight decay on the context. Written with
torch 2.15.0.
"""
import json
import math
import struct
from pathlib import Path

import torch

HERE = Path(__file__).parent
CLIPS = HERE.parents[2] / "clip" / "golden"
DTYPES = {"F32": torch.float32, "F16": torch.float16, "I64": torch.int64}

# Every wording of every class, and its tokens as CLIP's tokenizer makes them with the few merges of these CLIPs.
CLASSES = [["cat"], ["the photo", "forest"], ["at cat"], ["of the cat"]]
TOKENS = {
    "cat": ["cat</w>"],
    "the photo": ["the</w>", "photo</w>"],
    "forest": ["f", "o", "r", "e", "s", "t</w>"],
    "at cat": ["at</w>", "cat</w>"],
    "of the cat": ["of</w>", "the</w>", "cat</w>"],
}
M, BATCH, SCALE, MOMENTUM, WEIGHT_DECAY = 5, 6, 10.0, 0.9, 0.01
RATES = [0.05, 0.02]


def weights(path):
    """The tensors of a safetensors file, in double precision."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    body = bytearray(data[8 + size:])
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        values = torch.frombuffer(body[start:end], dtype=DTYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"]).double()
    return tensors


class TextTower:
    def __init__(self, folder):
        config = json.loads((folder / "config.json").read_text())["text_config"]
        self.heads, self.layers = config["num_attention_heads"], config["num_hidden_layers"]
        self.eps, self.act = config["layer_norm_eps"], config["hidden_act"]
        self.w = {name.removeprefix("text_model."): t for name, t in weights(folder / "model.safetensors").items()}

    def norm(self, x, name):
        mean = x.mean(-1, keepdim=True)
        variance = ((x - mean) ** 2).mean(-1, keepdim=True)
        return (x - mean) / torch.sqrt(variance + self.eps) * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def linear(self, x, name):
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def activation(self, x):
        if self.act == "quick_gelu":
            return x * torch.sigmoid(1.702 * x)
        assert self.act == "gelu_pytorch_tanh"
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))

    def attention(self, x, name):
        batch, length, hidden = x.shape
        split = lambda part: self.linear(x, f"{name}.{part}_proj").reshape(batch, length, self.heads, -1)
        q, k, v = (split(part).transpose(1, 2) for part in "qkv")
        scores = q @ k.transpose(2, 3) / math.sqrt(hidden / self.heads)
        later = torch.triu(torch.ones(length, length, dtype=torch.bool), 1)
        seen = torch.softmax(scores.masked_fill(later, -math.inf), -1)
        return self.linear((seen @ v).transpose(1, 2).reshape(batch, length, hidden), f"{name}.out_proj")

    def features(self, x, pooled):
        """Token embeddings (R, L, hidden) to features (R, P), taken at the tokens `pooled`."""
        x = x + self.w["embeddings.position_embedding.weight"][:x.shape[1]]
        for i in range(self.layers):
            name = f"encoder.layers.{i}"
            x = x + self.attention(self.norm(x, f"{name}.layer_norm1"), f"{name}.self_attn")
            wide = self.activation(self.linear(self.norm(x, f"{name}.layer_norm2"), f"{name}.mlp.fc1"))
            x = x + self.linear(wide, f"{name}.mlp.fc2")
        x = self.norm(x[torch.arange(len(x)), pooled], "final_layer_norm")
        return x @ self.w["text_projection.weight"].T


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def golden(folder, seed):
    tower = TextTower(CLIPS / folder)
    vocabulary = json.loads((CLIPS / folder / "tokenizer.json").read_text())["model"]["vocab"]
    table = tower.w["embeddings.token_embedding.weight"]
    start, end = vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"]
    rests = [[vocabulary[t] for t in TOKENS[w]] + [vocabulary[".</w>"], end] for names in CLASSES for w in names]
    longest = max(map(len, rests))
    pooled = torch.tensor([M + len(rest) for rest in rests])
    after = torch.stack([table[rest + [0] * (longest - len(rest))] for rest in rests])

    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).float().double()
    context = (0.3 * draw(M, table.shape[1])).requires_grad_()
    first = context.tolist()
    images = unit(draw(BATCH, tower.w["text_projection.weight"].shape[0])).float().double()
    labels = [0, 1, 2, 3, 1, 0]
    optimizer = torch.optim.SGD([context], lr=RATES[0], momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)

    def texts():
        before = table[start].expand(len(rests), 1, -1)
        features = unit(tower.features(torch.cat([before, context.expand(len(rests), -1, -1), after], 1), pooled))
        by_class, at = [], 0
        for names in CLASSES:
            by_class.append(unit(features[at:at + len(names)].sum(0)))
            at += len(names)
        return torch.stack(by_class)

    features = texts().tolist()
    steps = []
    for rate in RATES:
        optimizer.param_groups[0]["lr"] = rate
        loss = torch.nn.functional.cross_entropy(SCALE * images @ texts().T, torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.append({"rate": rate, "loss": loss.item(), "context": context.tolist()})
    return {"folder": folder, "classes": CLASSES, "scale": SCALE, "momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY,
            "context": first, "images": images.tolist(), "labels": labels, "features": features, "steps": steps}


def rounded(value):
    """Nine digits are more than single precision has."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else value


if __name__ == "__main__":
    (HERE / "coop.json").write_text(json.dumps(rounded([golden("quick", 1), golden("gelu", 2)])) + "\n")
