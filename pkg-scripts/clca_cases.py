#!/usr/bin/env python3
"""Write tests/data/clca: small random models of CLCA (Rios et al. 2025), and what they give.

    python3 -m venv VENV && VENV/bin/pip install numpy==2.3.5 safetensors==0.7.0
    VENV/bin/python pkg-scripts/clca_cases.py
    VENV/bin/python pkg-scripts/clca_cases.py --bench FOLDER   # ViT-S/16 at 448 pixels, for its speed alone

The reference is float64 in numpy, after the paper and, for the order of things, the authors' README and settings (keep rate,
layers 3, 6, 9, one carrier). Tensors are called as in their state dictionary. `expected.safetensors` holds `pixel_values`,
and for every keep rate `RATE.logits` and `RATE.kept.LAYER`: numbers of the tokens that stay but the class token, the most
attended first, i32 [batch, kept].
"""
import argparse
import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

OUT = Path(__file__).resolve().parent.parent / "tests/data/clca"
SMALL = dict(sides=(28, 20), patch=4, width=12, heads=2, hidden=20, layers=7, reduce=[1, 3, 5], labels=7)
LARGE = dict(sides=(448, 448), patch=16, width=384, heads=6, hidden=1536, layers=12, reduce=[3, 6, 9], labels=200)
RATES = [0.1, 0.55, 1.0]


def weights(seed, shape, carriers, all_positions, scaled, pre_norm, std):
    """A state dictionary. Positions are of all tokens or of patches alone."""
    random = np.random.default_rng(seed)
    width, hidden, depths = shape["width"], shape["hidden"], len(shape["reduce"]) + 1
    patches = math.prod(side // shape["patch"] for side in shape["sides"])
    normal = lambda *size, std=std: random.standard_normal(size) * std
    near_one = lambda *size: 1 + random.standard_normal(size) * 0.1
    out = {
        "cls_token": normal(1, 1, width, std=1), "clr": normal(1, carriers, width, std=1),
        "pos_embed": normal(1, patches + (1 + carriers) * all_positions, width),
        "patch_embed.proj.weight": normal(width, 3, shape["patch"], shape["patch"], std=1 / shape["patch"]),
    }
    norm = lambda name: out.update({f"{name}.weight": near_one(width), f"{name}.bias": normal(width, std=0.1)})
    linear = lambda name, rows, columns: out.update(
        {f"{name}.weight": normal(rows, columns), f"{name}.bias": normal(rows, std=0.1)})
    if pre_norm:
        norm("norm_pre")
    else:
        out["patch_embed.proj.bias"] = normal(width)
    for i in range(shape["layers"]):
        name = f"blocks.{i}"
        norm(f"{name}.norm1")
        linear(f"{name}.attn.qkv", 3 * width, width)
        linear(f"{name}.attn.proj", width, width)
        norm(f"{name}.norm2")
        linear(f"{name}.mlp.fc1", hidden, width)
        linear(f"{name}.mlp.fc2", width, hidden)
        if scaled:
            out |= {f"{name}.ls1.gamma": near_one(width), f"{name}.ls2.gamma": near_one(width)}
    for name, channels in (("ifa_head.0.0", width), ("ifa_head.0.2", 2 * width)):
        out |= {
            f"{name}.weight": near_one(channels), f"{name}.bias": normal(channels, std=0.1),
            f"{name}.running_mean": normal(channels), f"{name}.running_var": random.uniform(0.5, 2, channels),
        }
    out |= {
        "ifa_head.0.1.weight": normal(2 * width, 1, depths, std=0.5), "ifa_head.0.1.bias": normal(2 * width),
        "ifa_head.0.4.weight": normal(shape["labels"], 2 * width, 1), "ifa_head.0.4.bias": normal(shape["labels"]),
    }
    out = {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in out.items()}
    out["ifa_head.0.0.num_batches_tracked"] = np.array(17, np.int64)
    return out


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


class Reference:
    def __init__(self, shape, tensors, epsilon):
        self.shape, self.epsilon = shape, epsilon
        self.tensors = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}

    def linear(self, name, x):
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def norm(self, name, x):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.epsilon)
        return x * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    def batch_norm(self, name, x):
        """x [channels]."""
        mean, var = self.tensors[f"{name}.running_mean"], self.tensors[f"{name}.running_var"]
        return (x - mean) / np.sqrt(var + 1e-5) * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    def embedded(self, pixels):
        patch, width = self.shape["patch"], self.shape["width"]
        _, height, across = pixels.shape
        grid = pixels.reshape(3, height // patch, patch, across // patch, patch).transpose(1, 3, 0, 2, 4)
        patches = grid.reshape(-1, 3 * patch * patch) @ self.tensors["patch_embed.proj.weight"].reshape(width, -1).T
        patches = patches + self.tensors.get("patch_embed.proj.bias", 0)
        positions = self.tensors["pos_embed"][0]
        alone = len(positions) == len(patches)
        if alone:
            patches = patches + positions
        x = np.concatenate([self.tensors["cls_token"][0], patches, self.tensors["clr"][0]])
        if not alone:
            x = x + positions
        return self.norm("norm_pre", x) if "norm_pre.weight" in self.tensors else x

    def attention(self, name, x):
        """What attention gives, and how much the class token attends to each token, mean over heads."""
        heads = self.shape["heads"]
        split = lambda y: y.reshape(len(x), heads, -1).transpose(1, 0, 2)
        q, k, v = (split(part) for part in np.split(self.linear(f"{name}.qkv", x), 3, axis=-1))
        logits = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        y = (weights @ v).transpose(1, 0, 2).reshape(len(x), -1)
        return self.linear(f"{name}.proj", y), weights[:, 0].mean(0)

    def logits(self, pixels, rate):
        """One picture's logits, and which tokens stay in each layer that reduces."""
        x, carriers = self.embedded(pixels), self.tensors["clr"].shape[1]
        cache, classes, kept = [], [], {}
        reduce, last = self.shape["reduce"], self.shape["layers"] - 1
        for layer in range(last + 1):
            name = f"blocks.{layer}"
            y, attended = self.attention(f"{name}.attn", self.norm(f"{name}.norm1", x))
            x = x + y * self.tensors.get(f"{name}.ls1.gamma", 1)
            if layer in reduce:
                others = len(x) - 1
                keep = math.ceil(rate * others)
                if keep < others:
                    order = 1 + np.argsort(-attended[1:], kind="stable")
                    stay, go = order[:keep], order[keep:]
                    fused = (attended[go, None] * x[go]).sum(0, keepdims=True)
                    x = np.concatenate([x[:1], x[stay], fused])
                    kept[layer] = stay.astype(np.int32)
            y = self.linear(f"{name}.mlp.fc2", gelu(self.linear(f"{name}.mlp.fc1", self.norm(f"{name}.norm2", x))))
            x = x + y * self.tensors.get(f"{name}.ls2.gamma", 1)
            if layer in reduce:
                x = np.concatenate([x, *cache])
                cache = []
            if layer < reduce[-1]:
                cache.append(x[-carriers:])
            if layer in reduce or layer == last:
                classes.append(x[0])
        stack = np.stack([self.batch_norm("ifa_head.0.0", x) for x in classes], -1)
        kernel, width = self.tensors["ifa_head.0.1.weight"][:, 0], self.shape["width"]
        # Channels 2d and 2d + 1 see channel d.
        gathered = (kernel.reshape(width, 2, -1) * stack[:, None]).sum(-1).reshape(-1) + self.tensors["ifa_head.0.1.bias"]
        gathered = gelu(self.batch_norm("ifa_head.0.2", gathered))
        head = self.tensors["ifa_head.0.4.weight"][:, :, 0]
        return head @ gathered + self.tensors["ifa_head.0.4.bias"], kept


def write(folder, shape, tensors, rate):
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    config = {
        "model_type": "clca", "image_size": shape["sides"], "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"], "keep_rate": rate, "reduction_loc": shape["reduce"],
    }
    (folder / "config.json").write_text(json.dumps(config))


