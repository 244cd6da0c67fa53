#!/usr/bin/env python3
"""Write the folders of tests/data/encodings whose references need torch: GPTQ, AWQ, compressed-tensors, AQLM.

    python3 -m venv V && V/bin/pip install torch==2.9.1 transformers==4.57.1 safetensors==0.8.0 psutil loguru \\
        compressed-tensors==0.12.2
    V/bin/pip install --no-deps aqlm==1.1.7
    V/bin/pip install --no-deps --target V/ct020 compressed-tensors==0.20.0
    V/bin/pip download --no-deps --dest V auto-gptq==0.7.1 autoawq==0.2.9     # then unpack both into V/sources
    V/bin/python pkg-scripts/encoding_cases_torch.py V/sources
    PYTHONPATH=V/ct020 V/bin/python pkg-scripts/encoding_cases_torch.py V/sources compressed

Takes gigabytes and minutes; run by hand in an environment that is thrown away. Each folder looks like a checkpoint of
Hugging Face's layout with one or a few layers; expected.safetensors holds the float weights that the reference decodes.
"""
import importlib.util
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parent.parent / "tests/data/encodings"
ROWS, COLS = 32, 64  # outputs, inputs


def write(name: str, config: dict, tensors: dict, expected: dict) -> None:
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "test", "quantization_config": config}, indent=1) + "\n")
    contiguous = lambda group: {key: value.detach().contiguous() for key, value in group.items()}
    save_file(contiguous(tensors), folder / "model.safetensors", {"format": "pt"})
    save_file(contiguous({key: value.float() for key, value in expected.items()}), folder / "expected.safetensors")


