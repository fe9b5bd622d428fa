"""Makes quick/pytorch_model.bin from the model.safetensors beside it, and odd.bin.

    pip install torch safetensors
    python make_checkpoints.py

The first is as `torch.save` writes a state dict, with the buffers that old checkpoints have besides. The second holds
what PyTorch allows and nobody expects; the Rust test knows its numbers. Written with torch 2.15.0.
"""
from collections import OrderedDict

import torch
from safetensors.torch import load_file

from make import HERE

tensors = load_file(HERE / "quick" / "model.safetensors")
tensors["text_model.embeddings.position_ids"] = torch.arange(24).expand(1, -1)
tensors["vision_model.embeddings.position_ids"] = torch.arange(10).expand(1, -1)
torch.save(OrderedDict(tensors), HERE / "quick" / "pytorch_model.bin")

count = torch.arange(24.0)
odd = {
    "half": count[:6].half().reshape(2, 3),
    "bfloat16": count[:6].bfloat16().reshape(2, 3),
    "double": count[:6].double().reshape(2, 3),
    "scalar": torch.tensor(4.25),
    "transposed": count[:6].reshape(3, 2).t(),
    "slice": count.reshape(4, 6)[1:3, 1:4],
    "channels last": count.reshape(2, 3, 2, 2).to(memory_format=torch.channels_last),
    "every second": count[1::2],
    "parameter": torch.nn.Parameter(count[:6].reshape(2, 3)),
    "all of one storage": count,
    "one number in six places": torch.tensor([3.0]).expand(2, 3),
    "no numbers": count[:0].reshape(0, 3),
    "eight bits": torch.arange(5, dtype=torch.int8),
    "ids": torch.arange(5),
    "no tensor": {"learning rate": 0.1},
}
torch.save(odd, HERE / "odd.bin")
