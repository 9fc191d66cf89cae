"""How what a crop gave is set into what is kept. In: a crop's tensors, the kept ones, written in place. Out: what moved. Keeps nothing.

Seams: only a crop's core is written, as only its pixels had their full context; so nothing is blended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Float
from edgevision.recompute.anatomy import Size, Spread
from edgevision.recompute.cover import Crop

Flags = NDArray[np.bool_]
_SHARE = 0.999  # of values by which an error is judged


def inner(found: Float, spread: Spread, crop: Crop) -> Float:
    """The core's part of what a crop gave."""
    box, core = spread.window(crop.box), spread.window(crop.core)
    rows, columns = (slice(one.start - whole.start, one.stop - whole.start) for whole, one in zip(box, core, strict=True))
    return found[..., rows, columns]


def insert(kept: Mapping[str, Float], found: Mapping[str, Float], spreads: Mapping[str, Spread], crop: Crop) -> None:
    """Write the core."""
    for name, spread in spreads.items():
        kept[name][(..., *spread.window(crop.core))] = inner(found[name], spread, crop)


def insert_moved(
    kept: Mapping[str, Float], found: Mapping[str, Float], spreads: Mapping[str, Spread], crop: Crop, limits: Mapping[str, float], side: int
) -> Flags:
    """Write those squares of the core, `side` pixels each, in which a value of any tensor moved by more than that tensor's limit, in all of
    them; the others keep what their readers saw. Returns which they are, (rows, columns)."""
    x1, y1, x2, y2 = crop.core
    moved = np.zeros((-(-(y2 - y1) // side), -(-(x2 - x1) // side)), bool)
    pairs = [(inner(found[name], spread, crop), kept[name][(..., *spread.window(crop.core))]) for name, spread in spreads.items()]
    for (name, spread), (new, old) in zip(spreads.items(), pairs, strict=True):
        far = new - old
        np.abs(far, out=far)
        moved |= _coarser(~(far.reshape(-1, *old.shape[-2:]).max(axis=0) <= limits[name]), moved.shape, _cells(spread, side))
    for spread, (new, old) in zip(spreads.values(), pairs, strict=True):
        down, across = _cells(spread, side)
        where = moved.repeat(down, axis=0).repeat(across, axis=1)[: old.shape[-2], : old.shape[-1]]
        np.copyto(old, new, where=True if moved.all() else where)
    return moved


def _cells(spread: Spread, side: int) -> tuple[int, int]:
    """How many cells of a tensor lie on a square of that side, down and across."""
    if spread.rows is None or spread.columns is None:
        return 1, 1
    return side * spread.rows.den // spread.rows.num, side * spread.columns.den // spread.columns.num


def _coarser(fine: Flags, shape: Size, ratios: Size) -> Flags:
    """Whether any of the cells on each square is set."""
    down, across = ratios
    padded: Flags = np.zeros((shape[0] * down, shape[1] * across), bool)
    padded[: fine.shape[0], : fine.shape[1]] = fine
    rows = np.asarray(padded.reshape(shape[0], down, shape[1] * across).any(axis=1), bool)
    return np.asarray(rows.reshape(shape[0], shape[1], across).any(axis=2), bool)


def span_of(values: NDArray[Any]) -> float:
    """The range of a tensor, by which errors are measured; 0 for whole numbers, which are labels and either equal or not."""
    return 0.0 if values.dtype.kind in "iub" else max(float(np.ptp(values)), 1e-30)


def loss(errors: NDArray[Any], span: float) -> float:
    """What is missing, as a share of the range: of 99.9 % of the values at most. Of labels, the share that differs."""
    return float(np.quantile(errors, _SHARE)) / span if span else float(np.mean(errors != 0))
