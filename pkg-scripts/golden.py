#!/usr/bin/env python3
"""Write reference inputs and outputs of the real models, computed by onnxruntime on the CPU in float32.

    golden.py [--force]

    <cache>/golden/<model>/<case>/input_NAME.npy, output_NAME.npy
    <cache>/golden/efficientnet/<photo>/input.npy, output_logits.npy
    <cache>/golden/index.json       model file, case, names, files, dtypes and shapes of all of them

Graph optimisations are off: the reference is the graph as it was published, node by node.
"""
import argparse
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

CACHE = Path(os.environ.get("FEWBIT_CACHE") or Path.home() / ".cache" / "fewbit")
MODELS, PHOTOS, GOLDEN = CACHE / "models", CACHE / "photos", CACHE / "golden"

TEXTS = [
    "A small lighthouse stands on the cliff.",
    "The baker opens her shop before sunrise; by seven o'clock the first loaves are gone, and the smell of bread "
    "drifts down the narrow street to the harbour.",
    "Rain is expected in the north.",
    "Compilers translate programs into instructions. A good one keeps values in registers, removes work that nobody "
    "asked for, and reorders the rest so that the processor seldom waits for memory. What it cannot do is guess what "
    "the programmer meant: 42 is 42, and an unsigned counter that passes zero comes back as 4,294,967,295. "
    "Testing finds such surprises early, reviewing finds them cheaply, and users find them always.",
    "The glacier moved three metres a year when the station was built. Today the instruments, buried deep in blue "
    "ice, report more than eleven, and the meltwater river below roars through the valley from May until October. "
    "Farmers there speak of their grandparents' winters, when sledges crossed the lake for five months and the "
    "church bell, hung in 1873, rang across a landscape without a single engine to be heard anywhere in the night.",
]


def photo(name: str) -> Image.Image:
    return Image.open(PHOTOS / name).convert("RGB")


def nchw(image: Image.Image, mean, std, scale: float = 1.0) -> np.ndarray:
    pixels = np.asarray(image, np.float32) * np.float32(scale)
    pixels = (pixels - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)


