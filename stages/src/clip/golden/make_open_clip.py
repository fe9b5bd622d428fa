"""Makes the golden files of open_clip's format: two tiny random models with features, and token ids of CLIP's tokenizer.

    pip install torch torchvision open_clip_torch transformers pillow safetensors
    python make_open_clip.py     # writes open_clip/, open_clip_custom/ and tokens.json beside this file

The first model is a CLIP with OpenAI's names, as safetensors with vocab.json and merges.txt. The second is a
CustomTextCLIP, whose text tower stands under `text.`, as a checkpoint of a training on several devices, whose names begin
with `module.`. Written with torch 2.15.0, torchvision 0.29.2, open_clip 3.3.0, transformers 5.24.0.
"""
import json
import tempfile
from pathlib import Path

import torch
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors.torch import save_file
from transformers import CLIPTokenizer

from make import HERE, TEXTS, picture, tokenizer

# Of odd and of even differences to the crop, wide and high.
SIZES = [(40, 30), (25, 60), (12, 9), (20, 20), (64, 61), (47, 24), (24, 45)]

# What a tokenizer can stumble over.
WORDS = TEXTS + [
    "I'm sure they'll say we've 'd it, don't you're 's",
    "IT'S THE CAT'S",
    "Ünïcödé and e\u0301 and \u0130stanbul and Straße and ﬁne",
    "猫在垫子上。一只狗",
    "かわいい猫 カメラ 고양이",
    "🐱🐶👩‍👩‍👧‍👦🇩🇪 emoji",
    "12 345 6.7 ½ ² Ⅳ ٣ 10-1 3D",
    "#hashtag ## # #a @home e-mail@host.org http://a.b/c?d=e&f",
    "<|startoftext|>the<|endoftext|>the <|STARTOFTEXT|> <|endoftext |>",
    "tabs\tand\nlines\r\nand\u00a0hard\u2003blanks \u200b zero",
    "...!!!??? ---- ***** (a) [b] {c} <d> |e| \\f/ ~g^ `h´ \"i\" ‘j’ “k”",
    "\u0000control\u0007 \ufeffmark \ufffd",
    "x" * 40,
    "\u0e20\u0e32\u0e1e\u0e16\u0e48\u0e32\u0e22 हिन्दी עברית العربية ελληνικά",
    "photo of the photo of a cat at the inn: ph phot photo",
]


def randomise(model, generator):
    """Weights large enough that every part of the network shows in the features."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if name == "logit_scale":
            p.data.fill_(4.25)
        elif ".ln_" in f".{name}":
            p.data = (1 + 0.2 * noise) if name.endswith("weight") else 0.2 * noise
        elif name.endswith(("proj", "text_projection")) and "in_proj" not in name:
            p.data = noise * 1.5 / p.shape[0] ** 0.5
        elif p.ndim > 1 and "embedding" not in name:
            p.data = noise * 1.5 / p[0].numel() ** 0.5
        else:
            p.data = 0.5 * noise


def model(folder, kind, seed, config, preprocess, prefix):
    folder = HERE / folder
    folder.mkdir(exist_ok=True)
    tok, size = tokenizer()
    config["text_cfg"]["vocab_size"] = size
    clip = kind(embed_dim=config["embed_dim"], vision_cfg=dict(config["vision_cfg"]),
                text_cfg=dict(config["text_cfg"]), quick_gelu=config.get("quick_gelu", False)).eval()
    side, length = config["vision_cfg"]["image_size"], config["text_cfg"]["context_length"]
    with torch.no_grad():
        randomise(clip, torch.Generator().manual_seed(seed))
        tensors = {prefix + name: tensor.contiguous() for name, tensor in clip.state_dict().items()}
        if prefix:
            torch.save({"epoch": 3, "state_dict": tensors}, folder / "open_clip_pytorch_model.bin")
            tok.backend_tokenizer.save(str(folder / "tokenizer.json"))
        else:
            save_file(tensors, str(folder / "open_clip_model.safetensors"), metadata={"format": "pt"})
            parts(tok, folder)
        (folder / "open_clip_config.json").write_text(
            json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=1))
        transform = image_transform_v2(PreprocessCfg(size=side, **preprocess), is_train=False)
        pixels = torch.stack([transform(picture(w, h)) for w, h in SIZES])
        ids = [tok(text, truncation=True, max_length=length)["input_ids"] for text in TEXTS]
        filled = torch.tensor([i + [0] * (length - len(i)) for i in ids])
        texts, images = clip.encode_text(filled, normalize=True), clip.encode_image(pixels, normalize=True)
    golden = {
        "texts": [{"text": t, "ids": i, "feature": f.tolist()} for t, i, f in zip(TEXTS, ids, texts)],
        "images": [{"size": s, "feature": f.tolist()} for s, f in zip(SIZES, images)],
        "logit_scale": clip.logit_scale.exp().item(),
    }
    (folder / "golden.json").write_text(json.dumps(golden, indent=1))


def parts(tok, folder):
    """The tokenizer as vocab.json and merges.txt."""
    whole = json.loads(tok.backend_tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(whole["vocab"], ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in whole["merges"])]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def tokens():
    """What transformers reads from vocab.json and merges.txt alone makes of the words."""
    tok, _ = tokenizer()
    with tempfile.TemporaryDirectory() as folder:
        parts(tok, Path(folder))
        read = CLIPTokenizer.from_pretrained(folder)
        found = [{"text": text, "ids": read(text)["input_ids"]} for text in WORDS]
    (HERE / "tokens.json").write_text(json.dumps(found))


if __name__ == "__main__":
    model("open_clip", CLIP, 3, {
        "embed_dim": 20,
        "vision_cfg": {"image_size": 24, "layers": 2, "width": 24, "head_width": 8, "patch_size": 8, "mlp_ratio": 2.6},
        "text_cfg": {"context_length": 24, "width": 20, "heads": 2, "layers": 2},
    }, {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711],
        "interpolation": "bicubic", "resize_mode": "shortest"}, "")
    model("open_clip_custom", CustomTextCLIP, 4, {
        "embed_dim": 18,
        "quick_gelu": True,
        "custom_text": True,
        "vision_cfg": {"image_size": 20, "layers": 2, "width": 16, "head_width": 4, "patch_size": 6,
                       "norm_kwargs": {"eps": 1e-2}},
        "text_cfg": {"context_length": 24, "width": 16, "heads": 2, "layers": 1, "mlp_ratio": 2.5},
    }, {"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.2, 0.25], "interpolation": "bilinear", "resize_mode": "squash"},
          "module.")
    tokens()
