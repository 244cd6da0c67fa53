#!/usr/bin/env python3
"""Write ONNX's own operator cases in the public layout, with an index of what each one needs.

    onnx_cases.py [OUT] [--table FILE]      OUT: default <cache>/onnx-cases

    OUT/<case>/model.onnx
    OUT/<case>/test_data_set_0/input_0.pb ... output_0.pb ...
    OUT/index.json      per case: operators, dtypes, opset, tolerances

The `onnx` package carries the cases as Python code, not as files, so they are computed here.
Its metaclass seeds numpy before every case: the same package gives the same bytes.
"""
import argparse
import json
import os
import shutil
import warnings
from collections import Counter
from pathlib import Path

import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test.loader import load_model_tests

BASIC = {"float32", "int64", "int32", "bool"}


def cache() -> Path:
    return Path(os.environ.get("FEWBIT_CACHE") or Path.home() / ".cache" / "fewbit")


def dtype_name(elem_type: int) -> str:
    name = TensorProto.DataType.Name(elem_type).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def value_dtype(value_type) -> str:
    """`float32` for a tensor; `sequence`, `optional`, `map`, `sparse_tensor` for anything else."""
    kind = value_type.WhichOneof("value")
    if kind == "tensor_type":
        return dtype_name(value_type.tensor_type.elem_type)
    return (kind or "unknown").removesuffix("_type")


def walk(nodes):
    """Every node, those of subgraphs (If, Loop, Scan bodies) included."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from walk(attribute.g.node)
            for graph in attribute.graphs:
                yield from walk(graph.node)


def operator(node) -> str:
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def describe(case) -> dict:
    graph = case.model.graph
    nodes = list(walk(graph.node))
    constants = list(graph.initializer) + [
        a.t for n in nodes for a in n.attribute if a.type == onnx.AttributeProto.TENSOR
    ]
    casts = [
        a.i for n in nodes if n.op_type == "Cast" for a in n.attribute if a.name == "to"
    ]
    return {
        "operators": sorted({operator(n) for n in nodes}),
        "opset": {o.domain or "ai.onnx": o.version for o in case.model.opset_import},
        "inputs": [value_dtype(v.type) for v in graph.input],
        "outputs": [value_dtype(v.type) for v in graph.output],
        # Tensors inside the model and the targets of Cast: what a runtime meets between the two.
        "constants": sorted({dtype_name(t.data_type) for t in constants} | {dtype_name(c) for c in casts}),
        "data_sets": len(case.data_sets),
        "rtol": case.rtol,
        "atol": case.atol,
    }


def to_proto(value, info):
    """The protobuf message for one input or output, of the kind the graph declares."""
    if isinstance(value, TensorProto):
        return value
    kind = info.type.WhichOneof("value")
    if kind == "map_type":
        return numpy_helper.from_dict(value, info.name)
    if kind == "sequence_type":
        return numpy_helper.from_list(value, info.name)
    if kind == "optional_type":
        return numpy_helper.from_optional(value, info.name)
    return numpy_helper.from_array(value, info.name)


def write(case, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    for i, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{i}"
        data.mkdir()
        for stem, values, infos in (
            ("input", inputs, case.model.graph.input),
            ("output", outputs, case.model.graph.output),
        ):
            for j, (value, info) in enumerate(zip(values, infos)):
                (data / f"{stem}_{j}.pb").write_bytes(to_proto(value, info).SerializeToString())


def table(index: dict) -> str:
    """Operator, cases, cases with only everyday dtypes, cases where it is the only operator."""
    total, basic, alone = Counter(), Counter(), Counter()
    for case in index.values():
        dtypes = {*case["inputs"], *case["outputs"], *case["constants"]}
        for op in case["operators"]:
            total[op] += 1
            basic[op] += dtypes <= BASIC
            alone[op] += len(case["operators"]) == 1
    lines = [f"{'operator':44} {'cases':>6} {'f32/i64/i32/bool':>17} {'only operator':>14}"]
    lines += [f"{op:44} {n:6} {basic[op]:17} {alone[op]:14}" for op, n in sorted(total.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=cache() / "onnx-cases")
    parser.add_argument("--table", type=Path, help="also write operator counts here")
    args = parser.parse_args()

    index_file = args.out / "index.json"
    index = None
    if index_file.exists():
        known = json.loads(index_file.read_text())
        if known["onnx"] == onnx.__version__:
            index = known["cases"]
    if index is None:
        warnings.simplefilter("ignore")  # overflow and division by zero are part of the cases
        building = args.out.with_name(args.out.name + ".building")
        shutil.rmtree(building, ignore_errors=True)
        index = {}
        for case in load_model_tests(kind="node"):
            write(case, building / case.name)
            index[case.name] = describe(case)
        # The index comes last and the folder moves as a whole: half a run is never taken for a whole one.
        text = json.dumps({"onnx": onnx.__version__, "cases": index}, indent=1, sort_keys=True)
        (building / "index.json").write_text(text + "\n")
        shutil.rmtree(args.out, ignore_errors=True)
        building.rename(args.out)

    plain = sum({*c["inputs"], *c["outputs"], *c["constants"]} <= BASIC for c in index.values())
    print(f"{len(index)} cases ({plain} with float32/int64/int32/bool only) in {args.out}")
    if args.table:
        args.table.write_text(table(index))


if __name__ == "__main__":
    main()
