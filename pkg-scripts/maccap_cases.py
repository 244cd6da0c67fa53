#!/usr/bin/env python3
"""Write tests/data/vision_language/maccap: a small random captioner after MacCap (Qiu et al. 2024), and what it makes of two
photos. The tower and the decoder are those of transformers; what is between them is written here, as the paper's code has it.

    python3 -m venv V && V/bin/pip install torch==2.9.1 torchvision==0.24.1 transformers==4.57.1 pillow==12.0.0
    V/bin/python pkg-scripts/maccap_cases.py

Run by hand, as vision_language_cases.py, whose photos and tokenizer it takes. For each photo: the features without noise and
with the one that is written too, the ids that follow greedily and by beam search of four, and logits after the features.
"""
import json
import math
import shutil

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection, LlamaConfig, LlamaForCausalLM,
    LlamaTokenizerFast,
)
from vision_language_cases import OUT, PHOTOS, HalfCache, letters, text_config

FOLDER = OUT / "maccap"
PATCHES, QUERIES, HEADS, VARIANCE, MORE = 5, 32, 4, 0.016, 12


class Mlp(nn.Module):
    def __init__(self, size: int, out: int):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(size, size), nn.Linear(size, size), nn.Linear(size, out)])

    def forward(self, x):
        return self.layers[2](F.relu(self.layers[1](F.relu(self.layers[0](x)))))


class Between(nn.Module):
    """What the class token attends to, through learnt queries, to the width of the words."""

    def __init__(self, size: int, width: int):
        super().__init__()
        self.query_fusion = nn.Embedding(QUERIES, size)
        layer = nn.TransformerDecoderLayer(size, HEADS, dim_feedforward=40, dropout=0.0)
        self.aligner = nn.TransformerDecoder(layer, 1, nn.LayerNorm(size))
        self.align_proj = Mlp(size, width)

    def forward(self, vectors, attention, noise):
        """Of one photo: vectors [tokens, size], attention [tokens, tokens], noise [PATCHES, size]."""
        vectors = F.normalize(vectors, dim=-1)
        best = attention[0].topk(PATCHES).indices
        mixed = F.normalize(attention[best].softmax(-1) @ vectors, dim=-1)
        seen = F.normalize(vectors[0] + mixed + noise, dim=-1)
        return self.align_proj(self.aligner(self.query_fusion.weight[:, None], seen[:, None])[:, 0])


def main() -> None:
    whole = Image.open(OUT.parent / "chelsea.png").convert("RGB")
    photos = {name: whole.crop(box) for name, box in PHOTOS.items()}
    for seed in range(1000):
        if write(seed, photos):
            break


def write(seed: int, photos: dict) -> bool:
    torch.manual_seed(seed)
    tokenizer = letters(["<s>", "</s>"])
    fast = LlamaTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    begin, end = (tokenizer.token_to_id(text) for text in ("<s>", "</s>"))
    sees = CLIPVisionConfig(hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=2,
                            image_size=24, patch_size=6, projection_dim=20, initializer_range=0.15,
                            initializer_factor=6.0)
    words = LlamaConfig(**text_config(vocab_size=tokenizer.get_vocab_size(), initializer_range=0.3, bos_token_id=begin,
                                      eos_token_id=end))
    sees._attn_implementation = words._attn_implementation = "eager"
    tower, decoder = CLIPVisionModelWithProjection(sees).eval(), LlamaForCausalLM(words).eval()
    between = Between(sees.projection_dim, words.hidden_size).eval()
    with torch.no_grad():
        for tensor in [*tower.parameters(), *decoder.parameters(), *between.parameters()]:
            if tensor.ndim == 1:  # norms and biases start at one and zero
                tensor.add_(torch.randn_like(tensor) * 0.2)
        for layer in between.align_proj.layers:
            layer.weight.mul_(2)
    images = CLIPImageProcessor(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24})

    expected = {}
    for which, photo in photos.items():
        pixels = images(images=photo, return_tensors="pt")["pixel_values"]
        noise = torch.randn(PATCHES, sees.projection_dim) * math.sqrt(VARIANCE)
        with torch.no_grad():
            out = tower(pixels, output_attentions=True)
            attention = out.attentions[-1][0].mean(0)
            normal = tower.vision_model.post_layernorm(out.last_hidden_state)
            vectors = tower.visual_projection(normal)[0]
            assert torch.allclose(vectors[0], out.image_embeds[0], atol=1e-5)
            if -attention[0].topk(PATCHES + 1).values.diff().max() < 1e-4:
                return False
            for kind, added in {"plain": torch.zeros_like(noise), "noisy": noise}.items():
                features = between(vectors, attention, added)
                prompt = torch.cat([features, decoder.get_input_embeddings()(torch.tensor([begin]))])[None]
                logits = decoder(inputs_embeds=prompt, past_key_values=HalfCache(), use_cache=True).logits[0, -1]
                options = dict(inputs_embeds=prompt, attention_mask=torch.ones(prompt.shape[:2], dtype=torch.int64),
                               do_sample=False, max_new_tokens=MORE, pad_token_id=end, return_dict_in_generate=True)
                greedy = decoder.generate(**options, past_key_values=HalfCache(), output_logits=True)
                beams = decoder.generate(**options, past_key_values=HalfCache(), num_beams=4, num_return_sequences=2,
                                         output_scores=True)
                top = torch.cat(greedy.logits).topk(2).values
                gap = beams.sequences_scores[0] - beams.sequences_scores[1]
                ids = {"greedy": greedy.sequences[0], "beams": beams.sequences[0]}
                if (top[:, 0] - top[:, 1]).min() < 0.01 or gap < 0.002 or max(i.max() for i in ids.values()) >= 61:
                    return False
                expected[f"{which}.{kind}.features"] = features.contiguous()
                expected[f"{which}.{kind}.logits"] = logits.contiguous()
                expected.update({f"{which}.{kind}.{name}": value.contiguous() for name, value in ids.items()})
        expected[f"{which}.noise"] = noise
    # Beams find what greed does not, and photos and noise change texts.
    texts = {name: value.tolist() for name, value in expected.items() if name.endswith(("greedy", "beams"))}
    if texts["wide.plain.beams"] == texts["wide.plain.greedy"] or texts["wide.plain.beams"] == texts["tall.plain.beams"]:
        return False
    if texts["wide.plain.beams"] == texts["wide.noisy.beams"]:
        return False
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    tensors = {f"vision_tower.{name}": value for name, value in tower.state_dict().items()}
    tensors |= {f"language_model.{name}": value for name, value in decoder.state_dict().items()}
    tensors |= between.state_dict()
    tensors.pop("vision_tower.vision_model.embeddings.position_ids", None)
    save_file({name: value.contiguous() for name, value in tensors.items()}, FOLDER / "model.safetensors")
    config = {"model_type": "maccap", "patches": PATCHES, "noise_variance": VARIANCE, "aligner_heads": HEADS,
              "vision_config": sees.to_diff_dict(), "text_config": words.to_diff_dict(),
              "tie_word_embeddings": False, "eos_token_id": end}
    (FOLDER / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    fast.save_pretrained(FOLDER)
    images.save_pretrained(FOLDER)
    (FOLDER / "special_tokens_map.json").unlink()
    save_file(expected, FOLDER / "expected.safetensors")
    print(seed, texts)
    return True


if __name__ == "__main__":
    main()
