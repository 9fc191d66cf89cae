"""Boxes that are pieces of one thing made one. In: boxes, likeliest first, of one label each. Out: fewer boxes. Keeps nothing.

A detector whose cells see less than a long defect is long tells it in pieces, each as likely as the other, which overlap too little to be
the same box. Of a chain of boxes that overlap, the hull is what somebody would draw around the defect.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEAST = 0.7  # of the likeliest one's score, for a piece to reach further than it; what is fainter is only dropped

Floats = NDArray[np.float64]


def joined(corners: Floats, labels: Sequence[int], scores: Sequence[float], share: float) -> list[tuple[int, Floats]]:
    """(place of the likeliest piece, hull x1 y1 x2 y2) of each chain, likeliest first.

    `corners` (N, 4), likeliest first; two boxes of a label hang together whose intersection is at least `share` of the smaller one.
    """
    hang = _overlaps(corners) >= share
    hang &= np.equal.outer(labels, labels)
    is_left, is_alone = np.ones(len(corners), np.bool_), (hang.sum(axis=1) < 2).tolist()
    chains = []
    for place in range(len(corners)):
        if is_alone[place]:
            chains.append((place, corners[place]))
        if is_alone[place] or not is_left[place]:
            continue
        is_left[place] = False
        pieces, open_pieces = [place], [place]
        while open_pieces:
            for other in np.flatnonzero(hang[open_pieces.pop()] & is_left).tolist():
                is_left[other] = False
                if scores[other] >= LEAST * scores[place]:
                    pieces.append(other)
                    open_pieces.append(other)
        own = corners[pieces]
        chains.append((place, np.concatenate([own[:, :2].min(axis=0), own[:, 2:].max(axis=0)])))
    return chains


def _overlaps(corners: Floats) -> Floats:
    """(N, N): intersections as shares of the smaller box; 0 where one has no area."""
    low = np.maximum(corners[:, None, :2], corners[None, :, :2])
    high = np.minimum(corners[:, None, 2:], corners[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=2)
    areas = np.prod(np.maximum(corners[:, 2:] - corners[:, :2], 0), axis=1)
    smaller = np.minimum.outer(areas, areas)
    return np.asarray(np.divide(both, smaller, out=np.zeros_like(both), where=smaller > 0))
