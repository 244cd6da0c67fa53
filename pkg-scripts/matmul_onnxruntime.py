#!/usr/bin/env python3
"""Time one product in onnxruntime and print {"median_ms", "min_ms"} as JSON.

    matmul_onnxruntime.py --m 1 --k 2048 --n 2048 --bits 4 --block 32 [--accuracy 4] [--threads 1 | --webgpu]

--webgpu needs the package onnxruntime-webgpu, which cannot share an environment with onnxruntime. Input and output stay
host tensors there too: as with fewbit, a run ends when its result can be read.
"""
import argparse
import json
import statistics
import time

import numpy as np
import onnxruntime

import matmul_onnx

WARM_UP = 3
FEWEST = 5


def session(args: argparse.Namespace) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = args.threads, 1
    options.log_severity_level = 3
    data = matmul_onnx.model(args.m, args.k, args.n, args.bits, args.block, args.accuracy).SerializeToString()
    if not args.webgpu:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    # Without this a node that the GPU lacks would run on the CPU and be timed there.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return onnxruntime.InferenceSession(data, options, providers=[("WebGpuExecutionProvider", {})])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    matmul_onnx.add_arguments(parser)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--webgpu", action="store_true")
    parser.add_argument("--seconds", type=float, default=0.5)
    args = parser.parse_args()

    run = session(args)
    inputs = {"x": np.random.default_rng(2).standard_normal((args.m, args.k), np.float32)}
    for _ in range(WARM_UP):
        run.run(None, inputs)
    times, end = [], time.perf_counter() + args.seconds
    while time.perf_counter() < end or len(times) < FEWEST:
        start = time.perf_counter()
        run.run(None, inputs)
        times.append(1e3 * (time.perf_counter() - start))
    print(json.dumps({"median_ms": statistics.median(times), "min_ms": min(times), "runs": len(times)}))


if __name__ == "__main__":
    main()
