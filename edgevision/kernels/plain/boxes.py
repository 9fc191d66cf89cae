"""Which cells of a grid tell a box, and which of many boxes are told, slow and plain: the oracle of `compiled/boxes.py`.

scores   (row, column, values), reaches (row, column, 4): float32, cell by cell as they lie in memory
corners  (N, 4) x1, y1, x2, y2, the likeliest first;  labels (N,);  scores (N,)
hulls    (N, 4), kept (N,): room for what is told: the hull of each chain of boxes and the place of its likeliest piece
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST = 0.7  # of the likeliest one's score, for a piece to reach further than it; what is fainter is only dropped

Array = NDArray[Any]


def sift_cells(scores: Array, reaches: Array, start: int, least: float, input_px: tuple[int, int]) -> tuple[Array, Array]:
    """Corners (N, 4) in pixels of the network's input, and values (N, values), of the cells of which one value, from `start` on, is not
    below `least` (a float32): NaN is not. Row after row.

    A cell reaches left, up, right and down from its middle, and nowhere by less than nothing.
    """
    rows, columns = scores.shape[:2]
    row, column = np.nonzero(~(scores[..., start:] < np.float32(least)).all(axis=2))
    y, x = (row + 0.5) * (input_px[0] / rows), (column + 0.5) * (input_px[1] / columns)
    left, up, right, down = np.maximum(reaches[row, column], 0).T
    return np.stack([x - left, y - up, x + right, y + down], axis=1).astype(np.float32), scores[row, column]


def rank_boxes(boxes: Array, scores: Array, threshold: float, most: int) -> tuple[Array, Array, Array]:
    """Of boxes (N, 4) and scores (N, label), both float32: the likeliest `most` of those with a score of at least `threshold` (a float32),
    likeliest first, of equals the first one first. The boxes and their best scores are float64, their labels the first that has it.
    """
    best = scores.max(axis=1, initial=-np.inf)
    likely = np.flatnonzero(best >= np.float32(threshold))
    likely = likely[np.argsort(-best[likely], kind="stable")][:most]
    return boxes[likely].astype(np.float64), scores[likely].argmax(axis=1), best[likely].astype(np.float64)


def tell_boxes(corners: Array, labels: Array, scores: Array, overlap: float, join: float, hulls: Array, kept: Array) -> int:
    """Drop each box that a likelier one of its label overlaps, by more than `overlap` of both together; of what is left make one of each
    chain of boxes of a label that hang together, which they do if they share `join` of the smaller one (0: none do). Returns how many.

    A detector whose cells see less than a long defect is long tells it in pieces, each as likely as the other, which overlap too little to
    be the same box. Of a chain, the hull is what somebody would draw around the defect.
    """
    left: list[int] = []
    for place in range(len(corners)):
        if all(labels[place] != labels[other] or _share(corners[place], corners[other], False) <= overlap for other in left):
            left.append(place)
    count = 0
    while left:
        first = left.pop(0)
        hull, open_pieces = [corners[first]], [first]
        while open_pieces and join > 0:
            piece = open_pieces.pop(0)
            near = [other for other in left if labels[other] == labels[first] and _share(corners[piece], corners[other], True) >= join]
            left = [other for other in left if other not in near]
            likely = [other for other in near if scores[other] >= LEAST * scores[first]]
            hull += [corners[other] for other in likely]
            open_pieces += likely
        hulls[count] = (*np.min(hull, axis=0)[:2], *np.max(hull, axis=0)[2:])
        kept[count] = first
        count += 1
    return count


def _share(one: Array, other: Array, is_of_smaller: bool) -> float:
    """What two boxes share, of the smaller one or of both together; 0 where one has no area."""
    wide = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    high = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]) for box in (one, other)]
    if min(areas) <= 0.0:
        return 0.0
    return float(wide * high / (min(areas) if is_of_smaller else areas[0] + areas[1] - wide * high))
