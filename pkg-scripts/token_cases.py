#!/usr/bin/env python3
"""Write tests/data/tokens: small random vision transformers, and what they give when their tokens are reduced.

    python3 -m venv V && V/bin/pip install torch==2.9.1 transformers==4.57.1 safetensors==0.8.0
    V/bin/python pkg-scripts/token_cases.py

Layers are those of transformers; what happens to tokens between attention and feed-forward layer is written here after
the papers, in float64: ToMe (Bolya et al. 2023), DiffRate (Chen et al. 2023), EViT (Liang et al. 2022). Each folder holds what
save_pretrained writes, `schedule.json`, and `expected.safetensors`: `pixel_values`, and for each method `METHOD.NAME` of
outputs and `METHOD.map`, the row that each token ended in, -1 for none.
"""
import json
import math
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    Dinov2WithRegistersConfig, Dinov2WithRegistersModel, ViTConfig, ViTForImageClassification,
)

OUT = Path(__file__).resolve().parent.parent / "tests/data/tokens"
LAYERS, WIDTH, HEADS = 5, 24, 3
SIZES = dict(hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=36,
             initializer_range=0.3, patch_size=8)
SCHEDULE = {"prune": [36, 31, 33, 24, 9], "merge": [34, 28, 33, 17, 9]}
SHARE, PAIRS = 0.6, 4


class Tokens:
    """Sizes and places of a batch of one picture's tokens: x is [tokens, width]."""

    def __init__(self, count: int, pinned: int):
        self.pinned = pinned
        self.size = torch.ones(count, dtype=torch.float64)
        self.map = torch.arange(count)
        self.undo = []

    def move(self, x, into, new, new_size, dropped=-1):
        self.undo.append((x, into, dropped))
        self.map = torch.where(self.map < 0, -1, into[self.map.clamp(min=0)])
        self.size = new_size
        return new

    def ranked(self, scores):
        """Tokens by falling score, those in front as they are."""
        rest = torch.argsort(scores[self.pinned:], descending=True, stable=True) + self.pinned
        return torch.cat([torch.arange(self.pinned), rest])

    def restored(self, x):
        for before, into, dropped in reversed(self.undo):
            own = (into >= 0) & (into != dropped)
            x = torch.where(own[:, None], x[into.clamp(min=0)], before)
        return x


def tome(tokens, x, keys, pairs):
    count, first = len(x), tokens.pinned
    a = [t for t in range(first, count) if t % 2 == 0]
    b = [t for t in range(first, count) if t % 2 == 1]
    unit = keys / keys.norm(dim=-1, keepdim=True)
    likeness, partner = (unit[a] @ unit[b].T).max(-1)
    pairs = min(pairs, len(a), len(b))
    merged = {a[i]: b[partner[i]] for i in torch.argsort(likeness, descending=True, stable=True)[:pairs].tolist()}
    rows = list(range(first)) + [t for t in a if t not in merged] + b
    place = {t: i for i, t in enumerate(rows)}
    into = torch.tensor([place[merged.get(t, t)] for t in range(count)])
    size = torch.zeros(len(rows), dtype=torch.float64).index_add(0, into, tokens.size)
    new = torch.zeros(len(rows), x.shape[1], dtype=torch.float64).index_add(0, into, x * tokens.size[:, None])
    return tokens.move(x, into, new / size[:, None], size)


def diffrate(tokens, x, scores, seen, keep):
    count = len(x)
    seen = min(seen, count)
    keep = min(keep, seen)
    order = tokens.ranked(scores)
    into = torch.full([count], -1)
    into[order[:keep]] = torch.arange(keep)
    new, size = x[order[:keep]].clone(), tokens.size[order[:keep]].clone()
    if keep < seen:
        unit = x / x.norm(dim=-1, keepdim=True)
        cosine = unit[order[keep:seen]] @ unit[order[:keep]].T
        cosine[:, :tokens.pinned] = -math.inf
        likeness, partner = cosine.max(-1)
        into[order[keep:seen]] = partner
        shares = torch.ones(keep, dtype=torch.float64)
        for token, like, row in zip(order[keep:seen], likeness, partner):
            new[row] += x[token]
            shares[row] += 1
            size[row] += tokens.size[token] * like
        new /= shares[:, None]
    return tokens.move(x, into, new, size)


