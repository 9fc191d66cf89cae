# ruff: noqa: D103 - each operation is described once, in plain/boxes.py
"""Which of many boxes are told, compiled: the same operations and the same bits as `plain/boxes.py`, which documents them."""

import numpy as np

from edgevision.kernels.compiled.jit import kernel

LEAST = 0.7
LEFT, TAKEN = 1, 2


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
