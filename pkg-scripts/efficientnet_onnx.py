#!/usr/bin/env python3
"""Build models/efficientnet_lite0.onnx from the published PyTorch weights, without PyTorch.

    image   float32 [batch, 3, 224, 224]   RGB, (x - 127) / 128
    logits  float32 [batch, 1000]

The file is a legacy torch.save: pickles of magic, protocol and system information, a pickle of the state
dictionary whose tensors name their storages, a pickle of the list of storage names, then each storage as an
int64 element count and raw little-endian data. Tensors are strided views: the weights came from TensorFlow
and are not contiguous.
"""
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MODELS = Path(os.environ.get("FEWBIT_CACHE") or Path.home() / ".cache" / "fewbit") / "models"
STRIDE_2 = {1, 3, 5, 11}  # blocks that halve the image; the stem does too
DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class Storages(pickle.Unpickler):
    """Knows the four names such a file needs and nothing else: unpickling must not run what a file says."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: (storage, offset, size, stride)
        if module == "torch" and name in DTYPES:
            return name
        raise pickle.UnpicklingError(f"unexpected {module}.{name}")

    def persistent_load(self, pid):
        _, kind, key, _, count, *_ = pid
        return kind, key, count


def read_legacy_torch(path: Path) -> dict:
    with path.open("rb") as file:
        if pickle.load(file) != 0x1950A86A20F9469CFC6C:
            raise ValueError(f"{path} is not a legacy torch.save file")
        pickle.load(file)  # protocol version
        pickle.load(file)  # sizes of C types on the writing machine
        tensors = Storages(file).load()
        dtypes = {storage[1]: DTYPES[storage[0]] for storage, *_ in tensors.values()}
        storages = {}
        for key in pickle.load(file):
            count = int(np.frombuffer(file.read(8), "<i8")[0])
            storages[key] = np.frombuffer(file.read(count * dtypes[key].itemsize), dtypes[key])
    return {
        name: np.ascontiguousarray(np.lib.stride_tricks.as_strided(
            storages[storage[1]][offset:], size, [s * dtypes[storage[1]].itemsize for s in stride]))
        for name, (storage, offset, size, stride) in tensors.items()
    }


def build(weights: dict) -> onnx.ModelProto:
    nodes, initialisers = [], []

    def constant(name, value):
        initialisers.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    low, high = constant("zero", 0.0), constant("six", 6.0)

    def convolution(x, conv, norm, *, stride=1, depthwise=False, activation=True):
        w = weights[f"{conv}.weight"]
        nodes.append(helper.make_node(
            "Conv", [x, constant(f"{conv}.weight", w)], [f"{conv}.out"], name=conv,
            # TensorFlow's padding: an odd remainder goes to the right and the bottom.
            auto_pad="SAME_UPPER", strides=[stride] * 2, kernel_shape=list(w.shape[2:]),
            group=w.shape[0] if depthwise else 1))
        parts = [constant(f"{norm}.{p}", weights[f"{norm}.{p}"]) for p in ("weight", "bias", "running_mean", "running_var")]
        nodes.append(helper.make_node("BatchNormalization", [f"{conv}.out", *parts], [f"{norm}.out"], name=norm, epsilon=1e-3))
        if not activation:
            return f"{norm}.out"
        nodes.append(helper.make_node("Clip", [f"{norm}.out", low, high], [f"{norm}.relu6"], name=f"{norm}.relu6"))
        return f"{norm}.relu6"

    x = convolution("image", "_conv_stem", "_bn0", stride=2)
    for i in range(16):
        block, shortcut = f"_blocks.{i}", x
        if i > 0:  # the first block has nothing to expand
            x = convolution(x, f"{block}._expand_conv", f"{block}._bn0")
        stride = 2 if i in STRIDE_2 else 1
        x = convolution(x, f"{block}._depthwise_conv", f"{block}._bn1", stride=stride, depthwise=True)
        project = weights[f"{block}._project_conv.weight"]
        x = convolution(x, f"{block}._project_conv", f"{block}._bn2", activation=False)
        width_in = weights[f"{block}._expand_conv.weight"].shape[1] if i > 0 else 32
        if stride == 1 and width_in == project.shape[0]:
            nodes.append(helper.make_node("Add", [x, shortcut], [f"{block}.out"], name=f"{block}.add"))
            x = f"{block}.out"
    x = convolution(x, "_conv_head", "_bn1")
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pooled"], name="pool"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["features"], name="flatten", axis=1))
    nodes.append(helper.make_node(
        "Gemm", ["features", constant("_fc.weight", weights["_fc.weight"]), constant("_fc.bias", weights["_fc.bias"])],
        ["logits"], name="_fc", transB=1))

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 224, 224])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1000])
    graph = helper.make_graph(nodes, "efficientnet_lite0", [image], [logits], initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="fewbit")
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    model = build(read_legacy_torch(MODELS / "efficientnet_lite0.pth"))
    onnx.save(model, MODELS / "efficientnet_lite0.onnx.part")
    (MODELS / "efficientnet_lite0.onnx.part").rename(MODELS / "efficientnet_lite0.onnx")


if __name__ == "__main__":
    main()