def kept(tokens, x, scores, share, fuse):
    count, first = len(x), tokens.pinned
    keep = first + math.ceil(share * (count - first) - 1e-6)
    if keep >= count:
        return x
    order = tokens.ranked(scores)
    into = torch.full([count], keep if fuse else -1)
    into[order[:keep]] = torch.arange(keep)
    new, size = x[order[:keep]], tokens.size[order[:keep]]
    if fuse:
        rest = order[keep:]
        new = torch.cat([new, (scores[rest, None] * x[rest]).sum(0, keepdim=True)])
        size = torch.cat([size, tokens.size[rest].sum()[None]])
    return tokens.move(x, into, new, size, dropped=keep if fuse else -1)


def reduced(method, tokens, layer, x, scores, keys):
    match method:
        case "tome":
            return tome(tokens, x, keys, PAIRS)
        case "diffrate":
            return diffrate(tokens, x, scores, SCHEDULE["prune"][layer], SCHEDULE["merge"][layer])
        case "topk" | "evit" if layer in (LAYERS // 4, LAYERS // 4 * 2, LAYERS // 4 * 3):
            return kept(tokens, x, scores, SHARE, method == "evit")
    return x


def encode(method, blocks, x, pinned):
    """One picture's tokens through all blocks; the last states of all, and where tokens ended."""
    tokens = Tokens(len(x), pinned)
    for layer, block in enumerate(blocks):
        norm1, attention, out, scale1, norm2, forward, scale2 = parts(block)
        seen = norm1(x)
        split = lambda y: y.view(len(x), HEADS, -1).transpose(0, 1)
        q, k, v = (split(getattr(attention, name)(seen)) for name in ("query", "key", "value"))
        logits = q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS)
        if method in ("tome", "diffrate"):
            logits = logits + tokens.size.clamp(min=1e-6).log()
        weights = logits.softmax(-1)
        x = x + scale1 * out((weights @ v).transpose(0, 1).reshape(len(x), WIDTH))
        x = reduced(method, tokens, layer, x, weights[:, 0].mean(0), k.mean(0))
        x = x + scale2 * forward(norm2(x))
    return x, tokens


def parts(block):
    if hasattr(block, "layernorm_before"):
        forward = lambda x: block.output.dense(block.intermediate(x))
        attention, output = block.attention.attention, block.attention.output.dense
        return block.layernorm_before, attention, output, 1, block.layernorm_after, forward, 1
    attention, output = block.attention.attention, block.attention.output.dense
    scales = block.layer_scale1.lambda1, block.layer_scale2.lambda1
    return block.norm1, attention, output, scales[0], block.norm2, block.mlp, scales[1]


def write(name, model, pinned, finish, blocks, final):
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "schedule.json").write_text(json.dumps(SCHEDULE))
    model = model.double()
    sides = (56, 40)
    pixels = torch.randn(2, 3, *sides, generator=torch.Generator().manual_seed(3))
    tensors = {"pixel_values": pixels}
    with torch.no_grad():
        first = model.get_input_embeddings().projection
        embeddings = model.vit.embeddings if hasattr(model, "vit") else model.embeddings
        states = embeddings(pixels.double())
        assert states.shape[1] == pinned + 35 and first.weight.dtype == torch.float64
        for method in ("none", "topk", "evit", "tome", "diffrate"):
            found = [encode(method, blocks, x, pinned) for x in states]
            outputs = finish([final(tokens.restored(x)) for x, tokens in found])
            tensors |= {f"{method}.{key}": value.float().contiguous() for key, value in outputs.items()}
            tensors[f"{method}.map"] = torch.stack([tokens.map for _, tokens in found]).to(torch.int32)
        plain = model(pixel_values=pixels.double())
        for key, value in plain.items():
            if f"none.{key}" in tensors:
                assert (tensors[f"none.{key}"] - value).abs().max() < 1e-5, key
    save_file(tensors, folder / "expected.safetensors")


def main():
    torch.manual_seed(5)
    vit = ViTForImageClassification(ViTConfig(**SIZES, image_size=(56, 40), num_labels=7)).eval()
    vit.vit.embeddings.cls_token.data.normal_()
    logits = lambda states: {"logits": torch.stack([vit.classifier(x[0]) for x in states])}
    write("vit", vit, 1, logits, vit.vit.encoder.layer, vit.vit.layernorm)
    dino = Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**SIZES, image_size=56, num_register_tokens=2)).eval()
    hidden = lambda states: {"last_hidden_state": torch.stack(states)}
    write("dinov2-registers", dino, 3, hidden, dino.encoder.layer, dino.layernorm)


if __name__ == "__main__":
    main()
