#!/usr/bin/env python3
"""Write tests/data/encodings: small files in the layouts of public formats, and what their reference reads from them.

    python3 -m venv V && V/bin/pip install gguf==0.19.0 coremltools==9.0 mlx==0.32.4 mlx-cpu==0.32.4 \\
        onnx==1.23.0 onnxruntime==1.32.0 safetensors==0.8.0 numpy==2.4.6
    V/bin/python pkg-scripts/encoding_cases.py [gguf] [palette] [elastic] [mlx] [onnx]

Run by hand when a format is added; its results are committed. GPTQ, AWQ, compressed-tensors and AQLM, whose references
need torch, are written by encoding_cases_torch.py.
"""
import json
import sys
import warnings
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

OUT = Path(__file__).resolve().parent.parent / "tests/data/encodings"


def random(name: str) -> np.random.Generator:
    """The same numbers on every run, others for every case."""
    return np.random.default_rng([ord(letter) for letter in name])


# --- ggml -------------------------------------------------------------------------------------------------------------

# Where the blocks of a type hold f16 scales, and E8M0 ones: random bytes there would be infinite or NaN.
HALF_SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
               "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0],
               "IQ3_XXS": [0], "IQ3_S": [0], "IQ1_S": [0], "IQ4_NL": [0], "IQ4_XS": [0], "TQ1_0": [52], "TQ2_0": [64]}
POWER_SCALES = {"MXFP4": [0]}
GRIDS = ["IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S", "IQ1_M"]


def blocks(kind, rows: int, per_row: int, size: int) -> np.ndarray:
    """u8 `[rows, per_row · size]`: random blocks with finite scales."""
    generator = random(kind.name)
    data = generator.integers(0, 256, (rows, per_row, size), np.uint8)
    for at in HALF_SCALES.get(kind.name, []):
        scales = generator.uniform(-0.1, 0.1, (rows, per_row, 1)).astype(np.float16)
        data[:, :, at:at + 2] = scales.view(np.uint8)
    for at in POWER_SCALES.get(kind.name, []):
        data[:, :, at] = generator.integers(110, 140, (rows, per_row), np.uint8)
    if kind.name == "IQ1_M":  # The f16 scale lies in the upper four bits of four words.
        scale = generator.uniform(-0.1, 0.1, (rows, per_row, 1)).astype(np.float16).view(np.uint16)
        words = data[:, :, 48:].view(np.uint16)
        words[:] = words & 0x0FFF | (scale >> np.array([0, 4, 8, 12], np.uint16) & 15) << 12
    if kind.name == "NVFP4":
        data[:, :, :4] = generator.integers(0, 127, (rows, per_row, 4), np.uint8)
    if kind.name == "TQ1_0":  # A byte holds five digits of base 3 as a fraction of 256; not every byte is one.
        digits = generator.integers(0, 243, (rows, per_row, 52)).astype(np.uint32)
        data[:, :, :52] = (digits * 256 + 242) // 243
    if kind.name == "TQ2_0":  # Three of the four values of two bits are used.
        fields = generator.integers(0, 3, (rows, per_row, 64, 4), np.uint8)
        data[:, :, :64] = fields[..., 0] | fields[..., 1] << 2 | fields[..., 2] << 4 | fields[..., 3] << 6
    return data.reshape(rows, per_row * size)


def gguf_cases() -> None:
    import gguf
    from gguf import GGMLQuantizationType as Type

    folder = OUT / "gguf"
    folder.mkdir(parents=True, exist_ok=True)

    def finish(writer) -> None:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    # Types with fixed grids of vectors: enough blocks that most of a grid is met.
    writer = gguf.GGUFWriter(folder / "grids.gguf", "llama")
    expected = {}
    for kind in (Type[name] for name in GRIDS):
        data = blocks(kind, 3, 2, gguf.GGML_QUANT_SIZES[kind][1])
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        expected[kind.name] = gguf.dequantize(data, kind).astype(np.float32)
    finish(writer)
    save_file(expected, folder / "grids-expected.safetensors")

    writer = gguf.GGUFWriter(folder / "types.gguf", "llama")
    writer.add_string("general.name", "every type")
    writer.add_uint32("llama.block_count", 2)
    writer.add_float32("llama.rope.freq_base", 10000.0)
    writer.add_bool("test.flag", True)
    writer.add_array("test.words", ["a", "bc", "déf"])
    writer.add_array("test.numbers", [1, -2, 3])
    expected = {}
    for kind in Type:
        block, size = gguf.GGML_QUANT_SIZES[kind]
        if kind.name in GRIDS or kind.name not in [*HALF_SCALES, *POWER_SCALES, "NVFP4"]:
            continue
        data = blocks(kind, 2, 3 if block == 32 else 1, size)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        expected[kind.name] = gguf.dequantize(data, kind).astype(np.float32)
    for dtype in (np.float32, np.float16):
        name = {np.float32: "F32", np.float16: "F16"}[dtype]
        values = random(name).standard_normal((3, 5)).astype(dtype)
        writer.add_tensor(name, values)
        expected[name] = values.astype(np.float32)
    bits = random("BF16").standard_normal((3, 6)).astype(np.float32).view(np.uint32) >> 16
    writer.add_tensor("BF16", bits.astype(np.uint16).view(np.uint8), raw_dtype=Type.BF16)
    expected["BF16"] = (bits << 16).astype(np.uint32).view(np.float32)
    finish(writer)
    save_file(expected, folder / "expected.safetensors")


