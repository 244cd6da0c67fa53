#!/usr/bin/env python3
"""Write src/formats/gguf/grids.bin: the grids of vectors that ggml's types IQ1, IQ2 and IQ3 fix, from the package gguf.

    python3 -m venv V && V/bin/pip install gguf==0.19.0
    V/bin/python pkg-scripts/ggml_grids.py

Run by hand; the file is committed. An entry is a little-endian u16: of a grid with eight coordinates a vector the indices
of their values in two bits each, with four in three bits each, the first lowest. Values are in the order of `VALUES`.
"""
from pathlib import Path

import numpy as np
from gguf import quants

OUT = Path(__file__).resolve().parent.parent / "src/formats/gguf/grids.bin"
# In the order of the constants in src/formats/gguf/grids.rs.
GRIDS = ["IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S"]
VALUES = {"IQ2": [8, 25, 43], "IQ3_XXS": [4, 12, 20, 28, 36, 44, 52, 62], "IQ3_S": [1, 3, 5, 7, 9, 11, 13, 15],
          "IQ1": [-1, 0, 1]}


def entries(name: str) -> np.ndarray:
    kind = getattr(quants, name)
    kind.init_grid()
    vectors = kind.grid.reshape(kind.grid_shape)
    values = next(values for prefix, values in VALUES.items() if name.startswith(prefix))
    indices = np.searchsorted(values, vectors)
    assert (np.array(values)[indices] == vectors).all(), name
    bits = {8: 2, 4: 3}[vectors.shape[1]]
    return (indices << (bits * np.arange(vectors.shape[1]))).sum(1).astype("<u2")


OUT.write_bytes(b"".join(entries(name).tobytes() for name in GRIDS))
