#!/usr/bin/env python3
"""Size and quality of two models in every encoding: writes QUALITY.md and www/quality.svg.

    ~/.cache/fewbit/venv/bin/python pkg-scripts/quality.py [--program FEWBIT] [--only REGEX] [--rows FILE]

The sweep takes an hour or two: each encoding's row is kept in FILE as soon as it is measured, and a later call goes on
from there, or with `--only` measures some of them. FILE belongs to one program: remove it when that changes.
EfficientNet-Lite0 is scored by its labels for 20 photos, the saliency ViT by the correlation of its maps for the same
photos with those of its float form. Calibration uses crops of four other photos.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = Path(os.environ.get("FEWBIT_CACHE") or Path.home() / ".cache" / "fewbit")
CALIBRATION = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"]
VIEWS = 8  # of each calibration photo
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
CROP = {"image": {"width": 224, "height": 224, "crop": 0.875, "mean": [127.0] * 3, "std": [128.0] * 3}}
VIT = {"image": {"width": 224, "height": 224, "crop": 1.0, "mean": list(255 * MEAN), "std": list(255 * STD)}}

ENCODINGS = [
    "f16", "palette:8:scale", "palette:6:scale", "palette:4:scale", "palette:3:scale", "palette:2:scale",
    "palette:4:group=64", "palette:3:group=64", "palette:2:group=64", "palette:8:dim=2", "palette:8:dim=4",
    "affine:8:group=64", "affine:4:group=64", "affine:3:group=64", "affine:2:group=64",
    "nf4:group=64", "fp4:group=64", "mxfp4", "dual:group=128", "codebook:2x8:group=8", "codebook:1x12:group=4",
    "sparse:2of4", "sparse:2of4+palette:4:scale", "sparse:0.75", "lowrank:0.5", "lowrank:0.25",
    "auto:6", "auto:4", "auto:3", "auto:2.5", "auto:2",
]


class Bench:
    def __init__(self, program: str, folder: Path):
        self.program, self.folder = program, folder
        (folder / "photos").mkdir()
        for photo in CALIBRATION:
            for view in range(VIEWS):
                self.crop(CACHE / "photos" / photo, view).save(folder / "photos" / f"{photo[:-4]}-{view}.png")
        golden = json.loads((ROOT / "tests" / "data" / "efficientnet_lite0_golden.json").read_text())
        self.photos = [(CACHE / "photos" / i["file"], i["label"]) for i in golden["images"]]
        batch = [self.pixels(photo) for photo, _ in self.photos]
        np.save(folder / "batch.npy", np.stack(batch).astype(np.float32))

    @staticmethod
    def crop(photo: Path, view: int) -> Image.Image:
        """Squares along a diagonal, from the whole height down to two fifths of it, as in tests/quality.rs."""
        image = Image.open(photo).convert("RGB")
        side = min(image.size) * (20 - 12 * view // VIEWS) // 20
        left, top = ((room - side) * (view * 3 % VIEWS) // VIEWS for room in image.size)
        return image.crop((left, top, left + side, top + side))

    @staticmethod
    def pixels(photo: Path) -> np.ndarray:
        image = Image.open(photo).convert("RGB").resize((224, 224), Image.BICUBIC)
        return ((np.asarray(image) / 255 - MEAN) / STD).transpose(2, 0, 1)

    def fewbit(self, *words) -> list:
        command = [self.program, *map(str, words), "--device", "cpu", "--json"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        return [json.loads(line) for line in done.stdout.splitlines()]

    def compress(self, model: str, manifest: dict, encoding: str) -> tuple:
        out, described = self.folder / "out.fewbit", self.folder / "manifest.json"
        described.write_text(json.dumps(manifest))
        report = self.fewbit("compress", CACHE / "models" / model, "--output", out, "--manifest", described,
                             "--calibrate", self.folder / "photos", "--weights", encoding)[0]
        return out, report

    def top1(self, model: Path) -> int:
        results = self.fewbit("classify", *[photo for photo, _ in self.photos], "--model", model, "--top-k", 1)
        return sum(r["predictions"][0]["index"] == label for r, (_, label) in zip(results, self.photos))

    def maps(self, model: Path) -> np.ndarray:
        self.fewbit("run", model, "--input", f"input_image={self.folder / 'batch.npy'}", "--output", self.folder / "maps")
        return np.load(self.folder / "maps" / "output_importance.npy")


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over photos of the correlation of two maps."""
    return float(np.mean([np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b)]))


def mean_bits(report: dict) -> float:
    tensors = report["tensors"]
    return 8 * sum(t["bytes"] for t in tensors) / sum(t["weights"] for t in tensors)


def measure_one(bench: Bench, exact: np.ndarray, encoding: str) -> dict:
    row = {"encoding": encoding}
    try:
        model, report = bench.compress("efficientnet_lite0.pth", CROP, encoding)
        row.update(lite0_bytes=report["bytes"], lite0_bits=mean_bits(report), lite0_top1=bench.top1(model))
    except RuntimeError as error:
        row["lite0_error"] = str(error)
    model, report = bench.compress("vit_s14_saliency.onnx", VIT, encoding)
    row.update(vit_bytes=report["bytes"], vit_bits=mean_bits(report), vit_correlation=correlation(exact, bench.maps(model)))
    return row


