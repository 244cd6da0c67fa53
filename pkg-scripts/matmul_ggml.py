#!/usr/bin/env python3
"""Time one product in ggml (llama.cpp's kernels) on the CPU and print {"median_ms", "min_ms", "kernel"} as JSON.

    matmul_ggml.py FOLDER --type Q4_0 --m 1 --k 2048 --n 2048 [--threads 1]

FOLDER holds the shared libraries of the npm package @node-llama-cpp/linux-x64, which are ggml's own builds for several
processors; ggml picks the best. Weights go into the repacked layout wherever ggml has one, as llama.cpp puts them.
Activations are f32 on entry; ggml rounds them to its 8-bit blocks for all few-bit types.
"""
import argparse
import ctypes
import glob
import json
import os
import statistics
import time
from ctypes import POINTER, c_bool, c_char_p, c_int, c_int64, c_size_t, c_void_p

import numpy as np

TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q6_K": 14}
CPU_DEVICE = 0
WARM_UP = 3
FEWEST = 5


class InitParams(ctypes.Structure):
    _fields_ = [("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool)]


def library(folder: str) -> dict:
    """The functions used, by name, with their C types."""
    base = ctypes.CDLL(os.path.join(folder, "libggml-base.so"), mode=ctypes.RTLD_GLOBAL)
    core = ctypes.CDLL(glob.glob(os.path.join(folder, "libggml.*so*"))[0], mode=ctypes.RTLD_GLOBAL)
    signatures = {
        "ggml_backend_load_all_from_path": (None, [c_char_p]),
        "ggml_backend_dev_by_type": (c_void_p, [c_int]),
        "ggml_backend_dev_backend_reg": (c_void_p, [c_void_p]),
        "ggml_backend_dev_buffer_type": (c_void_p, [c_void_p]),
        "ggml_backend_dev_init": (c_void_p, [c_void_p, c_char_p]),
        "ggml_backend_dev_supports_op": (c_bool, [c_void_p, c_void_p]),
        "ggml_backend_reg_get_proc_address": (c_void_p, [c_void_p, c_char_p]),
        "ggml_backend_buft_name": (c_char_p, [c_void_p]),
        "ggml_backend_alloc_ctx_tensors_from_buft": (c_void_p, [c_void_p, c_void_p]),
        "ggml_backend_tensor_set": (None, [c_void_p, c_void_p, c_size_t, c_size_t]),
        "ggml_backend_tensor_get": (None, [c_void_p, c_void_p, c_size_t, c_size_t]),
        "ggml_backend_graph_compute": (c_int, [c_void_p, c_void_p]),
        "ggml_init": (c_void_p, [InitParams]),
        "ggml_new_tensor_2d": (c_void_p, [c_void_p, c_int, c_int64, c_int64]),
        "ggml_mul_mat": (c_void_p, [c_void_p, c_void_p, c_void_p]),
        "ggml_new_graph": (c_void_p, [c_void_p]),
        "ggml_build_forward_expand": (None, [c_void_p, c_void_p]),
        "ggml_nbytes": (c_size_t, [c_void_p]),
        "ggml_quantize_chunk": (c_size_t, [c_int, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p]),
    }
    functions = {}
    for name, (result, arguments) in signatures.items():
        function = getattr(base, name, None) or getattr(core, name)
        function.restype, function.argtypes = result, arguments
        functions[name.removeprefix("ggml_")] = function
    return functions


class Product:
    """y = x·Wᵀ as a ggml graph of one node."""

    def __init__(self, folder: str, kind: str, m: int, k: int, n: int, threads: int):
        self.f = f = library(folder)
        f["backend_load_all_from_path"](folder.encode())
        device = f["backend_dev_by_type"](CPU_DEVICE)
        registry = f["backend_dev_backend_reg"](device)
        self.backend = f["backend_dev_init"](device, None)
        set_threads = f["backend_reg_get_proc_address"](registry, b"ggml_backend_set_n_threads")
        ctypes.CFUNCTYPE(None, c_void_p, c_int)(set_threads)(self.backend, threads)

        context = lambda: f["init"](InitParams(1 << 20, None, True))
        plain = f["backend_dev_buffer_type"](device)
        for buffer_type in [*self.repacking(registry, device), plain]:
            weights = context()
            weight = f["new_tensor_2d"](weights, TYPES[kind], k, n)
            f["backend_alloc_ctx_tensors_from_buft"](weights, buffer_type)
            values = context()
            x = f["new_tensor_2d"](values, TYPES["F32"], k, m)
            y = f["mul_mat"](values, weight, x)
            if buffer_type == plain or f["backend_dev_supports_op"](device, y):
                break
        self.kernel = f["backend_buft_name"](buffer_type).decode()
        f["backend_alloc_ctx_tensors_from_buft"](values, plain)
        self.graph = f["new_graph"](values)
        f["build_forward_expand"](self.graph, y)

        random = np.random.default_rng(1)
        floats = random.standard_normal((n, k), np.float32)
        codes = np.zeros(f["nbytes"](weight), np.uint8)
        if kind == "F32":
            codes[:] = floats.reshape(-1).view(np.uint8)
        elif kind == "F16":
            codes[:] = floats.astype(np.float16).reshape(-1).view(np.uint8)
        else:
            f["quantize_chunk"](TYPES[kind], floats.ctypes.data, codes.ctypes.data, 0, n, k, None)
        f["backend_tensor_set"](weight, codes.ctypes.data, 0, codes.nbytes)
        rows = random.standard_normal((m, k), np.float32)
        f["backend_tensor_set"](x, rows.ctypes.data, 0, rows.nbytes)
        self.check(y, rows @ floats.T)

    def repacking(self, registry: int, device: int) -> list[int]:
        """Buffer types that change a weight's layout for faster kernels."""
        found = self.f["backend_reg_get_proc_address"](registry, b"ggml_backend_dev_get_extra_bufts")
        if not found:
            return []
        listed, types = ctypes.CFUNCTYPE(POINTER(c_void_p), c_void_p)(found)(device), []
        while listed and listed[len(types)]:
            types.append(listed[len(types)])
        return types

    def check(self, y: int, expected: np.ndarray) -> None:
        """Two-bit weights leave a correlation of 0.95: what is far below did not compute the product."""
        self.run()
        result = np.zeros_like(expected)
        self.f["backend_tensor_get"](y, result.ctypes.data, 0, result.nbytes)
        if not np.corrcoef(result.ravel(), expected.ravel())[0, 1] > 0.8:
            raise SystemExit("matmul_ggml: the product is wrong")

    def run(self) -> None:
        if self.f["backend_graph_compute"](self.backend, self.graph) != 0:
            raise SystemExit("matmul_ggml: the graph failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--type", choices=TYPES, required=True)
    for name in ("m", "k", "n"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.5)
    args = parser.parse_args()

    product = Product(args.folder, args.type, args.m, args.k, args.n, args.threads)
    for _ in range(WARM_UP):
        product.run()
    times, end = [], time.perf_counter() + args.seconds
    while time.perf_counter() < end or len(times) < FEWEST:
        start = time.perf_counter()
        product.run()
        times.append(1e3 * (time.perf_counter() - start))
    print(json.dumps({"median_ms": statistics.median(times), "min_ms": min(times), "runs": len(times),
                      "kernel": product.kernel}))


if __name__ == "__main__":
    main()
