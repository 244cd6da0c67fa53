#!/usr/bin/env python3
"""Size of whisper-tiny.en in few bits, and how far what it writes down strays from the float model: a row per encoding.

    pkg-scripts/quality_speech.py --calibrate FOLDER --score SOUND… [--program FEWBIT] [--weights ENCODING…]

FOLDER holds the sound files to calibrate with, none of those to score. Errors are edits (Levenshtein) over the float
model's tokens and words, of all files together. Each row takes some minutes.
"""
import argparse
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("FEWBIT_CACHE") or Path.home() / ".cache" / "fewbit")
MODEL = CACHE / "models" / "whisper_tiny_en"
# The encoder does not stand 4 bits.
ENCODINGS = ["encoder=palette:6:scale palette:4:scale", "encoder=palette:6:scale palette:3:scale", "palette:4:scale"]


def fewbit(program: str, *words) -> dict:
    done = subprocess.run([program, *map(str, words), "--device", "cpu", "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout.splitlines()[-1])


def edits(want: list, got: list) -> int:
    row = list(range(len(got) + 1))
    for i, a in enumerate(want, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(got, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


def words(text: str) -> list:
    return re.findall(r"[a-z0-9']+", text.lower())


def measure(args: argparse.Namespace, encoding: str, guided: bool, wanted: list) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.fewbit"
        guide = ["--calibrate", args.calibrate] if guided else []
        rules = [word for rule in encoding.split() for word in ("--weights", rule)]
        report = fewbit(args.program, "compress", MODEL, "--output", out, *rules, *guide)
        found = [fewbit(args.program, "caption", out, sound) for sound in args.score]
    pairs = list(zip(wanted, found))
    tokens = sum(edits(a["ids"], b["ids"]) for a, b in pairs) / sum(len(a["ids"]) for a in wanted)
    wer = sum(edits(words(a["text"]), words(b["text"])) for a, b in pairs) / sum(len(words(a["text"])) for a in wanted)
    same = sum(a["ids"] == b["ids"] for a, b in pairs)
    return {"encoding": encoding, "calibrated": guided, "bytes": report["bytes"], "bits": report["bits_per_weight"],
            "token_errors": tokens, "word_errors": wer, "same": same, "files": len(pairs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calibrate", type=Path, required=True, help="folder of sound files to calibrate with")
    parser.add_argument("--score", type=Path, nargs="+", required=True, help="sound files to score, others")
    parser.add_argument("--program", default=str(ROOT / "target" / "release" / "fewbit"), help="the fewbit to measure")
    parser.add_argument("--weights", nargs="+", default=ENCODINGS, help="encodings, or several rules with spaces between, each with and without calibration")
    args = parser.parse_args()
    wanted = [fewbit(args.program, "caption", MODEL, sound) for sound in args.score]
    for encoding in args.weights:
        for guided in [True, False]:
            print(json.dumps(measure(args, encoding, guided, wanted)), flush=True)


if __name__ == "__main__":
    main()