def with_quantised(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the codes, scales and zero points of its DynamicQuantizeLinear nodes as further outputs."""
    for node in model.graph.node:
        if node.op_type == "DynamicQuantizeLinear":
            for name, dtype in zip(node.output, (onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8)):
                model.graph.output.append(onnx.helper.make_tensor_value_info(name, dtype, None))
    return model


class Golden:
    def __init__(self):
        self.index = []

    def run(self, model: str, case: str, inputs: dict, *, folder: str | None = None, input_file="input_{}.npy", **notes) -> dict:
        """Run models/<model>.onnx and keep what went in and what came out. Returns the outputs by name."""
        session = self.session(model)
        names = [o.name for o in session.get_outputs()]
        outputs = dict(zip(names, session.run(names, inputs)))
        place = Path(folder or model) / case
        (self.root / place).mkdir(parents=True)
        entry = {"model": folder or model, "model_file": f"models/{model}.onnx", "case": case, **notes}
        for role, values, pattern in (("inputs", inputs, input_file), ("outputs", outputs, "output_{}.npy")):
            entry[role] = []
            for name, value in values.items():
                # Names such as `sigmoid_0.tmp_0` are kept in the index; the file gets a tame one.
                file = place / pattern.format(re.sub(r"[^A-Za-z0-9_.-]", "_", name))
                np.save(self.root / file, value)
                entry[role].append({"name": name, "file": str(file), "dtype": str(value.dtype), "shape": list(value.shape)})
        self.index.append(entry)
        return outputs

    def session(self, model: str):
        if getattr(self, "loaded", None) != model:  # one model in memory at a time
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.log_severity_level = 3
            graph = with_quantised(onnx.load(MODELS / f"{model}.onnx"))
            self.current = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
            self.loaded = model
        return self.current

    root = GOLDEN.with_name("golden.building")

    def write(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        efficientnet(self)
        saliency(self)
        ocr(self)
        minilm(self)
        text = json.dumps({"onnxruntime": onnxruntime.__version__, "cases": self.index}, indent=1, ensure_ascii=False)
        (self.root / "index.json").write_text(text + "\n")
        shutil.rmtree(GOLDEN, ignore_errors=True)
        self.root.rename(GOLDEN)


def efficientnet(golden: Golden) -> None:
    """The 20 labelled photos and a few others, cropped and resized as PIL does it: what our own resize must equal."""
    names = sorted(p.name for p in PHOTOS.glob("imagenet_*.jpg")) + ["chelsea.png", "coffee.png", "astronaut.png"]
    for name in names:
        image = photo(name)
        side = int(0.875 * min(image.size))
        # Python rounds halves to even; 1024 - 597 = 427 gives 214.
        left, top = (round((extent - side) / 2) for extent in image.size)
        image = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.BICUBIC)
        golden.run("efficientnet_lite0", name, {"image": nchw(image, [127] * 3, [128] * 3)},
                   folder="efficientnet", input_file="input.npy", photo=f"photos/{name}",
                   crop={"left": left, "top": top, "side": side})


def saliency(golden: Golden) -> None:
    """Squeezed to a square: simple to reproduce, though the model's own package pads to keep the aspect ratio."""
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    tensors = {}
    for name in ("astronaut.png", "chelsea.png", "coffee.png"):
        tensors[name] = nchw(photo(name).resize((224, 224), Image.BICUBIC), mean, std, 1 / 255)
        golden.run("vit_s14_saliency", Path(name).stem, {"input_image": tensors[name]}, photo=f"photos/{name}")
    both = np.concatenate([tensors["coffee.png"], tensors["astronaut.png"]])
    golden.run("vit_s14_saliency", "batch_2", {"input_image": both})


def ocr_tensor(image: Image.Image, width: int, height: int) -> np.ndarray:
    """BGR, (x / 255 - 0.5) / 0.5, as PP-OCR was trained."""
    blue_first = Image.merge("RGB", image.resize((width, height), Image.BILINEAR).split()[::-1])
    return nchw(blue_first, [0.5] * 3, [0.5] * 3, 1 / 255)


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return list(zip(edges[::2], edges[1::2]))


def ocr(golden: Golden) -> None:
    for name, width, height in (("text.png", 448, 160), ("coffee.png", 320, 224), ("page.png", 384, 192), ("page.png", 768, 384)):
        inputs = {"x": ocr_tensor(photo(name), width, height)}
        (found,) = golden.run("ppocrv4_det", f"{Path(name).stem}_{height}x{width}", inputs, photo=f"photos/{name}").values()

    # Lines of the page, from the last and largest map: rows with text, then the columns they span.
    page, mask = photo("page.png"), found[0, 0] > 0.3
    scale = page.width / mask.shape[1]
    crops = []
    for top, bottom in runs(mask.any(axis=1)):
        columns = np.flatnonzero(mask[top:bottom].any(axis=0))
        if bottom - top < 10:
            continue
        box = [columns[0] - 4, top - 4, columns[-1] + 5, bottom + 4]
        crops.append(page.crop([round(max(edge, 0) * scale) for edge in box]))

    def line(crop: Image.Image) -> np.ndarray:
        return ocr_tensor(crop, max(48, -(-crop.width * 48 // crop.height)), 48)

    def cut(crop: Image.Image, part: float) -> Image.Image:
        return crop.crop((0, 0, round(crop.width * part), crop.height))

    characters = ["", *golden.session("ppocrv4_rec").get_modelmeta().custom_metadata_map["character"].splitlines(), " "]

    def read(case: str, x: np.ndarray) -> None:
        (scores,) = golden.run("ppocrv4_rec", case, {"x": x}).values()
        texts = []
        for best in scores.argmax(axis=2):
            kept = best[np.insert(best[1:] != best[:-1], 0, True)]  # CTC: merge repeats, drop blanks
            texts.append("".join(characters[i] for i in kept))
        golden.index[-1]["text"] = texts

    lines = [line(c) for c in (cut(crops[0], 0.25), cut(crops[1], 0.6), crops[2])]
    for tensor in lines:
        read(f"width_{tensor.shape[3]}", tensor)
    padded = np.zeros((2, 3, 48, 320), np.float32)
    for row, tensor in zip(padded, lines):
        row[:, :, : min(320, tensor.shape[3])] = tensor[0, :, :, :320]
    read("batch_2_width_320", padded)


def word_pieces(text: str, vocabulary: dict) -> list[int]:
    """WordPiece for plain ASCII text: lower case, words and punctuation apart, longest piece first."""
    ids = []
    for word in re.findall(r"[a-z0-9]+|[^\sa-z0-9]", text.lower()):
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            end = next(e for e in range(len(word), start, -1) if prefix + word[start:e] in vocabulary)
            ids.append(vocabulary[prefix + word[start:end]])
            start = end
    return ids


def minilm(golden: Golden) -> None:
    vocabulary = {word: i for i, word in enumerate((MODELS / "minilm" / "vocab.txt").read_text().splitlines())}

    def batch(rows: list[tuple[str, int]], length: int, second_from: int | None = None) -> dict:
        """Each text cut to its own number of tokens, padded to `length`."""
        ids = np.zeros((len(rows), length), np.int64)
        mask, types = np.zeros_like(ids), np.zeros_like(ids)
        for row, (text, tokens) in enumerate(rows):
            pieces = [vocabulary["[CLS]"], *word_pieces(text, vocabulary)[: tokens - 2], vocabulary["[SEP]"]]
            ids[row, : len(pieces)], mask[row, : len(pieces)] = pieces, 1
        if second_from is not None:
            types[:, second_from:] = mask[:, second_from:]
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}

    cases = {
        "batch_1_length_7": batch([(TEXTS[0], 7)], 7),
        "batch_3_length_33": batch([(TEXTS[1], 33), (TEXTS[2], 9), (TEXTS[3], 20)], 33),
        "batch_2_length_128": batch([(TEXTS[3] + TEXTS[4], 128), (TEXTS[4] + TEXTS[3], 128)], 128, second_from=70),
    }
    for model in ("minilm", "minilm_int8", "minilm_dynamic"):
        for case, inputs in cases.items():
            golden.run(model, case, inputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--force", action="store_true", help="write them again even if they are there")
    args = parser.parse_args()
    index = GOLDEN / "index.json"
    newest = max(p.stat().st_mtime for p in [Path(__file__), *MODELS.glob("*.onnx")])
    if index.exists() and index.stat().st_mtime > newest and not args.force:
        return
    golden = Golden()
    golden.write()
    print(f"{len(golden.index)} cases in {GOLDEN}", file=sys.stderr)


if __name__ == "__main__":
    main()
