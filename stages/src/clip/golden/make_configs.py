"""Makes configs.json: config files of CLIPs in the forms that the hub has, and how `transformers` reads each.

    pip install torch transformers pillow safetensors
    python make_configs.py           # writes configs.json beside this file

Written with transformers 5.23.0.
"""
import json
from pathlib import Path

from transformers import CLIPConfig

# What every table of 2021 and 2022 repeats, of no use to a CLIP.
JUNK = {"add_cross_attention": False, "architectures": None, "attention_dropout": 0.0, "bad_words_ids": None,
        "chunk_size_feed_forward": 0, "do_sample": False, "dropout": 0.0, "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
        "initializer_factor": 1.0, "initializer_range": 0.02, "is_decoder": False, "max_length": 20, "num_beams": 1,
        "prefix": None, "torch_dtype": None, "transformers_version": "4.16.0.dev0", "use_bfloat16": False}
TEXT = {**JUNK, "model_type": "clip_text_model", "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1,
        "hidden_act": "quick_gelu", "layer_norm_eps": 1e-05, "max_position_embeddings": 77, "vocab_size": 49408,
        "hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8, "num_hidden_layers": 12}
VISION = {**JUNK, "model_type": "clip_vision_model", "bos_token_id": None, "eos_token_id": None,
          "hidden_act": "quick_gelu", "layer_norm_eps": 1e-05, "image_size": 224, "patch_size": 32,
          "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
TOP = {"architectures": ["CLIPModel"], "model_type": "clip", "initializer_factor": 1.0,
       "logit_scale_init_value": 2.6592, "torch_dtype": "float32", "transformers_version": None}
LARGE_TEXT = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
LARGE_VISION = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24,
                "patch_size": 14}
HUGE_TEXT = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24}
HUGE_VISION = {"hidden_size": 1280, "intermediate_size": 5120, "num_attention_heads": 16, "num_hidden_layers": 32,
               "patch_size": 14}
GELU = {"hidden_act": "gelu"}

CONFIGS = {
    "nothing said": {},
    "openai, base: full tables": {**TOP, "projection_dim": 512, "text_config": TEXT, "vision_config": VISION,
                                  "text_config_dict": None, "vision_config_dict": None},
    "openai, base, patch 16": {**TOP, "projection_dim": 512, "text_config": TEXT,
                               "vision_config": {**VISION, "patch_size": 16}},
    "openai, large: the same said twice": {
        **TOP, "projection_dim": 768, "text_config": {**TEXT, **LARGE_TEXT, "projection_dim": 768},
        "text_config_dict": {**LARGE_TEXT, "projection_dim": 768},
        "vision_config": {**VISION, **LARGE_VISION, "projection_dim": 768},
        "vision_config_dict": {**LARGE_VISION, "projection_dim": 768}},
    "openai, large, 336 pixels": {
        **TOP, "projection_dim": 768, "text_config": {**TEXT, **LARGE_TEXT},
        "text_config_dict": {**LARGE_TEXT, "projection_dim": 768},
        "vision_config": {**VISION, **LARGE_VISION, "image_size": 336},
        "vision_config_dict": {**LARGE_VISION, "image_size": 336, "projection_dim": 768}},
    "laion, base": {**TOP, "projection_dim": 512, "text_config": {**TEXT, **GELU}, "vision_config": {**VISION, **GELU},
                    "text_config_dict": GELU, "vision_config_dict": {**GELU, "patch_size": 32}},
    "laion, base, patch 16, few fields": {"model_type": "clip", "text_config": GELU,
                                          "vision_config": {**GELU, "patch_size": 16}},
    "laion, large": {**TOP, "projection_dim": 768, "text_config": {**TEXT, **LARGE_TEXT, **GELU},
                     "vision_config": {**VISION, **LARGE_VISION, **GELU}},
    "laion, huge": {**TOP, "projection_dim": 1024, "text_config": {**TEXT, **HUGE_TEXT, **GELU},
                    "text_config_dict": {**HUGE_TEXT, **GELU}, "vision_config": {**VISION, **HUGE_VISION, **GELU},
                    "vision_config_dict": {**HUGE_VISION, **GELU}},
    "the older tables contradict": {
        **TOP, "projection_dim": 640, "text_config": {**TEXT, **HUGE_TEXT}, "text_config_dict": LARGE_TEXT,
        "vision_config": {**VISION, **HUGE_VISION, "image_size": 336}, "vision_config_dict": {"patch_size": 16}},
    "the older tables are there and empty": {
        "text_config": {**TEXT, **LARGE_TEXT}, "text_config_dict": {}, "vision_config": LARGE_VISION,
        "vision_config_dict": {}},
    "only the older tables": {"projection_dim": 768, "text_config_dict": {**LARGE_TEXT, "eos_token_id": 2},
                              "vision_config_dict": LARGE_VISION},
    "a projection in the towers alone": {"text_config": {"projection_dim": 768}, "vision_config": {"projection_dim": 768}},
    "a wider epsilon": {"text_config": {"layer_norm_eps": 1e-6}, "vision_config": {"layer_norm_eps": 1e-12}},
}

# As today's `save_pretrained` writes them: in full, and what differs from the defaults.
TODAY = CLIPConfig(text_config={**HUGE_TEXT, **GELU}, vision_config={**HUGE_VISION, **GELU}, projection_dim=1024)
CONFIGS["saved today, in full"] = json.loads(TODAY.to_json_string(use_diff=False))
CONFIGS["saved today"] = json.loads(TODAY.to_json_string())


def read(config):
    config = CLIPConfig.from_dict(json.loads(json.dumps(config)))
    sizes = ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"]
    vision, text = config.vision_config, config.text_config
    return {
        "projection": config.projection_dim,
        "vision": [getattr(vision, name) for name in [*sizes, "image_size", "patch_size"]],
        "text": [getattr(text, name) for name in [*sizes, "vocab_size", "max_position_embeddings", "eos_token_id"]],
        "activations": [vision.hidden_act, text.hidden_act],
        "eps": [vision.layer_norm_eps, text.layer_norm_eps],
    }


found = {name: {"config": config, "read": read(config)} for name, config in CONFIGS.items()}
(Path(__file__).parent / "configs.json").write_text(json.dumps(found, indent=1))
