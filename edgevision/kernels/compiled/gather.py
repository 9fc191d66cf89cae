"""Attention where each query has keys of its own, gathered one by one; see `plain/gather.py`. For study: one thread does it."""

from __future__ import annotations

import numpy as np
from numba import carray, types

from edgevision.kernels.blocks import LINE, Whole
from edgevision.kernels.compiled.attend import lines, scaled
from edgevision.kernels.compiled.cpu import detect
from edgevision.kernels.compiled.exact import fma
from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.compiled.native import at
from edgevision.kernels.compiled.product import Shape, ShapeType, peak, weigh
from edgevision.kernels.forms import Float, Plane

_TABLE, _CUBE = types.int32[:, ::1], types.int32[:, :, ::1]


@kernel
def dotted(query, key, lanes):
    """The sum of the products, in lanes and in halves."""
    for lane in range(LINE):
        lanes[lane] = 0.0
    for start in range(0, query.shape[0], LINE):
        for lane in range(min(LINE, query.shape[0] - start)):
            lanes[lane] = fma(query[start + lane], key[start + lane], lanes[lane])
    half = LINE // 2
    while half > 0:
        for lane in range(half):
            lanes[lane] += lanes[lane + half]
        half //= 2
    return lanes[0]


@kernel
def add_weighted(weight, value, target):
    """A value times its weight."""
    for c in range(target.shape[0]):
        target[c] = fma(weight, value[c], target[c])


@kernel
def gather_each(todo, table, kept, scale, made, shape):
    """All rows of `todo`. `table` (3, 4): queries, keys, values: address, bytes a row, a pixel, columns."""
    channels, most = made.shape[2], kept.shape[2]
    own, lanes = np.empty(channels, np.float32), np.empty(LINE, np.float32)
    full = (most + LINE - 1) // LINE
    scores = np.empty(full * LINE, np.float32)
    for row in range(todo.shape[0]):
        token, head, target = todo[row, 0], todo[row, 1], made[todo[row, 0], todo[row, 1]]
        address = table[0, 0] + token // table[0, 3] * table[0, 1] + token % table[0, 3] * table[0, 2] + 4 * head * channels
        scaled(carray(at(address, np.float32), (channels,)), scale, own)
        scores[:] = -np.inf
        for place in range(most):
            key = kept[token, head, place]
            address = table[1, 0] + key // table[1, 3] * table[1, 1] + key % table[1, 3] * table[1, 2] + 4 * head * channels
            scores[place] = dotted(own, carray(at(address, np.float32), (channels,)), lanes)
        top = peak(scores.ctypes.data, full, shape)
        total = weigh(scores.ctypes.data, full, top, shape)
        target[:] = 0.0
        for place in range(most):
            key = kept[token, head, place]
            address = table[2, 0] + key // table[2, 3] * table[2, 1] + key % table[2, 3] * table[2, 2] + 4 * head * channels
            add_weighted(scores[place], carray(at(address, np.float32), (channels,)), target)
        for c in range(channels):
            target[c] /= total


def attend_each(todo: Whole, planes: tuple[Plane, Plane, Plane], kept: Whole, scale: np.float32, made: Float) -> None:
    """Into `made` (query, head, channel) for the (query, head) of `todo` (row, 2)."""
    table = np.array([(*lines(plane), plane.width) for plane in planes], np.int64)
    signature = (_TABLE, types.int64[:, ::1], _CUBE, types.float32, types.float32[:, :, ::1], ShapeType(Shape(detect().lanes)))
    specialize(gather_each, signature)(np.ascontiguousarray(todo), table, np.ascontiguousarray(kept), scale, made, None)
