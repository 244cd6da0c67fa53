#!/usr/bin/env python3
"""Write tests/data/encoders: small random encoders as transformers saves them, and what it computes with them.

    python3 -m venv V && V/bin/pip install torch==2.9.1 transformers==4.57.1 safetensors==0.8.0 pillow==13.0.0
    V/bin/python pkg-scripts/encoder_cases.py

Takes gigabytes; run by hand in an environment that is thrown away. Each folder holds, beside what save_pretrained writes,
`expected.safetensors`: inputs by their names and outputs as `out.NAME`, computed in float32 with the weights as they are
stored (one case in bfloat16, one in float16). Classifiers have a `preprocessor_config.json` too, and `photo`, the pixels
that its image processor makes of tests/data/chelsea.png.
"""
import json
import shutil
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import (
    BertConfig, BertModel, BertForMaskedLM, BitImageProcessor, CLIPConfig, CLIPImageProcessor, CLIPModel,
    CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModel, DeiTConfig,
    DeiTForImageClassificationWithTeacher, DeiTImageProcessor, Dinov2Config, Dinov2ForImageClassification, Dinov2Model,
    Dinov2WithRegistersConfig, Dinov2WithRegistersForImageClassification, DistilBertConfig, DistilBertModel,
    RobertaConfig, RobertaModel, SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipVisionConfig,
    SiglipVisionModel, ViTConfig, ViTForImageClassification, ViTImageProcessor, ViTModel, XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tests/data/encoders"
VOCABULARY, PAD, END = 61, 1, 59
SIZES = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=36, initializer_range=0.3)
PICTURES = dict(**SIZES, image_size=24, patch_size=8)
TEXTS = dict(**SIZES, vocab_size=VOCABULARY, max_position_embeddings=20)
CLASSES = {"id2label": {i: name for i, name in enumerate(["cat", "dog", "fox", "owl", "bee"])}}
CLIP_TEXT = dict(**TEXTS, bos_token_id=0, pad_token_id=PAD)
SMALL = dict(hidden_size=16, num_attention_heads=2, intermediate_size=20)
MEAN, STD = [0.48, 0.45, 0.4], [0.22, 0.23, 0.25]


def clip(end: int) -> CLIPConfig:
    """The two towers are of different widths."""
    text = CLIPTextConfig(**{**CLIP_TEXT, **SMALL}, eos_token_id=end, projection_dim=12)
    vision = CLIPVisionConfig(**PICTURES, projection_dim=12)
    return CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=12)


def siglip() -> SiglipConfig:
    text = dict(**TEXTS, projection_size=24)
    return SiglipConfig(text_config=text, vision_config=PICTURES)


CASES = {
    "vit": (ViTForImageClassification, ViTConfig(**PICTURES, **CLASSES), torch.bfloat16,
            ViTImageProcessor(size={"height": 24, "width": 24}, image_mean=[0.5] * 3, image_std=[0.5] * 3)),
    # A picture that is not square, projections without biases, and what the class token becomes.
    "vit-hidden": (ViTModel, ViTConfig(**{**PICTURES, "image_size": (16, 24)}, qkv_bias=False), torch.float32, None),
    "deit": (DeiTForImageClassificationWithTeacher, DeiTConfig(**PICTURES, **CLASSES), torch.float32,
             DeiTImageProcessor(size={"height": 28, "width": 28}, crop_size={"height": 24, "width": 24},
                                image_mean=MEAN, image_std=STD)),
    # Pictures of another size than the table of positions is for.
    "dinov2": (Dinov2ForImageClassification, Dinov2Config(**PICTURES, **CLASSES, mlp_ratio=2), torch.float16,
               BitImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 40}, image_mean=MEAN,
                                 image_std=STD)),
    "dinov2-gated": (Dinov2Model, Dinov2Config(**PICTURES, use_swiglu_ffn=True), torch.float32, None),
    "dinov2-registers": (Dinov2WithRegistersForImageClassification,
                         Dinov2WithRegistersConfig(**PICTURES, **CLASSES, mlp_ratio=2), torch.float32, None),
    "clip": (CLIPModel, clip(END), torch.float32,
             CLIPImageProcessor(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24})),
    # The end of texts named as in files of the first years.
    "clip-text": (CLIPTextModelWithProjection, CLIPTextConfig(**CLIP_TEXT, eos_token_id=2, projection_dim=10),
                  torch.float32, None),
    "clip-vision": (CLIPVisionModel, CLIPVisionConfig(**PICTURES, hidden_act="gelu"), torch.float32, None),
    "siglip": (SiglipModel, siglip(), torch.float16, SiglipImageProcessor(size={"height": 24, "width": 24})),
    "siglip-vision": (SiglipVisionModel, SiglipVisionConfig(**PICTURES), torch.float32, None),
    "bert": (BertModel, BertConfig(**TEXTS, pad_token_id=PAD), torch.float32, None),
    # Names with a prefix, no pooler, and a head that is not used.
    "bert-masked": (BertForMaskedLM, BertConfig(**TEXTS, pad_token_id=PAD, hidden_act="gelu_new"), torch.bfloat16, None),
    "roberta": (RobertaModel, RobertaConfig(**TEXTS, pad_token_id=PAD, type_vocab_size=1), torch.float32, None),
    "xlm-roberta": (XLMRobertaForMaskedLM, XLMRobertaConfig(**TEXTS, pad_token_id=PAD, type_vocab_size=1),
                    torch.float32, None),
    "distilbert": (DistilBertModel,
                   DistilBertConfig(vocab_size=VOCABULARY, max_position_embeddings=20, dim=24, n_layers=2, n_heads=3,
                                    hidden_dim=36, initializer_range=0.3, pad_token_id=PAD), torch.float32, None),
}


def inputs_of(name: str, config) -> dict:
    inputs = {}
    if not any(word in name for word in ("bert", "text")):
        sides = {"vit-hidden": (16, 24), "dinov2": (32, 40), "dinov2-gated": (16, 40)}.get(name, (24, 24))
        inputs["pixel_values"] = torch.randn(2, 3, *sides)
    if any(word in name for word in ("bert", "text")) or name in ("clip", "siglip"):
        lengths, longest = [11, 7, 9], 11
        ids = torch.randint(3, END, (len(lengths), longest))
        mask = torch.ones_like(ids)
        for row, length in enumerate(lengths):
            ids[row, length - 1] = END if name != "clip-text" else VOCABULARY - 1
            if name != "siglip":
                ids[row, length:], mask[row, length:] = PAD, 0
        inputs["input_ids"] = ids
        if name == "clip":
            ids[:, 1] = VOCABULARY - 1  # the largest is not the end
        if name != "siglip":
            inputs["attention_mask"] = mask
        if name.startswith("bert"):
            inputs["token_type_ids"] = torch.randint(0, 2, ids.shape)
    return inputs


def base(model):
    """The encoder of a model with a head that is not used."""
    return getattr(model, "bert", None) or getattr(model, "roberta", None) or model


def outputs_of(name: str, model, inputs: dict) -> dict:
    with torch.no_grad():
        out = base(model)(**inputs, return_dict=True)
    wanted = ["logits", "logits_per_image", "logits_per_text", "image_embeds", "text_embeds"]
    if "logits" not in out and "logits_per_image" not in out:
        wanted += ["last_hidden_state"] + ([] if "text_embeds" in out else ["pooler_output"])
    return {f"out.{key}": out[key].contiguous() for key in wanted if out.get(key) is not None}


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    photo = Image.open(ROOT / "tests/data/chelsea.png").convert("RGB")
    for seed, (name, (kind, config, dtype, processor)) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        config._attn_implementation = "eager"
        model = kind(config).eval()
        with torch.no_grad():
            for key, tensor in model.named_parameters():
                if tensor.ndim <= 1 or "token" in key or "position" in key:  # many start at zero, one or close to it
                    tensor.add_(torch.randn_like(tensor) * 0.2)
        folder = OUT / name
        model.to(dtype).save_pretrained(folder)
        # What is stored, computed with in float32.
        stored = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        inputs = inputs_of(name, config)
        expected = inputs | outputs_of(name, stored, inputs)
        if processor is not None:
            processor.save_pretrained(folder)
            expected["photo"] = processor(photo, return_tensors="pt")["pixel_values"].contiguous()
        save_file(expected, folder / "expected.safetensors")
        shapes = {key: list(value.shape) for key, value in expected.items()}
        print(name, json.loads((folder / "config.json").read_text())["model_type"], shapes,
              sum(f.stat().st_size for f in folder.iterdir()))


if __name__ == "__main__":
    main()
