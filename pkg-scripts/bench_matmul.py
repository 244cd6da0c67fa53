#!/usr/bin/env python3
"""Time fewbit's few-bit products against onnxruntime's and ggml's, interleaved in one run.

    bench_matmul.py FEWBIT [--gpu] [--rounds 3] [--only TEXT] [--json]
    bench_matmul.py FEWBIT --models FOLDER     write the models that bench-browser.mjs times, measure nothing

y[M, N] = x[M, K]·W[N, K]ᵀ with random non-zero weights. The table shows the least milliseconds of all rounds, with
activations of 32-bit floats and, on the CPU, of int8 (--activations int8), and beside each peer fewbit's time with the
same activations divided by the peer's: below 1 fewbit is faster. Beside an encoding stands what each peer has that is
nearest to it in bits and group; onnxruntime with activations of 32-bit floats ("ort f32", accuracy level 0) and of int8
("ort i8", level 4), ggml always with int8 activations. With --gpu, fewbit and onnxruntime-webgpu on each
software Vulkan driver, with input and output on the host. Peers come from `pkg-scripts/setup peers`.
"""
import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("FEWBIT_CACHE") or Path.home() / ".cache" / "fewbit")
PYTHON, WEBGPU_PYTHON = CACHE / "venv/bin/python", CACHE / "venv-webgpu/bin/python"
GGML = CACHE / "peers/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"
DRIVERS = {"lavapipe": Path("/usr/share/vulkan/icd.d/lvp_icd.json"),
           "SwiftShader": Path("/usr/lib/chromium/vk_swiftshader_icd.json")}

SIZES = [(1, 2048), (8, 2048), (256, 2048), (1, 4096)]  # M, K = N
GPU_SIZES = [(1, 2048), (256, 2048)]


@dataclass(frozen=True)
class Encoding:
    """An encoding of ours; what onnxruntime (bits, block) and ggml (type) have nearest to it."""
    name: str
    ort: tuple[int, int] | None
    ggml: str | None


ENCODINGS = [
    Encoding("f32", (32, 0), "F32"),
    Encoding("f16", None, "F16"),
    Encoding("affine:4:group=32", (4, 32), "Q4_0"),
    Encoding("affine:4:group=128", (4, 128), "Q4_K"),
    Encoding("affine:3:group=32", None, "Q3_K"),
    Encoding("affine:3:group=128", None, "Q3_K"),
    Encoding("affine:2:group=32", (2, 32), "Q2_K"),
    Encoding("affine:2:group=128", (2, 128), "Q2_K"),
    Encoding("palette:4", (4, 32), "Q4_0"),
    Encoding("palette:3", (4, 32), "Q3_K"),
    Encoding("palette:2", (2, 32), "Q2_K"),
]
# Each peer, and what of ours has the same activations.
PEERS = {"ort f32": "fewbit", "ort i8": "fewbit i8", "ggml": "fewbit i8"}
GPU_ENCODINGS = ["f32", "affine:4:group=32", "palette:4", "palette:3", "affine:2:group=32", "palette:2"]


