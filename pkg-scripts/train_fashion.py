#!/usr/bin/env python3
"""Train the small vision transformer that token reduction is measured on, and write it as a Hugging Face folder.

    python3 -m venv VENV && VENV/bin/pip install jax==0.8.1 numpy==2.3.5 safetensors==0.7.0
    VENV/bin/python pkg-scripts/train_fashion.py --output FOLDER [--epochs 24] [--threads 1]

A DeiT-style transformer without distillation: patches of 4x4, 6 layers of width 64 with 2 heads, a class token, learnt
positions. Data: Fashion-MNIST's 60,000 training pictures (Debian `dataset-fashion-mnist`, Expat), of which the last
5,000 are held out to watch the training; its 10,000 test pictures are looked at once, at the end. Hidden matrices are
trained with Muon (Jordan 2024), all else with AdamW; pictures are shifted, mirrored and erased in part. But for the last
epochs half of the patches are left out of every picture (PatchDropout, Liu et al. 2023), which halves the time.

FOLDER/checkpoint.npz is written after every epoch, and a run with the same FOLDER goes on from there. 24 epochs take
about an hour on one core. One grey channel becomes three equal ones, so that any RGB picture can be classified.
"""
import argparse
import gzip
import json
import os
import time
from pathlib import Path

import numpy as np

