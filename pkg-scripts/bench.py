#!/usr/bin/env python3
"""Time fewbit's CPU path against onnxruntime's, with the same threads, interleaved in one run.

    bench.py FEWBIT [--rounds 5] [--json]

Batch 1. A round times one engine after the other for every model, so that a slow minute of the machine hits both;
each measurement warms up first and keeps its own median, and the table shows the median of the rounds.
"""
import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
import onnxruntime

HERE = Path(__file__).resolve().parent
MODELS = Path(os.environ.get("FEWBIT_CACHE") or Path.home() / ".cache" / "fewbit") / "models"
SHIPPED = HERE.parent / "www" / "models" / "efficientnet-lite0-4bit.fewbit"

# Name, fewbit's file, onnxruntime's file. The latter has no 4-bit convolutions: its float model stands beside.
CASES = [
    ("EfficientNet-Lite0 f32", MODELS / "efficientnet_lite0.onnx", MODELS / "efficientnet_lite0.onnx"),
    ("EfficientNet-Lite0 4-bit", SHIPPED, MODELS / "efficientnet_lite0.onnx"),
    ("ViT-S/14 saliency f32", MODELS / "vit_s14_saliency.onnx", MODELS / "vit_s14_saliency.onnx"),
]
SECONDS = 2.0  # of repeated runs in one measurement of onnxruntime


def time_onnxruntime(model: Path, threads: int) -> float:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(1)
    inputs = {i.name: random.standard_normal([1, *i.shape[1:]], np.float32) for i in session.get_inputs()}
    for _ in range(3):
        session.run(None, inputs)
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        session.run(None, inputs)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def time_fewbit(program: str, model: Path, threads: int) -> float:
    command = [program, "bench", str(model), "--device", "cpu", "--threads", str(threads), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["median_ms"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fewbit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    cells = {(name, threads): ([], []) for name, _, _ in CASES for threads in (1, 2)}
    for _ in range(args.rounds):
        for name, ours, theirs in CASES:
            for threads in (1, 2):
                mine, reference = cells[name, threads]
                mine.append(time_fewbit(args.fewbit, ours, threads))
                reference.append(time_onnxruntime(theirs, threads))

    if not args.json:
        print(f"{'model':26} {'threads':>7} {'fewbit ms':>10} {'onnxruntime ms':>15} {'ratio':>6}   (below 1: fewbit is faster)")
    for (name, threads), (mine, reference) in cells.items():
        mine, reference = statistics.median(mine), statistics.median(reference)
        if args.json:
            print(json.dumps({"model": name, "threads": threads, "fewbit_ms": round(mine, 3),
                              "onnxruntime_ms": round(reference, 3), "ratio": round(mine / reference, 3)}))
        else:
            print(f"{name:26} {threads:7} {mine:10.1f} {reference:15.1f} {mine / reference:6.2f}")


if __name__ == "__main__":
    main()
