"""Which pixels a run list names, and how new values replace old ones: compared first, so that only real changes are handed on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Float, Plane, Runs
from edgevision.kernels.plain.store import decode, encode

Indices = NDArray[np.int64]


def pixels(runs: Runs, begin: int, end: int) -> tuple[Indices, Indices]:
    """(rows, columns) of every pixel in runs[begin:end]."""
    chosen = runs[begin:end].astype(np.int64)
    if not len(chosen):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    lengths = chosen[:, 2] - chosen[:, 1]
    columns = np.concatenate([np.arange(start, stop) for _, start, stop in chosen])
    return np.repeat(chosen[:, 0], lengths), columns


def commit(target: Plane, rows: Indices, columns: Indices, new: Float, gate: float) -> None:
    """Store the pixels of `new` (pixel, channel), as the target holds them, that moved by more than the gate in any channel; mark them.

    A gate of 0 compares what is held, bit by bit, so -0 and NaN are changes.
    """
    values, held = target.values, encode(new, target.store)
    old = values[rows, columns]
    if gate > 0:
        with np.errstate(invalid="ignore"):
            hit = ~(np.abs(decode(held, target.store) - decode(old, target.store)) <= np.float32(gate)).all(axis=1)
    else:
        bits = f"u{held.itemsize}"
        hit = (np.ascontiguousarray(held).view(bits) != old.view(bits)).any(axis=1)
    values[rows[hit], columns[hit]] = held[hit]
    target.live[rows[hit], columns[hit]] = 1
