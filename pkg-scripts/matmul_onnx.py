#!/usr/bin/env python3
"""Write a one-layer model y = x·Wᵀ, for timing products: `MatMulNBits` over few-bit weights, or `MatMul` over floats.

    matmul_onnx.py OUT.onnx --m 1 --k 2048 --n 2048 --bits 4 --block 32 [--accuracy 4]

--m 0 leaves the rows of x open. Weights and scales are random and non-zero, always the same for the same sizes. --bits 32 writes the float product.
--accuracy 4 lets onnxruntime round the activations to int8, 0 leaves it the choice of 32-bit floats.
"""
import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model(m: int, k: int, n: int, bits: int, block: int, accuracy: int) -> onnx.ModelProto:
    random = np.random.default_rng(1)
    if bits == 32:
        weights = [numpy_helper.from_array(random.standard_normal((k, n), np.float32), "weight")]
        node = helper.make_node("MatMul", ["x", "weight"], ["y"])
    else:
        codes = random.integers(0, 256, (n, k // block, block * bits // 8), np.uint8)
        scales = random.uniform(0.01, 0.02, n * (k // block)).astype(np.float32)
        weights = [numpy_helper.from_array(codes, "codes"), numpy_helper.from_array(scales, "scales")]
        node = helper.make_node("MatMulNBits", ["x", "codes", "scales"], ["y"], domain="com.microsoft",
                                K=k, N=n, bits=bits, block_size=block, accuracy_level=accuracy)
    tensor = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph([node], "matmul", [tensor("x", [m or "m", k])], [tensor("y", [m or "m", n])], weights)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for name in ("m", "k", "n"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--bits", type=int, default=32)
    parser.add_argument("--block", type=int, default=32)
    parser.add_argument("--accuracy", type=int, default=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    add_arguments(parser)
    args = parser.parse_args()
    onnx.save(model(args.m, args.k, args.n, args.bits, args.block, args.accuracy), args.out)


if __name__ == "__main__":
    main()
