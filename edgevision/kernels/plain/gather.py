"""Attention where each query has keys of its own, slow and plain: the oracle of `compiled/gather.py`. In: planes, lists. Out: values.

A score is a sum of fused products in LINE lanes, channel c in lane c modulo LINE, then lane to lane in halves; weights and their sum are as
`blocks.Attend` has them, over the keys in their order; values are fused sums in that order, divided by the weights. A NaN in what a query
keeps makes it NaN. Keeps nothing.
"""

from __future__ import annotations

import numpy as np

from edgevision.kernels.blocks import LINE, Whole
from edgevision.kernels.forms import Float, Plane
from edgevision.kernels.plain.attend import summed, weights_of
from edgevision.kernels.plain.exact import fma
from edgevision.kernels.plain.store import decode


def attend_each(todo: Whole, planes: tuple[Plane, Plane, Plane], kept: Whole, scale: np.float32, made: Float) -> None:
    """Into `made` (query, head, channel) for the (query, head) of `todo` (row, 2).

    `planes`: queries, keys, values; tokens count row by row. `kept` (query, head, place): the keys, ascending.
    """
    heads, channels = made.shape[1:]
    query, key, value = (decode(plane.values, plane.store).reshape(-1, heads, channels) for plane in planes)
    for head in range(heads):
        asking = todo[todo[:, 1] == head, 0]
        own = kept[asking, head]  # (row, place)
        with np.errstate(all="ignore"):
            scores = dotted(query[asking, head] * scale, key[own, head])
            weights = weights_of(scores - np.fmax.reduce(scores, axis=1, keepdims=True, initial=-np.inf))
            total = np.zeros((len(asking), channels), np.float32)
            for place in range(own.shape[1]):
                total = fma(weights[:, place, None], value[own[:, place], head], total)
            made[asking, head] = total / summed(weights)[:, None]


def dotted(queries: Float, keys: Float) -> Float:
    """(row, place): each query (row, channel) with its keys (row, place, channel)."""
    lanes = np.zeros((*keys.shape[:2], LINE), np.float32)
    for start in range(0, keys.shape[2], LINE):
        part = keys[:, :, start : start + LINE]
        width = part.shape[2]
        lanes[:, :, :width] = fma(queries[:, None, start : start + width], part, lanes[:, :, :width])
    while lanes.shape[2] > 1:
        half = lanes.shape[2] // 2
        lanes = lanes[:, :, :half] + lanes[:, :, half:]
    return np.asarray(lanes[:, :, 0])