def least_ms(command: list, driver: Path | None = None) -> float | None:
    """The least milliseconds a program prints; None if it cannot run this."""
    environment = os.environ | ({"VK_DRIVER_FILES": str(driver)} if driver else {})
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        print(f"bench_matmul: {' '.join(map(str, command))}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])["min_ms"]


def sizes(m: int, k: int) -> list:
    return ["--m", m, "--k", k, "--n", k]


def fewbit(program: str, encoding: str, m: int, k: int, place: list, repeat: int, driver: Path | None = None):
    return least_ms([program, "bench", "matmul", *sizes(m, k), "--weights", encoding, "--repeat", repeat, "--alone", "--json",
                     *place], driver)


def onnxruntime(product: tuple[int, int] | None, accuracy: int, m: int, k: int, place: list, driver: Path | None = None):
    if product is None or (product[0] == 32 and accuracy):
        return None
    python = WEBGPU_PYTHON if driver else PYTHON
    return least_ms([python, HERE / "matmul_onnxruntime.py", *sizes(m, k), "--bits", product[0], "--block", product[1],
                     "--accuracy", accuracy, "--seconds", 0.3, *place], driver)


def ggml(kind: str | None, m: int, k: int, threads: int):
    if kind is None:
        return None
    return least_ms([PYTHON, HERE / "matmul_ggml.py", GGML, "--type", kind, *sizes(m, k), "--threads", threads,
                     "--seconds", 0.3])


def engines_cpu(program: str, encoding: Encoding, m: int, k: int, threads: int) -> dict:
    place = ["--threads", threads]
    ours, repeat = ["--device", "cpu", *place], 20 if m > 8 else 200
    return {
        "fewbit": lambda: fewbit(program, encoding.name, m, k, ours, repeat),
        "fewbit i8": lambda: fewbit(program, encoding.name, m, k, [*ours, "--activations", "int8"], repeat),
        "ort f32": lambda: onnxruntime(encoding.ort, 0, m, k, place),
        "ort i8": lambda: onnxruntime(encoding.ort, 4, m, k, place),
        "ggml": lambda: ggml(encoding.ggml, m, k, threads),
    }


def engines_gpu(program: str, encoding: Encoding, m: int, k: int, driver: Path) -> dict:
    return {
        "fewbit": lambda: fewbit(program, encoding.name, m, k, ["--device", "gpu"], 5 if m > 8 else 20, driver),
        "ort f32": lambda: onnxruntime(encoding.ort, 0, m, k, ["--webgpu"], driver),
        "ort i8": lambda: onnxruntime(encoding.ort, 4, m, k, ["--webgpu"], driver),
    }


def cases(program: str, gpu: bool) -> dict:
    """(device, M, K, encoding) → engine → a measurement."""
    if not gpu:
        return {(f"cpu {threads}", m, k, e.name): engines_cpu(program, e, m, k, threads)
                for m, k in SIZES for threads in (1, 2) for e in ENCODINGS}
    return {(name, m, k, e.name): engines_gpu(program, e, m, k, driver)
            for name, driver in DRIVERS.items() if driver.exists()
            for m, k in GPU_SIZES for e in ENCODINGS if e.name in GPU_ENCODINGS}


def measure(engines: dict, rounds: int) -> dict:
    """One engine after the other in each round, so that a slow minute of the machine hits all."""
    least = {}
    for _ in range(rounds):
        for name, engine in engines.items():
            ms = engine()
            if ms is not None:
                least[name] = min(ms, least.get(name, ms))
    return least


def show(case: tuple, least: dict, as_json: bool) -> None:
    device, m, k, encoding = case
    if as_json:
        print(json.dumps({"device": device, "m": m, "k": k, "n": k, "weights": encoding, "min_ms": least}), flush=True)
        return
    cells = [f"{device:12} {m:4} {k:5} {encoding:20}"]
    cells += [f"{least[own]:9.3f}" if own in least else f"{'–':>9}" for own in ("fewbit", "fewbit i8")]
    for peer, own in PEERS.items():
        theirs, ours = least.get(peer), least.get(own) or least.get("fewbit")
        cells.append(f"{theirs:9.3f} {ours / theirs:6.2f}" if ours and theirs else f"{'–':>9} {'–':>6}")
    print(" ".join(cells), flush=True)


def write_models(program: str, folder: Path) -> None:
    """The one-layer models of the browser bench: onnxruntime's, and ours from the float one."""
    folder.mkdir(parents=True, exist_ok=True)
    script, shape = HERE / "matmul_onnx.py", ["--m", "0", "--k", "2048", "--n", "2048"]
    for name, options in {"f32": ["--bits", "32"], "4bit-acc0": ["--bits", "4"],
                          "4bit-acc4": ["--bits", "4", "--accuracy", "4"],
                          "2bit-acc4": ["--bits", "2", "--accuracy", "4"]}.items():
        subprocess.run([PYTHON, script, folder / f"{name}.onnx", *shape, *options], check=True)
    for encoding in ("f32", "f16", "palette:4", "affine:4:group=32", "palette:3", "palette:2", "affine:2:group=32"):
        target = folder / f"{encoding.replace(':', '-')}.fewbit"
        subprocess.run([program, "compress", folder / "f32.onnx", "--output", target, "--weights", encoding],
                       check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fewbit")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="part of 'DEVICE M K ENCODING', as in 'cpu 1 256 2048 palette'")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--models", type=Path)
    args = parser.parse_args()
    if args.models:
        return write_models(args.fewbit, args.models)

    if not args.json:
        header = [f"{'device':12} {'M':>4} {'K=N':>5} {'weights':20} {'fewbit ms':>9} {'fewbit i8':>9}"]
        print(" ".join(header + [f"{peer:>9} {'ratio':>6}" for peer in PEERS]))
    for case, engines in cases(args.fewbit, args.gpu).items():
        if args.only in " ".join(map(str, case)):
            show(case, measure(engines, args.rounds), args.json)


if __name__ == "__main__":
    main()