def kept(file: Path) -> dict:
    lines = file.read_text().splitlines() if file.exists() else []
    return {row["encoding"]: row for row in map(json.loads, lines)}


def measure(bench: Bench, encodings: list, file: Path) -> None:
    exact = bench.maps(CACHE / "models" / "vit_s14_saliency.onnx")
    for encoding in encodings:
        row = json.dumps(measure_one(bench, exact, encoding))
        print(row, file=sys.stderr, flush=True)
        with file.open("a") as out:
            out.write(row + "\n")


def markdown(rows: list) -> str:
    lines = [
        "# Size and quality by encoding",
        "",
        "Made by `pkg-scripts/quality.py`; all of a model's matrices in one encoding, calibrated on 32 crops of four photos",
        "that are not scored. Bits are those of the encoded weights with tables and scales. EfficientNet-Lite0 (18 of 20 in float): photos",
        "whose label comes first. ViT-S/14 saliency: mean correlation with the float model's maps of the same 20 photos.",
        "Encodings that take whole layers down, such as low rank, are shown as they are: without any training afterwards.",
        "",
        "| encoding | Lite0 MB | bits | top-1 of 20 | ViT-S MB | bits | correlation |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for r in rows:
        lite0 = "– | – | –" if "lite0_error" in r else f"{r['lite0_bytes'] / 1e6:.2f} | {r['lite0_bits']:.2f} | {r['lite0_top1']}"
        vit = f"{r['vit_bytes'] / 1e6:.2f} | {r['vit_bits']:.2f} | {r['vit_correlation']:.4f}"
        lines.append(f"| `{r['encoding']}` | {lite0} | {vit} |")
    return "\n".join([*lines, "", "![Correlation over bits per weight of the ViT](www/quality.svg)", ""])


def svg(rows: list) -> str:
    """Correlation of the ViT's maps over bits per weight."""
    width, height, left, top = 720, 420, 60, 20
    right, bottom = width - 20, height - 50
    low, most = 0.5, 9.0
    x = lambda bits: left + (min(bits, most) - 1) / (most - 1) * (right - left)
    y = lambda c: bottom - (max(c, low) - low) / (1 - low) * (bottom - top)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/>']
    for bits in range(1, 10):
        parts.append(f'<path d="M{x(bits):.1f} {top}V{bottom}" stroke="#ddd"/><text x="{x(bits):.1f}" y="{bottom + 18}" text-anchor="middle">{bits}</text>')
    for c in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        parts.append(f'<path d="M{left} {y(c):.1f}H{right}" stroke="#ddd"/><text x="{left - 8}" y="{y(c) + 4:.1f}" text-anchor="end">{c:.1f}</text>')
    parts.append(f'<text x="{(left + right) / 2}" y="{height - 10}" text-anchor="middle">bits per weight (beyond 9 at the edge)</text>')
    parts.append(f'<text transform="translate(16 {(top + bottom) / 2}) rotate(-90)" text-anchor="middle">correlation with the float model</text>')
    kinds = ["palette", "affine", "nf4|fp4|mxfp4", "codebook|dual", "sparse|lowrank", "auto"]
    colours = ["#1b6ca8", "#c4472c", "#7a5195", "#2e8b57", "#8a8a8a", "#000000"]
    for i, (kind, colour) in enumerate(zip(kinds, colours)):
        mine = [r for r in rows if re.match(kind, r["encoding"])]
        for r in mine:
            at = f'cx="{x(r["vit_bits"]):.1f}" cy="{y(r["vit_correlation"]):.1f}"'
            parts.append(f'<circle {at} r="4" fill="{colour}"><title>{r["encoding"]}: {r["vit_correlation"]:.4f}</title></circle>')
        parts.append(f'<circle cx="{right - 130}" cy="{bottom - 120 + 18 * i}" r="4" fill="{colour}"/>'
                     f'<text x="{right - 120}" y="{bottom - 116 + 18 * i}">{kind.replace("|", ", ")}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=str(ROOT / "target" / "release" / "fewbit"), help="the fewbit to measure")
    parser.add_argument("--only", type=re.compile, default=re.compile(""), help="measure only these encodings now")
    parser.add_argument("--rows", type=Path, default=CACHE / "quality.jsonl", help="where measured rows are kept")
    args = parser.parse_args()
    done = kept(args.rows)
    missing = [e for e in ENCODINGS if e not in done and args.only.search(e)]
    if missing:
        with tempfile.TemporaryDirectory() as folder:
            measure(Bench(args.program, Path(folder)), missing, args.rows)
    done = kept(args.rows)
    if left := [e for e in ENCODINGS if e not in done]:
        print(f"{len(left)} encodings are still to be measured; nothing is written", file=sys.stderr)
        return
    rows = [done[e] for e in ENCODINGS]
    (ROOT / "QUALITY.md").write_text(markdown(rows))
    (ROOT / "www" / "quality.svg").write_text(svg(rows))


if __name__ == "__main__":
    main()