# --- coremltools ------------------------------------------------------------------------------------------------------

def palette_cases() -> None:
    from coremltools.optimize import _utils

    tensors, cases = {}, []

    def case(bits: int, tables: int, dim: int, scale: bool) -> None:
        name = f"{bits}-bit-tables-{tables}-dim-{dim}" + ("-scale" if scale else "")
        rows, cols = 16, 11
        generator = random(name)
        codes = generator.integers(0, 1 << bits, (rows // dim, cols), np.uint8)
        table = generator.standard_normal((tables, 1, 1 << bits, dim)).astype(np.float32)
        expected = _utils.lut_to_dense(codes, table, vector_axis=0)
        tensors[f"{name}.codes"] = _utils.pack_elements_into_bits(codes, bits)
        tensors[f"{name}.table"] = table
        if scale:
            tensors[f"{name}.scale"] = generator.uniform(0.5, 2, (rows, 1)).astype(np.float32)
            expected = expected * tensors[f"{name}.scale"]
        tensors[f"{name}.expected"] = np.ascontiguousarray(expected)  # safetensors stores a view's memory as it lies
        cases.append({"name": name, "bits": bits, "tables": tables, "dim": dim, "shape": [rows, cols]})

    for bits in (1, 2, 3, 4, 6, 8):
        case(bits, 1, 1, False)
    case(4, 4, 1, False)
    case(3, 8, 1, True)
    for dim in (2, 4):
        case(4, 1, dim, False)
        case(2, 4, dim, True)
    save_file(tensors, OUT / "coremltools.safetensors", {"cases": json.dumps(cases)})


# --- Elastic precision ------------------------------------------------------------------------------------------------

def elastic_cases() -> None:
    """EQ-Net's formula in f32 for each of the 28 forms of two weights: offsets of 0 in symmetric forms, and any."""
    tensors = {}
    for name, rows, cols in (("plain", 6, 13), ("offsets", 5, 16)):
        generator = random(name)
        w = generator.standard_normal((rows, cols)).astype(np.float16).astype(np.float32)
        tensors[f"{name}.w"] = w.astype(np.float16)
        for granularity, steps in (("channel", rows), ("layer", 1)):
            for symmetric in (False, True):
                table = granularity + ("_symmetric" if symmetric else "")
                pairs = np.zeros((steps, 7, 2), np.float32)
                for i, bits in enumerate(range(2, 9)):
                    low, high = (-2 ** (bits - 1), 2 ** (bits - 1) - 1) if symmetric else (0, 2 ** bits - 1)
                    # From 2 to 5 deviations wide, so that some weights are clipped and some are not.
                    pairs[:, i, 0] = generator.uniform(2, 5, steps) / (high - low)
                    if not symmetric:
                        pairs[:, i, 1] = generator.uniform(-2.5, -1, steps)
                    elif name == "offsets":
                        pairs[:, i, 1] = generator.uniform(-0.5, 0.5, steps)
                    s, beta = pairs[:, i, :1] + np.float32(1e-6), pairs[:, i, 1:]
                    served = np.round(np.clip((w - beta) / s, low, high)) * s + beta
                    label = f"{bits}" + (":sym" if symmetric else "") + (":layer" if granularity == "layer" else "")
                    tensors[f"{name}.expected.{label}"] = served.astype(np.float32)
                tensors[f"{name}.{table}"] = pairs
    save_file(tensors, OUT / "elastic.safetensors")


# --- MLX --------------------------------------------------------------------------------------------------------------

def mlx_cases() -> None:
    import mlx.core as mx

    mx.set_default_device(mx.cpu)
    for bits in (2, 3, 4, 5, 6, 8):
        group = {2: 32, 8: 128}.get(bits, 64)
        folder = OUT / f"mlx-{bits}"
        folder.mkdir(parents=True, exist_ok=True)
        weight = mx.array(random(folder.name).standard_normal((6, 128)).astype(np.float32)).astype(mx.float16)
        codes, scales, biases = mx.quantize(weight, group_size=group, bits=bits)
        # In f32: the package's own f16 arithmetic would round the product.
        expected = mx.dequantize(codes, scales.astype(mx.float32), biases.astype(mx.float32), group_size=group, bits=bits)
        save_file({"layer.weight": np.array(codes), "layer.scales": np.array(scales), "layer.biases": np.array(biases),
                   "norm.weight": np.ones(6, np.float32)}, folder / "model.safetensors", {"format": "mlx"})
        config = {"model_type": "test", "quantization": {"group_size": group, "bits": bits}}
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        save_file({"layer.weight": np.array(expected)}, folder / "expected.safetensors")


# --- onnxruntime ------------------------------------------------------------------------------------------------------

def onnx_case(name: str, op: str, inputs: dict, weights: list, attributes: dict, domain: str, output) -> None:
    """A model of one node, its inputs and what onnxruntime computes."""
    import onnx
    import onnxruntime
    from onnx import helper

    folder = OUT / "onnx"
    folder.mkdir(parents=True, exist_ok=True)
    declared = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
                for n, v in inputs.items()]
    names = [w if isinstance(w, str) else w.name for w in weights]
    nodes = [helper.make_node(op, names, ["y"], domain=domain, **attributes)]
    if op == "DequantizeLinear":
        nodes[0].output[0] = "w"
        nodes.append(helper.make_node("MatMul", ["x", "w"], ["y"]) if attributes["axis"] == 0 else
                     helper.make_node("Gemm", ["x", "w"], ["y"], transB=1))
    result = helper.make_tensor_value_info("y", output, None)
    constants = [w for w in weights if not isinstance(w, str)]
    graph = helper.make_graph(nodes, name, declared, [result], constants)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    # Unoptimised: it would otherwise merge DequantizeLinear and MatMul into a product with activations of int8.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    save_file({**inputs, "y": session.run(None, inputs)[0]}, folder / f"{name}.safetensors")


def onnx_cases() -> None:
    from onnx import TensorProto, helper, numpy_helper

    FLOAT, MICROSOFT = TensorProto.FLOAT, "com.microsoft"
    k, n = 80, 6
    constant = numpy_helper.from_array

    def small(name: str, kind: int, values: np.ndarray):
        """A tensor of 4-bit integers: two in a byte, the first in the low bits."""
        flat = values.astype(np.uint8).ravel() & 15
        flat = np.append(flat, np.zeros(flat.size % 2, np.uint8))
        packed = flat[0::2] | flat[1::2] << 4
        return helper.make_tensor(name, kind, values.shape, packed.tobytes(), raw=True)

    name = "matmulnbits-bias-f16"
    generator, half = random(name), np.float16
    weights = ["x", constant(generator.integers(0, 256, (n, 3, 16), np.uint8), "codes"),
               constant(generator.uniform(0.01, 0.1, n * 3).astype(half), "scales"), "", "",
               constant(generator.standard_normal(n).astype(half), "bias")]
    onnx_case(name, "MatMulNBits", {"x": generator.standard_normal((3, k)).astype(half)}, weights,
              dict(K=k, N=n, bits=4, block_size=32), MICROSOFT, TensorProto.FLOAT16)
    for bits, block, zeros in [(2, 16, None), (2, 32, "packed"), (4, 16, "packed"), (4, 32, None), (4, 32, "float"),
                               (8, 32, None), (8, 128, "packed")]:
        name = f"matmulnbits-{bits}-{block}" + (f"-{zeros}" if zeros else "")
        generator, groups = random(name), -(-k // block)
        weights = ["x", constant(generator.integers(0, 256, (n, groups, block * bits // 8), np.uint8), "codes"),
                   constant(generator.uniform(0.01, 0.1, n * groups).astype(np.float32), "scales")]
        if zeros == "packed":
            weights.append(constant(generator.integers(0, 256, n * -(-groups * bits // 8), np.uint8), "zeros"))
        elif zeros == "float":
            weights.append(constant(generator.uniform(0, 15, (n, groups)).astype(np.float32), "zeros"))
        x = generator.standard_normal((3, k)).astype(np.float32)
        onnx_case(name, "MatMulNBits", {"x": x}, weights, dict(K=k, N=n, bits=bits, block_size=block), MICROSOFT, FLOAT)

    for kind, quant_type in (("fp4", 0), ("nf4", 1)):
        generator = random(kind)
        weights = ["x", constant(generator.integers(0, 256, n * 64 // 2, np.uint8), "codes"),
                   constant(generator.uniform(0.1, 1, n * 64 // 16).astype(np.float32), "absmax")]
        x = generator.standard_normal((3, 64)).astype(np.float32)
        onnx_case(f"matmulbnb4-{kind}", "MatMulBnb4", {"x": x}, weights,
                  dict(K=64, N=n, block_size=16, quant_type=quant_type, training_mode=0, transB=1), MICROSOFT, FLOAT)

    for name, kind in (("gather-uint4", TensorProto.UINT4), ("gather-int4", TensorProto.INT4)):
        generator = random(name)
        unsigned = kind == TensorProto.UINT4
        values = generator.integers(0, 16, (9, 32)) if unsigned else generator.integers(-8, 8, (9, 32))
        weights = [small("codes", kind, values), "ids", constant(generator.uniform(0.1, 1, (9, 2)).astype(np.float32), "scales")]
        if unsigned:
            weights.append(small("zeros", kind, generator.integers(0, 16, (9, 2))))
        ids = np.array([[1, 8], [0, 3]], np.int64)
        onnx_case(name, "GatherBlockQuantized", {"ids": ids}, weights,
                  dict(gather_axis=0, quantize_axis=1, block_size=16), MICROSOFT, FLOAT)
    for name, packed in (("gather-uint4-plain", False), ("gather-packed-uint8-plain", True)):
        generator = random(name)
        codes = constant(generator.integers(0, 256, (9, 16), np.uint8), "codes") if packed else \
            small("codes", TensorProto.UINT4, generator.integers(0, 16, (9, 32)))
        weights = [codes, "ids", constant(generator.uniform(0.1, 1, (9, 2)).astype(np.float32), "scales")]
        onnx_case(name, "GatherBlockQuantized", {"ids": ids}, weights,
                  dict(gather_axis=0, quantize_axis=1, block_size=16, bits=4), MICROSOFT, FLOAT)
    name = "gather-packed-uint8"
    generator = random(name)
    weights = [constant(generator.integers(0, 256, (9, 16), np.uint8), "codes"), "ids",
               constant(generator.uniform(0.1, 1, (9, 2)).astype(np.float32), "scales"),
               constant(generator.integers(0, 256, (9, 1), np.uint8), "zeros")]
    onnx_case(name, "GatherBlockQuantized", {"ids": ids}, weights,
              dict(gather_axis=0, quantize_axis=1, block_size=16, bits=4), MICROSOFT, FLOAT)

    for name, kind, axis in [("dequantize-int4-0", TensorProto.INT4, 0), ("dequantize-uint4-1", TensorProto.UINT4, 1),
                             ("dequantize-int4-1", TensorProto.INT4, 1), ("dequantize-int8-0", TensorProto.INT8, 0),
                             ("dequantize-uint8-1", TensorProto.UINT8, 1)]:
        generator = random(name)
        shape = (64, n) if axis == 0 else (n, 64)
        scales = tuple(size // 16 if a == axis else size for a, size in enumerate(shape))
        low, high = {TensorProto.INT4: (-8, 8), TensorProto.UINT4: (0, 16), TensorProto.INT8: (-128, 128),
                     TensorProto.UINT8: (0, 256)}[kind]
        number = {TensorProto.INT8: np.int8, TensorProto.UINT8: np.uint8}
        tensor = lambda label, values: (constant(values.astype(number[kind]), label) if kind in number else
                                        small(label, kind, values))
        weights = [tensor("codes", generator.integers(low, high, shape)),
                   constant(generator.uniform(0.01, 0.1, scales).astype(np.float32), "scales")]
        if low == 0:
            weights.append(tensor("zeros", generator.integers(low, high, scales)))
        x = generator.standard_normal((3, 64)).astype(np.float32)
        onnx_case(name, "DequantizeLinear", {"x": x}, weights, dict(axis=axis, block_size=16), "", FLOAT)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for write in (gguf_cases, palette_cases, elastic_cases, mlx_cases, onnx_cases):
        if not sys.argv[1:] or write.__name__.removesuffix("_cases") in sys.argv[1:]:
            write()
