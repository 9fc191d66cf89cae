# ruff: noqa: D103 - each operation is described once, in plain/boxes.py
"""Which cells tell a box, and which boxes are told, compiled: the same bits as `plain/boxes.py`, which documents the operations."""

import numpy as np
from numba import types

from edgevision.kernels.compiled.jit import kernel, specialize

LEAST = 0.7
LEFT, TAKEN = 1, 2
BLOCK = 128  # values looked at together; most blocks hold nothing likely
f4 = np.float32


@kernel
def _holds(part, least):
    found = np.uint32(0)
    for k in range(len(part)):  # without a way out, so that it becomes vector code
        found |= np.uint32(not part[k] < least)
    return found != 0


@kernel
def _find(flat, values, start, least, cells):
    count, cell = 0, 0  # the first that was not looked at
    for low in range(0, len(flat), BLOCK):
        high = min(low + BLOCK, len(flat))
        if not _holds(flat[low:high], least):
            continue
        cell = max(cell, low // values)
        while cell * values < high:
            if _holds(flat[cell * values + start : (cell + 1) * values], least):
                cells[count] = cell
                count += 1
            cell += 1
    return count


@kernel
def sift_cells(scores, reaches, start, least, input_px):
    rows, columns, values = scores.shape
    cells = np.empty(rows * columns, np.int64)
    count = _find(scores.reshape(scores.size), values, start, least, cells)
    high, wide = input_px[0] / rows, input_px[1] / columns
    corners, found = np.empty((count, 4), np.float32), np.empty((count, values), np.float32)
    for n in range(count):
        row, column = cells[n] // columns, cells[n] % columns
        y, x = (row + 0.5) * high, (column + 0.5) * wide
        reach = reaches[row, column]
        corners[n, 0] = x - (f4(0) if reach[0] < 0 else reach[0])
        corners[n, 1] = y - (f4(0) if reach[1] < 0 else reach[1])
        corners[n, 2] = x + (f4(0) if reach[2] < 0 else reach[2])
        corners[n, 3] = y + (f4(0) if reach[3] < 0 else reach[3])
        for k in range(values):
            found[n, k] = scores[row, column, k]
    return corners, found


@kernel
def _best(values):
    place = 0
    for k in range(len(values)):
        if values[k] != values[k]:
            return k
        if values[k] > values[place]:
            place = k
    return place


@kernel
def rank_boxes(boxes, scores, threshold, most):
    likely, best = np.empty(len(scores), np.int64), np.empty(len(scores), np.float32)
    count = 0
    for n in range(len(scores)):
        value = scores[n, _best(scores[n])]
        if value >= threshold:
            likely[count], best[count] = n, -value
            count += 1
    order = np.argsort(best[:count], kind="mergesort")[:most]
    corners, labels, values = np.empty((len(order), 4)), np.empty(len(order), np.int64), np.empty(len(order))
    for place in range(len(order)):
        n = likely[order[place]]
        labels[place] = _best(scores[n])
        values[place] = scores[n, labels[place]]
        for k in range(4):
            corners[place, k] = boxes[n, k]
    return corners, labels, values


@kernel
def _share(one, other, is_of_smaller):
    wide = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    high = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    first = max(0.0, one[2] - one[0]) * max(0.0, one[3] - one[1])
    second = max(0.0, other[2] - other[0]) * max(0.0, other[3] - other[1])
    if min(first, second) <= 0.0:
        return 0.0
    return wide * high / (min(first, second) if is_of_smaller else first + second - wide * high)


@kernel
def _widen(hull, box):
    for k in range(2):
        hull[k] = min(hull[k], box[k])
        hull[k + 2] = max(hull[k + 2], box[k + 2])


@kernel
def _chain(corners, labels, scores, join, state, first, queue, hull):
    queue[0] = first
    head, count = 0, 1
    while head < count:
        piece = queue[head]
        head += 1
        for other in range(first + 1, len(corners)):
            if state[other] == LEFT and labels[other] == labels[first] and _share(corners[piece], corners[other], True) >= join:
                state[other] = TAKEN
                if scores[other] >= LEAST * scores[first]:
                    _widen(hull, corners[other])
                    queue[count] = other
                    count += 1


@kernel
def tell_boxes(corners, labels, scores, overlap, join, hulls, kept):
    state, queue = np.zeros(len(corners), np.uint8), np.empty(len(corners), np.int64)
    for place in range(len(corners)):
        state[place] = LEFT
        for other in range(place):
            if state[other] == LEFT and labels[place] == labels[other] and _share(corners[place], corners[other], False) > overlap:
                state[place] = 0
                break
    count = 0
    for first in range(len(corners)):
        if state[first] != LEFT:
            continue
        state[first] = TAKEN
        hulls[count] = corners[first]
        kept[count] = first
        if join > 0:
            _chain(corners, labels, scores, join, state, first, queue, hulls[count])
        count += 1
    return count


class Boxes:
    """The kernels for float32 outputs, compiled when it is made."""

    def __init__(self) -> None:
        cells, listed = (types.Array(types.float32, ndim, layout, readonly=True) for ndim, layout in ((3, "C"), (2, "A")))
        table, numbers, places = types.float64[:, ::1], types.float64[::1], types.int64[::1]
        size = types.UniTuple(types.int64, 2)
        self.sift = specialize(sift_cells, (cells, cells, types.int64, types.float32, size))
        self.rank = specialize(rank_boxes, (listed, listed, types.float32, types.int64))
        self.tell = specialize(tell_boxes, (table, places, numbers, types.float64, types.float64, table, places))