def module(path: Path):
    """A source file on its own, without the packages that its own package imports."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def gptq(sources: Path) -> None:
    """AutoGPTQ's layer packs, and its product with the identity is the weight it stands for."""
    layer_type = module(next(sources.rglob("qlinear/qlinear_cuda.py"))).QuantLinear
    for bits in (2, 3, 4, 8):
        torch.manual_seed(bits)
        tensors, expected = {}, {}
        for kind in ("plain", "symmetric", "ordered"):
            group = 32
            # Scales are f16 values in f32, so that the reference decodes in f32.
            scales = (torch.rand(ROWS, COLS // group) * 0.1 + 0.01).half().float()
            middle = float(1 << (bits - 1))
            # Stored are zeros less one, in the bits of a weight: 1 is the least.
            zeros = torch.full_like(scales, middle) if kind == "symmetric" else \
                torch.randint(1, 1 << bits, scales.shape).float()
            columns = torch.arange(COLS) // group
            if kind == "ordered":
                columns = columns[torch.randperm(COLS)]
            codes = torch.randint(0, 1 << bits, (ROWS, COLS)).float()
            linear = torch.nn.Linear(COLS, ROWS, bias=False)
            linear.weight.data = (codes - zeros[:, columns]) * scales[:, columns]
            layer = layer_type(bits, group, COLS, ROWS, False, weight_dtype=torch.float32)
            layer.pack(linear, scales.clone(), zeros.clone(), columns.to(torch.int32))
            weight = layer(torch.eye(COLS)).t()
            assert torch.allclose(weight, linear.weight.data, rtol=1e-6, atol=1e-7)
            tensors |= {f"{kind}.qweight": layer.qweight, f"{kind}.qzeros": layer.qzeros,
                        f"{kind}.scales": layer.scales.half(), f"{kind}.g_idx": layer.g_idx}
            expected[f"{kind}.weight"] = weight
        config = {"quant_method": "gptq", "bits": bits, "group_size": 32, "desc_act": True, "sym": False}
        write(f"gptq-{bits}", config, tensors, expected)


def awq(sources: Path) -> None:
    """Packed in AWQ's published order, read back by AutoAWQ."""
    packing = module(next(sources.rglob("awq/utils/packing_utils.py")))
    bits, group = 4, 32
    torch.manual_seed(1)
    codes = torch.randint(0, 16, (COLS, ROWS), dtype=torch.int32)
    zeros = torch.randint(0, 16, (COLS // group, ROWS), dtype=torch.int32)
    scales = (torch.rand(COLS // group, ROWS) * 0.1 + 0.01).half()

    def pack(values: torch.Tensor) -> torch.Tensor:
        values = values.reshape(values.shape[0], -1, 8)[:, :, packing.AWQ_ORDER]
        return sum(values[:, :, i].to(torch.int64) << (4 * i) for i in range(8)).to(torch.int32)

    qweight, qzeros = pack(codes), pack(zeros)
    weight = packing.dequantize_gemm(qweight, qzeros, scales.float(), bits, group).t()
    config = {"quant_method": "awq", "bits": bits, "group_size": group, "version": "gemm", "zero_point": True}
    write("awq", config, {"layer.qweight": qweight, "layer.qzeros": qzeros, "layer.scales": scales,
                          "layer.bias": torch.ones(ROWS, dtype=torch.float16)}, {"layer.weight": weight})


def compressed() -> None:
    """With the version of compressed-tensors that is imported; the two pinned ones pack 3 bits differently."""
    import compressed_tensors
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    version = compressed_tensors.__version__
    old = version.startswith("0.12")
    cases = [(4, "group", True), (3, "group", True), (3, "channel", True), (8, "channel", True)]
    for bits, strategy, symmetric in cases + ([] if old else [(4, "group", False), (2, "group", True)]):
        torch.manual_seed(bits)
        group = 16 if strategy == "group" else None
        args = QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy=strategy, group_size=group)
        cols = 48  # At 3 bits both versions need five words for a row: only the version tells which packed it.
        groups = cols // 16 if group else 1
        scale = (torch.rand(ROWS, groups) * 0.1 + 0.01).to(torch.bfloat16).float()
        half = 1 << (bits - 1)
        zero = torch.zeros(ROWS, groups, dtype=torch.int8) if symmetric else \
            torch.randint(-half, half, (ROWS, groups), dtype=torch.int8)
        codes = torch.randint(-half, half, (ROWS, cols)).float()
        wide = lambda t: t.float().repeat_interleave(cols // groups, 1)
        weight = (codes - wide(zero)) * wide(scale)
        if old:
            from compressed_tensors.compressors.quantized_compressors.pack_quantized import PackedQuantizationCompressor
            compressor = PackedQuantizationCompressor()
            packed = compressor.compress_weight(weight, scale, args, zero)
            state = {**packed, "weight_scale": scale}
            decoded = compressor.decompress_weight(state, args)
        else:
            from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
            scheme = QuantizationScheme(targets=["Linear"], weights=args)
            state = PackedQuantizationCompressor.compress(
                {"weight": weight, "weight_scale": scale, "weight_zero_point": zero}, scheme)
            decoded = PackedQuantizationCompressor.decompress(dict(state), scheme)["weight"]
        assert torch.allclose(decoded, weight, rtol=1e-6, atol=1e-7)
        state["weight_scale"] = state["weight_scale"].to(torch.bfloat16)
        weights = {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": strategy, "group_size": group}
        config = {"quant_method": "compressed-tensors", "format": "pack-quantized", "version": version,
                  "quantization_status": "compressed", "ignore": ["lm_head"],
                  "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}}
        name = f"compressed-{version}-{bits}-{strategy}" + ("" if symmetric else "-asymmetric")
        write(name, config, {f"layer.{key}": value for key, value in state.items()}, {"layer.weight": decoded})


def aqlm() -> None:
    """The codebooks of 16 bits would be a megabyte; 12 bits take the same path (codes of int16)."""
    from aqlm.utils import _dequantize_weight, pack_int_data, unpack_int_data

    for books, bits, rows in ((1, 12, 1), (2, 8, 1), (1, 8, 1), (1, 8, 2)):
        torch.manual_seed(bits + books)
        codes = torch.randint(0, 1 << bits, (ROWS // rows, COLS // 8, books))
        packed = pack_int_data(codes.clone(), bits)
        codebooks = torch.randn(books, 1 << bits, rows, 8).half()
        scales = (torch.rand(ROWS // rows, 1, 1, 1) + 0.5).half()
        weight = _dequantize_weight(unpack_int_data(packed, bits), codebooks.float(), scales.float())
        config = {"quant_method": "aqlm", "in_group_size": 8, "out_group_size": rows, "num_codebooks": books,
                  "nbits_per_codebook": bits, "linear_weights_not_to_quantize": []}
        write(f"aqlm-{books}x{bits}" + (f"-rows-{rows}" if rows > 1 else ""), config,
              {"layer.codes": packed, "layer.codebooks": codebooks, "layer.scales": scales}, {"layer.weight": weight})


if __name__ == "__main__":
    sources = Path(sys.argv[1])
    for writer in sys.argv[2:] or ["gptq", "awq", "compressed", "aqlm"]:
        globals()[writer](*([sources] if writer in ("gptq", "awq") else []))