SIDE, PATCH, WIDTH, HEADS, LAYERS, HIDDEN, CLASSES = 28, 4, 64, 2, 6, 256, 10
TOKENS = (SIDE // PATCH) ** 2 + 1
MEAN, STD = 0.2860, 0.3530
BATCH, HELD_OUT, WHOLE_EPOCHS = 250, 5000, 5
LABELS = ["T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
DATA = Path("/usr/share/datasets/fashion-mnist")


def load(part: str):
    pixels = gzip.decompress((DATA / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((DATA / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
    return np.frombuffer(pixels, np.uint8).reshape(-1, SIDE, SIDE), np.frombuffer(labels, np.uint8).astype(np.int32)


def initial(seed: int) -> dict:
    random = np.random.default_rng(seed)
    normal = lambda *shape, std=0.02: (random.standard_normal(shape) * std).astype(np.float32)
    full = lambda value, *shape: np.full(shape, value, np.float32)
    deep = lambda rows, cols: normal(LAYERS, rows, cols, std=rows ** -0.5)
    return {
        "patch": normal(PATCH * PATCH, WIDTH, std=1 / PATCH), "patch_bias": full(0, WIDTH),
        "cls": normal(WIDTH), "positions": normal(TOKENS, WIDTH),
        "norm1": full(1, LAYERS, WIDTH), "norm1_bias": full(0, LAYERS, WIDTH),
        "q": deep(WIDTH, WIDTH), "k": deep(WIDTH, WIDTH), "v": deep(WIDTH, WIDTH),
        "q_bias": full(0, LAYERS, WIDTH), "k_bias": full(0, LAYERS, WIDTH), "v_bias": full(0, LAYERS, WIDTH),
        "out": deep(WIDTH, WIDTH) * 0.2, "out_bias": full(0, LAYERS, WIDTH),
        "norm2": full(1, LAYERS, WIDTH), "norm2_bias": full(0, LAYERS, WIDTH),
        "up": deep(WIDTH, HIDDEN), "up_bias": full(0, LAYERS, HIDDEN),
        "down": deep(HIDDEN, WIDTH) * 0.2, "down_bias": full(0, LAYERS, WIDTH),
        "norm": full(1, WIDTH), "norm_bias": full(0, WIDTH),
        "head": normal(WIDTH, CLASSES), "head_bias": full(0, CLASSES),
    }


MUON = ("q", "k", "v", "out", "up", "down")
DECAYED = ("patch", "head")


def build(jax, jnp):
    """The jitted functions: one step of training, and logits of a batch of pictures."""

    def norm(x, scale, bias):
        x = x - x.mean(-1, keepdims=True)
        return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6) * scale + bias

    def logits(p, pixels, drop, seen):
        """pixels f32 [batch, SIDE, SIDE]; drop f32 [LAYERS, 2, batch]: factors of the residual branches; seen i32
        [batch, n]: which patches."""
        batch, grid = pixels.shape[0], SIDE // PATCH
        x = pixels.reshape(batch, grid, PATCH, grid, PATCH).transpose(0, 1, 3, 2, 4).reshape(batch, -1, PATCH * PATCH)
        x = jnp.take_along_axis(x @ p["patch"] + p["patch_bias"] + p["positions"][1:], seen[:, :, None], 1)
        x = jnp.concatenate([jnp.broadcast_to(p["cls"] + p["positions"][0], (batch, 1, WIDTH)), x], 1)
        tokens = x.shape[1]
        split = lambda y: y.reshape(batch, tokens, HEADS, -1).transpose(0, 2, 1, 3)
        for i in range(LAYERS):
            y = norm(x, p["norm1"][i], p["norm1_bias"][i])
            q, k, v = (split(y @ p[n][i] + p[n + "_bias"][i]) for n in "qkv")
            weights = jax.nn.softmax(q @ k.swapaxes(-1, -2) * (WIDTH // HEADS) ** -0.5)
            y = (weights @ v).transpose(0, 2, 1, 3).reshape(batch, tokens, WIDTH)
            x = x + (y @ p["out"][i] + p["out_bias"][i]) * drop[i, 0][:, None, None]
            y = norm(x, p["norm2"][i], p["norm2_bias"][i])
            y = jax.nn.gelu(y @ p["up"][i] + p["up_bias"][i], approximate=False)
            x = x + (y @ p["down"][i] + p["down_bias"][i]) * drop[i, 1][:, None, None]
        return norm(x[:, 0], p["norm"], p["norm_bias"]) @ p["head"] + p["head_bias"]

    def loss(p, pixels, labels, drop, seen):
        out = logits(p, (pixels / 255 - MEAN) / STD, drop, seen)
        wanted = jax.nn.one_hot(labels, CLASSES) * 0.9 + 0.1 / CLASSES
        return -(wanted * jax.nn.log_softmax(out)).sum(-1).mean()

    def orthogonal(g):
        """Newton-Schulz iterations towards the nearest orthogonal matrix, [LAYERS, rows, cols]."""
        turned = g.shape[-2] > g.shape[-1]
        x = g.swapaxes(-1, -2) if turned else g
        x = x / (jnp.linalg.norm(x, axis=(-2, -1), keepdims=True) + 1e-7)
        for _ in range(5):
            square = x @ x.swapaxes(-1, -2)
            x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
        return x.swapaxes(-1, -2) if turned else x

    def step(p, m, v, average, count, pixels, labels, drop, seen, rate):
        value, grads = jax.value_and_grad(loss)(p, pixels, labels, drop, seen)
        new_p, new_m, new_v = {}, {}, {}
        for name, g in grads.items():
            if name in MUON:
                new_m[name] = 0.95 * m[name] + g
                new_v[name] = v[name]
                scale = max(1, p[name].shape[-1] / p[name].shape[-2]) ** 0.5
                change = 0.02 * scale * orthogonal(g + 0.95 * new_m[name]) + 0.02 * 0.05 * p[name]
            else:
                new_m[name] = 0.9 * m[name] + 0.1 * g
                new_v[name] = 0.99 * v[name] + 0.01 * g * g
                first, second = new_m[name] / (1 - 0.9 ** count), new_v[name] / (1 - 0.99 ** count)
                change = 2e-3 * (first / (jnp.sqrt(second) + 1e-8) + 0.05 * p[name] * (name in DECAYED))
            new_p[name] = p[name] - rate * change
        decay = jnp.minimum(0.998, count / (count + 10))
        average = {name: decay * average[name] + (1 - decay) * new_p[name] for name in p}
        return new_p, new_m, new_v, average, value

    def whole_run(p, pixels):
        drop, seen = jnp.ones((LAYERS, 2, 1), jnp.float32), jnp.arange(TOKENS - 1)[None]
        return logits(p, (pixels / 255 - MEAN) / STD, drop, jnp.broadcast_to(seen, (pixels.shape[0], TOKENS - 1)))

    return jax.jit(step, donate_argnums=(0, 1, 2, 3)), jax.jit(whole_run)


def augmented(random: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Each picture shifted by up to 2, half of them mirrored, a quarter with a black rectangle of up to 10x10."""
    out = np.empty(pixels.shape, np.float32)
    padded = np.pad(pixels, ((0, 0), (2, 2), (2, 2)))
    for picture, source in zip(out, padded):
        row, col = random.integers(0, 5, 2)
        cut = source[row:row + SIDE, col:col + SIDE]
        picture[:] = cut[:, ::-1] if random.random() < 0.5 else cut
        if random.random() < 0.25:
            (row, col), (height, width) = random.integers(0, SIDE, 2), random.integers(1, 11, 2)
            picture[row:row + height, col:col + width] = 0
    return out


def branches(random: np.random.Generator) -> np.ndarray:
    """Factors of residual branches, [LAYERS, 2, BATCH]: the deeper, the more often one is left out."""
    kept = 1 - np.linspace(0, 0.1, LAYERS)[:, None, None]
    return ((random.random((LAYERS, 2, BATCH)) < kept) / kept).astype(np.float32)


def patches(random: np.random.Generator, count: int) -> np.ndarray:
    """`count` of the patches for each picture, [BATCH, count]."""
    return np.argsort(random.random((BATCH, TOKENS - 1)), 1)[:, :count].astype(np.int32)


def accuracy(run, p, pixels, labels) -> float:
    guess = [np.asarray(run(p, pixels[i:i + 500].astype(np.float32))).argmax(-1) for i in range(0, len(pixels), 500)]
    return float((np.concatenate(guess) == labels).mean())


def export(p: dict, folder: Path) -> None:
    """transformers' ViTForImageClassification."""
    from safetensors.numpy import save_file

    out = {
        "vit.embeddings.cls_token": p["cls"][None, None],
        "vit.embeddings.position_embeddings": p["positions"][None],
        "vit.embeddings.patch_embeddings.projection.weight":
            np.repeat(p["patch"].T.reshape(WIDTH, 1, PATCH, PATCH) / 3, 3, 1),
        "vit.embeddings.patch_embeddings.projection.bias": p["patch_bias"],
        "vit.layernorm.weight": p["norm"], "vit.layernorm.bias": p["norm_bias"],
        "classifier.weight": p["head"].T, "classifier.bias": p["head_bias"],
    }
    parts = {
        "layernorm_before": "norm1", "attention.attention.query": "q", "attention.attention.key": "k",
        "attention.attention.value": "v", "attention.output.dense": "out", "layernorm_after": "norm2",
        "intermediate.dense": "up", "output.dense": "down",
    }
    for layer in range(LAYERS):
        for theirs, ours in parts.items():
            name = f"vit.encoder.layer.{layer}.{theirs}"
            out[f"{name}.weight"], out[f"{name}.bias"] = p[ours][layer].T, p[ours + "_bias"][layer]
    save_file({k: np.ascontiguousarray(v, np.float32) for k, v in out.items()}, folder / "model.safetensors")
    config, pixels = descriptions()
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels, indent=2))


def descriptions() -> tuple[dict, dict]:
    """`config.json` and `preprocessor_config.json`."""
    config = {
        "architectures": ["ViTForImageClassification"], "model_type": "vit", "image_size": SIDE, "patch_size": PATCH,
        "num_channels": 3, "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "intermediate_size": HIDDEN, "hidden_act": "gelu", "layer_norm_eps": 1e-6, "qkv_bias": True,
        "id2label": {str(i): label for i, label in enumerate(LABELS)},
    }
    pixels = {
        "image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": SIDE, "width": SIDE},
        "resample": 2, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
        "image_mean": [MEAN] * 3, "image_std": [STD] * 3,
    }
    return config, pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if args.threads > 1 else 'false'}"
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-args.threads:])
    import jax
    import jax.numpy as jnp

    args.output.mkdir(parents=True, exist_ok=True)
    checkpoint = args.output / "checkpoint.npz"
    pixels, labels = load("train")
    train, watch = (pixels[:-HELD_OUT], labels[:-HELD_OUT]), (pixels[-HELD_OUT:], labels[-HELD_OUT:])
    p = initial(1)
    state = [p, {n: np.zeros_like(x) for n, x in p.items()}, {n: np.zeros_like(x) for n, x in p.items()}, dict(p)]
    epoch = 0
    if checkpoint.exists():
        with np.load(checkpoint) as saved:
            state = [{n: saved[f"{i}.{n}"] for n in p} for i in range(4)]
            epoch = int(saved["epoch"])
    step, run = build(jax, jnp)
    steps = len(train[0]) // BATCH
    while epoch < args.epochs:
        begun, total = time.time(), 0.0
        random = np.random.default_rng(epoch)
        order = random.permutation(len(train[0]))
        for i in range(steps):
            at = epoch * steps + i
            rate = min(1, (at + 1) / 400) * 0.5 * (1 + np.cos(np.pi * at / (args.epochs * steps)))
            pick = order[i * BATCH:(i + 1) * BATCH]
            batch = augmented(random, train[0][pick])
            seen = patches(random, TOKENS - 1 if args.epochs - epoch <= WHOLE_EPOCHS else TOKENS // 2)
            *state, value = step(*state, at + 1.0, batch, train[1][pick], branches(random), seen, rate)
            total += value
        epoch += 1
        flat = {f"{i}.{n}": np.asarray(x) for i, part in enumerate(state) for n, x in part.items()}
        np.savez(checkpoint.with_suffix(".part.npz"), epoch=epoch, **flat)
        checkpoint.with_suffix(".part.npz").replace(checkpoint)
        print(f"epoch {epoch}: loss {float(total) / steps:.4f}, held out {accuracy(run, state[3], *watch):.4f}, "
              f"{time.time() - begun:.0f} s", flush=True)
    average = {n: np.asarray(x) for n, x in state[3].items()}
    export(average, args.output)
    print(f"test pictures: {accuracy(run, average, *load('t10k')):.4f}")


if __name__ == "__main__":
    main()
