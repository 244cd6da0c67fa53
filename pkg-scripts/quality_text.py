#!/usr/bin/env python3
"""Size and perplexity of SmolLM2-135M compressed with a text: writes QUALITY_TEXT.md.

    pkg-scripts/quality_text.py --calibrate TEXT --score OTHER_TEXT [--program FEWBIT] [--only REGEX] [--rows FILE]

Each row takes some minutes on a quiet machine. It is kept in FILE as soon as it is measured, and a later call goes on from
there. FILE belongs to one program and two texts: remove it when those change.
"""
import argparse
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = Path(os.environ.get("FEWBIT_CACHE") or Path.home() / ".cache" / "fewbit")
MODEL = CACHE / "models" / "smollm2_135m_q4_1.gguf"
LAYERS = ["--exclude", "token_embd"]
# Matrices whose errors weigh most get more bits.
BACK = "ffn_down|attn_output|attn_v"

WHOLE = ["token_embd=palette:4:group=64", f"{BACK}|attn_k=palette:8:dim=2:group=64", "palette:6:dim=2:scale"]
TRAINED = ["--train", "2"]

# What is encoded, how, and llama.cpp's nearest figure with an importance matrix: bits or bytes, and perplexity.
ROWS = [
    ("layers", [f"{BACK}=palette:8:dim=2:scale", "palette:6:dim=2:scale"], LAYERS, "3.44 bits (Q3_K): 52.1"),
    ("layers", ["palette:6:dim=2:scale"], LAYERS, "3.06 bits (IQ3_XXS): 77.1"),
    ("layers", [f"{BACK}=palette:6:dim=2:scale", "palette:8:dim=4:group=64"], LAYERS, "2.63 bits (Q2_K): 115.8"),
    ("all", WHOLE, [], "88.2 MB (Q2_K): 45.3"),
    ("all", WHOLE, TRAINED, "88.2 MB (Q2_K): 45.3"),
]


def fewbit(program: str, *words) -> dict:
    done = subprocess.run([program, *map(str, words), "--device", "cpu", "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout.splitlines()[-1])


def encoding(weights: list, options: list) -> list:
    return weights + [" ".join(options)] * (options is TRAINED)


def measure(args: argparse.Namespace, what: str, weights: list, options: list) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.fewbit"
        rules = [word for rule in weights for word in ("--weights", rule)]
        report = fewbit(args.program, "compress", MODEL, "--output", out, "--calibrate", args.calibrate, *rules, *options)
        score = fewbit(args.program, "eval", "perplexity", out, "--text", args.score)
    tensors = report["tensors"]
    bits = 8 * sum(t["bytes"] for t in tensors) / sum(t["weights"] for t in tensors)
    return {"what": what, "encoding": " ".join(encoding(weights, options)), "bytes": report["bytes"], "bits": bits,
            "perplexity": score["perplexity"]}


def markdown(rows: list) -> str:
    lines = [
        "# Size and perplexity of a language model",
        "",
        "Made by `pkg-scripts/quality_text.py`: SmolLM2-135M (a GGUF file with Q4_1 matrices and a Q8_0 embedding), calibrated",
        "with one text and scored on another in windows of 512 tokens. Bits are those of what is encoded, with tables and",
        "scales; with `layers` the embedding stays as it is. Beside it llama.cpp's figure with an importance matrix.",
        "",
        "| encoded | encoding | bits | MB | perplexity | llama.cpp |",
        "|---|---|--:|--:|--:|---|",
    ]
    for (what, weights, options, peer), r in zip(ROWS, rows):
        encodings = "<br>".join(f"`{rule}`" for rule in encoding(weights, options)).replace("|", "\\|")
        lines.append(f"| {what} | {encodings} | {r['bits']:.3f} | {r['bytes'] / 1e6:.1f} | {r['perplexity']:.2f} | {peer} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calibrate", type=Path, required=True, help="the text to calibrate with")
    parser.add_argument("--score", type=Path, required=True, help="the text to score, another one")
    parser.add_argument("--program", default=str(ROOT / "target" / "release" / "fewbit"), help="the fewbit to measure")
    parser.add_argument("--only", type=re.compile, default=re.compile(""), help="measure only these encodings now")
    parser.add_argument("--rows", type=Path, default=CACHE / "quality_text.jsonl", help="where measured rows are kept")
    args = parser.parse_args()
    lines = args.rows.read_text().splitlines() if args.rows.exists() else []
    done = {(row["what"], row["encoding"]): row for row in map(json.loads, lines)}
    for what, weights, options, _ in ROWS:
        key = (what, " ".join(encoding(weights, options)))
        if key in done or not args.only.search(key[1]):
            continue
        row = done[key] = measure(args, what, weights, options)
        print(json.dumps(row), flush=True)
        with args.rows.open("a") as out:
            out.write(json.dumps(row) + "\n")
    keys = [(what, " ".join(encoding(weights, options))) for what, weights, options, _ in ROWS]
    if all(key in done for key in keys):
        (ROOT / "QUALITY_TEXT.md").write_text(markdown([done[key] for key in keys]))


if __name__ == "__main__":
    main()
