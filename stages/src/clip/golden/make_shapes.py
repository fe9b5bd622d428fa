"""Makes shapes.json: features of CLIPs in the true widths, heads, patches and positions of the hub's, with few layers.

    pip install torch transformers pillow safetensors
    python make_shapes.py            # writes shapes.json beside this file

The weights come from a formula that shapes.rs has too, so that only features need to be kept, every thirteenth number of
them. Each config is written as the repositories of that shape write theirs: `transformers` reads it here, ours there.
Written with torch 2.15.0, transformers 5.23.0, Pillow 13.0.0.
"""
import json

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from make import HERE, picture, tokenizer

EVERY = 13
SIZES = [(300, 260), (190, 350)]
TEXTS = ["a photo of a cat.", "", "the forest in a photo of the river at " * 9]

# The vocabulary is that of make.py's tokenizer, whose end mark is 525.
WORDS = {"vocab_size": 526, "bos_token_id": 524, "eos_token_id": 525}
GELU = {"hidden_act": "gelu"}

SHAPES = {
    # One full table of fields a tower, `_dict` null, the end mark wrong as it was in 2021.
    "openai/clip-vit-base-patch32": ("F32", {
        "model_type": "clip", "projection_dim": 512, "logit_scale_init_value": 2.6592,
        "text_config": {"model_type": "clip_text_model", "hidden_size": 512, "intermediate_size": 2048,
                        "num_attention_heads": 8, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-05,
                        "max_position_embeddings": 77, "num_hidden_layers": 2, "vocab_size": 526,
                        "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1, "projection_dim": 512},
        "text_config_dict": None,
        "vision_config": {"model_type": "clip_vision_model", "hidden_size": 768, "intermediate_size": 3072,
                          "num_attention_heads": 12, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-05,
                          "image_size": 224, "patch_size": 32, "num_hidden_layers": 2, "projection_dim": 512},
        "vision_config_dict": None,
    }),
    # Only what differs from the defaults.
    "openai/clip-vit-base-patch16": ("F32", {
        "model_type": "clip",
        "text_config": {**WORDS, "num_hidden_layers": 2},
        "vision_config": {"patch_size": 16, "num_hidden_layers": 2},
    }),
    # What counts stands in the `_dict`s; the other tables are of another model.
    "openai/clip-vit-large-patch14": ("F16", {
        "model_type": "clip", "projection_dim": 768,
        "text_config": {"hidden_size": 640, "num_attention_heads": 10, "num_hidden_layers": 3, "eos_token_id": 2},
        "text_config_dict": {**WORDS, "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
                             "num_hidden_layers": 2, "projection_dim": 768},
        "vision_config": {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
                          "num_hidden_layers": 24, "patch_size": 16},
        "vision_config_dict": {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
                               "num_hidden_layers": 2, "patch_size": 14, "projection_dim": 768},
    }),
    "openai/clip-vit-large-patch14-336": ("F16", {
        "model_type": "clip", "projection_dim": 768,
        "text_config": {**WORDS, "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
                        "num_hidden_layers": 1, "projection_dim": 768},
        "vision_config": {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "image_size": 336,
                          "num_hidden_layers": 1, "patch_size": 14, "projection_dim": 768},
    }),
    "laion/CLIP-ViT-B-16-laion2B-s34B-b88K": ("F32", {
        "model_type": "clip", "projection_dim": 512,
        "text_config": {**WORDS, **GELU, "num_hidden_layers": 2},
        "vision_config": {**GELU, "patch_size": 16, "num_hidden_layers": 2},
    }),
    "laion/CLIP-ViT-H-14-laion2B-s32B-b79K": ("BF16", {
        "model_type": "clip", "projection_dim": 1024,
        "text_config": {**WORDS, **GELU, "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
                        "num_hidden_layers": 1},
        "vision_config": {**GELU, "hidden_size": 1280, "intermediate_size": 5120, "num_attention_heads": 16,
                          "num_hidden_layers": 1, "patch_size": 14},
    }),
}


def noise(name, count):
    """Whole numbers from -128 to 127: the top bytes of splitmix64, begun at the name's FNV-1a hash."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        x = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(56)).astype(np.uint8).view(np.int8)


def weight(name, shape):
    """Numbers that f16 and bf16 hold exactly, of a size at which every part of the network shows in the features."""
    n = noise(name, int(np.prod(shape)))
    if "norm" in name and name.endswith(".weight"):
        values = 1 + (n >> 4).astype(np.float32) / 64
    elif len(shape) > 1 and not name.endswith(("token_embedding.weight", "position_embedding.weight")):
        inputs = int(np.prod(shape[1:]))
        values = n.astype(np.float32) * 2.0 ** -(6 + inputs.bit_length() // 2)
    else:
        values = n.astype(np.float32) / 256
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def rounded(feature):
    return [float(f"{x:.8g}") for x in feature[::EVERY].tolist()]


def golden(dtype, config):
    clip = CLIPModel(CLIPConfig.from_dict(json.loads(json.dumps(config)))).eval()
    tok, _ = tokenizer()
    with torch.no_grad():
        for name, parameter in clip.named_parameters():
            if name != "logit_scale":
                parameter.copy_(weight(name, tuple(parameter.shape)))
        side = clip.config.vision_config.image_size
        processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=side)
        pixels = processor([picture(w, h) for w, h in SIZES], return_tensors="pt")["pixel_values"]
        ids = [tok(text, truncation=True, max_length=77)["input_ids"] for text in TEXTS]
        unit = torch.nn.functional.normalize
        images = unit(clip.get_image_features(pixels).pooler_output)
        texts = [unit(clip.get_text_features(torch.tensor([i])).pooler_output)[0] for i in ids]
    return {
        "dtype": dtype,
        "config": config,
        "images": [{"size": size, "feature": rounded(f)} for size, f in zip(SIZES, images)],
        "texts": [{"text": text, "feature": rounded(f)} for text, f in zip(TEXTS, texts)],
    }


if __name__ == "__main__":
    found = {name: golden(*shape) for name, shape in SHAPES.items()}
    (HERE / "shapes.json").write_text(json.dumps({"every": EVERY, "shapes": found}))
