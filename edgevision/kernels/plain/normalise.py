"""A pixel's channels moved to mean 0 and scaled to variance 1, as layer normalisation begins: (v - mean) * (1 / sqrt(variance + epsilon)).

A sum over channels is taken in LANES lanes, channel c in lane c % LANES, then lane to lane in halves, so that it fits every CPU's vectors.
"""

from __future__ import annotations

import numpy as np

from edgevision.kernels.forms import Across, Float, Kernel, Plane, Runs
from edgevision.kernels.plain.commit import commit, pixels
from edgevision.kernels.plain.store import decode

LANES = 16


def bind(form: Across, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""
    source = sources[0]

    def kernel(runs: Runs, begin: int, end: int) -> None:
        rows, columns = pixels(runs, begin, end)
        with np.errstate(all="ignore"):
            new = normalise(decode(source.values[rows, columns], source.store), np.float32(form.epsilon))
        commit(target, rows, columns, new, float(gate[0]))

    return kernel


def normalise(v: Float, epsilon: np.float32) -> Float:
    """Of each row of (pixel, channel)."""
    count = np.float32(v.shape[1])
    apart = v - lane_sum(v) / count
    inverse = np.float32(1) / np.sqrt(lane_sum(apart * apart) / count + epsilon)
    return np.asarray(apart * inverse, np.float32)


def lane_sum(v: Float) -> Float:
    """(pixel, 1): the sum of each row."""
    padded = np.zeros((len(v), -(-v.shape[1] // LANES) * LANES), np.float32)
    padded[:, : v.shape[1]] = v
    lanes = np.zeros((len(v), LANES), np.float32)
    for start in range(0, padded.shape[1], LANES):
        lanes = lanes + padded[:, start : start + LANES]
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes
