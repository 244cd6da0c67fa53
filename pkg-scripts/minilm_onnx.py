#!/usr/bin/env python3
"""Build models/minilm.onnx, the float32 graph of all-MiniLM-L6-v2, from its safetensors, without PyTorch.

    input_ids, attention_mask, token_type_ids   int64   [batch, sequence]
    last_hidden_state                           float32 [batch, sequence, 384]

A BERT encoder as exporters write it: LayerNormalization (opset 17) is one node, GELU is its erf formula, attention
is MatMul - Add(mask) - Softmax - MatMul. Linear weights are stored [in, out], so each product is one MatMul.
"""
import json
import os
import struct
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MODELS = Path(os.environ.get("FEWBIT_CACHE") or Path.home() / ".cache" / "fewbit") / "models"


def read_safetensors(path: Path) -> dict:
    """Float tensors only: the file also holds the int64 position ids, which a graph can make itself."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, info in header.items():
        if name != "__metadata__" and info["dtype"] == "F32":
            begin, end = (8 + length + offset for offset in info["data_offsets"])
            tensors[name] = np.frombuffer(data[begin:end], "<f4").reshape(info["shape"])
    return tensors


class Graph:
    def __init__(self, weights: dict):
        self.weights, self.nodes, self.initialisers, self.known = weights, [], [], set()

    def constant(self, name: str, value) -> str:
        if name not in self.known:
            self.known.add(name)
            self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def integers(self, *values) -> str:
        return self.constant("int_" + "_".join(map(str, values)).replace("-", "m"), np.array(values, np.int64))

    def scalar(self, name: str, value: float) -> str:
        return self.constant(name, np.array(value, np.float32))

    def op(self, kind: str, *inputs: str, name: str, **attributes) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def linear(self, x: str, name: str) -> str:
        weight = self.constant(f"{name}.weight", self.weights[f"{name}.weight"].T)
        product = self.op("MatMul", x, weight, name=f"{name}.matmul")
        return self.op("Add", product, self.constant(f"{name}.bias", self.weights[f"{name}.bias"]), name=f"{name}.out")

    def layer_norm(self, x: str, name: str, epsilon: float, out: str | None = None) -> str:
        parts = [self.constant(f"{name}.{p}", self.weights[f"{name}.{p}"]) for p in ("weight", "bias")]
        return self.op("LayerNormalization", x, *parts, name=out or f"{name}.out", axis=-1, epsilon=epsilon)

    def gelu(self, x: str, name: str) -> str:
        erf = self.op("Erf", self.op("Div", x, self.scalar("sqrt2", 2**0.5), name=f"{name}.div"), name=f"{name}.erf")
        half = self.op("Mul", x, self.op("Add", erf, self.scalar("one", 1.0), name=f"{name}.add"), name=f"{name}.mul")
        return self.op("Mul", half, self.scalar("half", 0.5), name=f"{name}.out")


def build(weights: dict, config: dict) -> onnx.ModelProto:
    g = Graph(weights)
    width, heads, epsilon = config["hidden_size"], config["num_attention_heads"], config["layer_norm_eps"]
    head = width // heads

    # Embeddings: word + position + token type. Positions are the first `sequence` rows of their table.
    sequence = g.op("Slice", g.op("Shape", "input_ids", name="ids.shape"), g.integers(1), g.integers(2), name="sequence")
    tables = {k: g.constant(f"embeddings.{k}", weights[f"embeddings.{k}_embeddings.weight"])
              for k in ("word", "position", "token_type")}
    word = g.op("Gather", tables["word"], "input_ids", name="word", axis=0)
    kind = g.op("Gather", tables["token_type"], "token_type_ids", name="token_type", axis=0)
    position = g.op("Slice", tables["position"], g.integers(0), sequence, g.integers(0), name="position")
    x = g.op("Add", g.op("Add", word, kind, name="word_type"), position, name="embedded")
    x = g.layer_norm(x, "embeddings.LayerNorm", epsilon)

    # 0 where a token may be looked at, a large negative number where it is padding: [batch, 1, 1, sequence].
    mask = g.op("Unsqueeze", "attention_mask", g.integers(1, 2), name="mask.4d")
    mask = g.op("Cast", mask, name="mask.float", to=TensorProto.FLOAT)
    mask = g.op("Sub", g.scalar("one", 1.0), mask, name="mask.inverted")
    mask = g.op("Mul", mask, g.scalar("mask.value", float(np.finfo(np.float32).min)), name="mask")

    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        parts = {}
        for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
            name = f"{layer}.attention.self.{part}"
            split = g.op("Reshape", g.linear(x, name), g.integers(0, 0, heads, head), name=f"{name}.split")
            parts[part] = g.op("Transpose", split, name=f"{name}.heads", perm=order)
        name = f"{layer}.attention"
        scores = g.op("MatMul", parts["query"], parts["key"], name=f"{name}.scores")
        scores = g.op("Div", scores, g.scalar("sqrt_head", head**0.5), name=f"{name}.scaled")
        scores = g.op("Softmax", g.op("Add", scores, mask, name=f"{name}.masked"), name=f"{name}.softmax", axis=-1)
        mixed = g.op("MatMul", scores, parts["value"], name=f"{name}.mixed")
        mixed = g.op("Transpose", mixed, name=f"{name}.merged", perm=[0, 2, 1, 3])
        mixed = g.op("Reshape", mixed, g.integers(0, 0, width), name=f"{name}.joined")
        mixed = g.linear(mixed, f"{name}.output.dense")
        x = g.layer_norm(g.op("Add", mixed, x, name=f"{name}.residual"), f"{name}.output.LayerNorm", epsilon)
        hidden = g.gelu(g.linear(x, f"{layer}.intermediate.dense"), f"{layer}.gelu")
        hidden = g.linear(hidden, f"{layer}.output.dense")
        last = i == config["num_hidden_layers"] - 1
        x = g.layer_norm(g.op("Add", hidden, x, name=f"{layer}.residual"), f"{layer}.output.LayerNorm", epsilon,
                         "last_hidden_state" if last else None)

    axes = ["batch", "sequence"]
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, axes)
              for n in ("input_ids", "attention_mask", "token_type_ids")]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*axes, width])
    graph = helper.make_graph(g.nodes, "all-MiniLM-L6-v2", inputs, [output], g.initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="fewbit")
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    folder = MODELS / "minilm"
    model = build(read_safetensors(folder / "model.safetensors"), json.loads((folder / "config.json").read_text()))
    onnx.save(model, MODELS / "minilm.onnx.part")
    (MODELS / "minilm.onnx.part").rename(MODELS / "minilm.onnx")


if __name__ == "__main__":
    main()
