"""Makes the golden files of stages/src/clip: two tiny random CLIPs with features, token ids and preprocessed pixels.

    pip install torch transformers pillow safetensors
    python make.py            # writes quick/, gelu/ and preprocess.json beside this file

Written with torch 2.15.0, transformers 5.23.0, Pillow 13.0.0.
"""
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

HERE = Path(__file__).parent

TEXTS = [
    "a photo of a cat.",
    "A PHOTO  OF\tthe \n Forest",
    "",
    "it's 2026, isn't it?",
    "naïve café — Straße, ÅNGSTRÖM",
    "e\u0301te\u0301",  # combining accents: NFC makes them one letter
    "写真 фото 🛰️",
    "<|endoftext|> in the middle",
    "a photo of the photo of the photo of the photo of the photo of the photo of the photo of the photo",
]
SIZES = [(40, 30), (25, 60), (12, 9), (20, 20), (64, 64)]


def picture(width, height):
    """A picture from a formula, so that no image file is needed: the Rust test has the same one."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    values = (x * 7 + y * 13 + c * 50 + (x * y) % 31 + ((x // 5 + y // 3) % 2) * 90) % 256
    return Image.fromarray(values.astype(np.uint8))


def tokenizer():
    """CLIP's own structure (byte-level BPE with </w>, NFC, lower case) with a few merges in place of 48,894."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    letters = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    merges = [("o", "f</w>"), ("p", "h"), ("o", "t"), ("ph", "ot"), ("phot", "o</w>"), ("t", "h"), ("th", "e</w>"),
              ("Ã", "©</w>"), ("a", "t</w>"), ("c", "at</w>"), ("i", "n"), ("'", "s</w>")]
    words = letters + [letter + "</w>" for letter in letters] + ["".join(m) for m in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={w: i for i, w in enumerate(words)}, merges=merges), len(words)


def randomise(model, generator):
    """Weights large enough that every part of the network shows in the features."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if name == "logit_scale":
            p.data.fill_(4.25)
        elif "norm" in name:
            p.data = (1 + 0.2 * noise) if name.endswith("weight") else 0.2 * noise
        elif p.ndim > 1 and "embedding.weight" not in name:
            p.data = noise * 1.5 / p[0].numel() ** 0.5
        else:
            p.data = 0.5 * noise


def model(folder, dtype, seed, text, vision, projection):
    folder = HERE / folder
    folder.mkdir(exist_ok=True)
    tok, size = tokenizer()
    tok.backend_tokenizer.save(str(folder / "tokenizer.json"))
    text = {"vocab_size": size, "bos_token_id": size - 2, "eos_token_id": size - 1, **text}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=projection)
    clip = CLIPModel(config).eval()
    with torch.no_grad():
        randomise(clip, torch.Generator().manual_seed(seed))
        clip = clip.to(dtype)
        tensors = {k: v.contiguous() for k, v in clip.state_dict().items()}
        save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
        clip = clip.float()
        keep = ["model_type", "projection_dim", "text_config", "vision_config"]
        (folder / "config.json").write_text(json.dumps({k: config.to_dict()[k] for k in keep}, indent=1))
        side = vision["image_size"]
        processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=side)
        pixels = processor([picture(w, h) for w, h in SIZES], return_tensors="pt")["pixel_values"]
        positions = text["max_position_embeddings"]
        ids = [tok(t, truncation=True, max_length=positions)["input_ids"] for t in TEXTS]
        unit = torch.nn.functional.normalize
        texts = [unit(clip.get_text_features(torch.tensor([i])).pooler_output)[0] for i in ids]
        images = unit(clip.get_image_features(pixels).pooler_output)
    golden = {
        "texts": [{"text": t, "ids": i, "feature": f.tolist()} for t, i, f in zip(TEXTS, ids, texts)],
        "images": [{"size": s, "feature": f.tolist()} for s, f in zip(SIZES, images)],
        "logit_scale": clip.logit_scale.exp().item(),
    }
    (folder / "golden.json").write_text(json.dumps(golden, indent=1))


def preprocess():
    cases = []
    for (width, height), settings in [
        ((64, 64), {}),
        ((320, 240), {}),
        ((90, 301), {}),
        ((40, 31), {"size": 24, "crop_size": 24}),
        ((31, 40), {"size": {"shortest_edge": 24}, "crop_size": {"height": 24, "width": 24}}),
        ((10, 7), {"size": {"shortest_edge": 24}, "crop_size": 24}),
        ((24, 24), {"size": {"shortest_edge": 24}, "crop_size": 24}),
        ((50, 37), {"size": {"shortest_edge": 19}, "crop_size": 24}),
        ((50, 37), {"size": {"height": 24, "width": 24}, "crop_size": 24, "resample": 2}),
        ((21, 64), {"do_resize": False, "crop_size": 24}),
        ((30, 20), {"size": {"height": 24, "width": 24}, "do_center_crop": False}),
        ((33, 29), {"size": 24, "crop_size": 24, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3]}),
        ((33, 29), {"size": 24, "crop_size": 24, "do_normalize": False}),
    ]:
        def run(**more):
            return CLIPImageProcessorPil(**{**settings, **more})(picture(width, height), return_tensors="np")["pixel_values"][0]
        bytes_, values = run(do_rescale=False, do_normalize=False), run()
        step = 101 if bytes_.size > 10000 else 7
        cases.append({
            "size": [width, height],
            "settings": settings,
            "side": bytes_.shape[1],
            "step": step,
            "bytes": [int(v) for v in bytes_.reshape(-1)[::step]],
            "values": [float(v) for v in values.reshape(-1)[::step]][:40],
        })
    (HERE / "preprocess.json").write_text(json.dumps(cases))


if __name__ == "__main__":
    sizes = {"max_position_embeddings": 24, "num_hidden_layers": 2}
    model("quick", torch.float32, 1,
          {**sizes, "hidden_size": 24, "intermediate_size": 40, "num_attention_heads": 2},
          {"hidden_size": 24, "intermediate_size": 36, "num_attention_heads": 3, "num_hidden_layers": 2,
           "image_size": 20, "patch_size": 6}, 20)
    model("gelu", torch.float16, 2,
          {**sizes, "hidden_size": 30, "intermediate_size": 50, "num_attention_heads": 5, "num_hidden_layers": 3,
           "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-2, "eos_token_id": 2},
          {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_hidden_layers": 3,
           "image_size": 24, "patch_size": 8, "hidden_act": "gelu", "layer_norm_eps": 1e-2}, 28)
    preprocess()