def small(name, seed, epsilon, **how):
    tensors = weights(seed, SMALL, std=0.4, **how)
    write(OUT / name, SMALL, tensors, RATES[0])
    reference = Reference(SMALL, tensors, epsilon)
    pixels = np.random.default_rng(seed + 1).standard_normal((2, 3, *SMALL["sides"])).astype(np.float32)
    expected = {"pixel_values": pixels}
    for rate in RATES:
        found = [reference.logits(picture.astype(np.float64), rate) for picture in pixels]
        expected[f"{rate}.logits"] = np.stack([logits for logits, _ in found]).astype(np.float32)
        for layer in found[0][1]:
            expected[f"{rate}.kept.{layer}"] = np.stack([kept[layer] for _, kept in found])
    save_file(expected, OUT / name / "expected.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", type=Path, metavar="FOLDER")
    parser.add_argument("--keep", type=float, default=0.1, help="of the model for its speed")
    args = parser.parse_args()
    if args.bench:
        how = dict(carriers=1, all_positions=True, scaled=False, pre_norm=False, std=0.05)
        return write(args.bench, LARGE, weights(1, LARGE, **how), args.keep)
    small("one-carrier", 3, 1e-6, carriers=1, all_positions=True, scaled=False, pre_norm=False)
    # As towers of CLIP (a norm before the blocks) and DeiT III (positions of patches alone, layer scale).
    small("two-carriers", 5, 1e-5, carriers=2, all_positions=False, scaled=True, pre_norm=True)


if __name__ == "__main__":
    main()
