#!/usr/bin/env python3
"""Build models/minilm_dynamic.onnx: models/minilm.onnx with its linear layers quantised dynamically to int8.

Each linear MatMul becomes DynamicQuantizeLinear - MatMulInteger - Cast - Mul: weights int8 with one scale per output
channel, activations uint8 with a scale and zero point computed at run time. Weights keep to 7 bits: without VNNI
onnxruntime adds two uint8 x int8 products in saturating int16, and the reference would depend on the machine.
"""
import os
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic

MODELS = Path(os.environ.get("FEWBIT_CACHE") or Path.home() / ".cache" / "fewbit") / "models"


def main() -> None:
    part = MODELS / "minilm_dynamic.onnx.part"
    quantize_dynamic(MODELS / "minilm.onnx", part, op_types_to_quantize=["MatMul"], per_channel=True,
                     weight_type=QuantType.QInt8, reduce_range=True)
    part.rename(MODELS / "minilm_dynamic.onnx")


if __name__ == "__main__":
    main()
