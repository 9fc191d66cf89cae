"""What a detector of `networks/detector.py` is taught. In: boxes, outputs. Out: targets, losses. Keeps nothing.

A cell whose middle lies near the middle of a box answers for it; those a little further off are not asked; all others are to be silent.
Along the sides of a large box more cells answer, and more are not asked: each sees but a part of what is longer than its sight, and looks
like its neighbour.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from edgevision.networks.detector import STRIDE

Floats = NDArray[np.float32]
ANSWER_PX, SILENT_PX = 9.0, 17.0  # a cell nearer than the one answers, one further than the other is silent
ANSWER_SHARE, SILENT_SHARE = 0.15, 0.4  # of a box's side, where that is more
BLIND_CELLS = 3  # along a cut side of a crop, where a cell does not see all that it will see in service
HARD = 1.5  # how much less what is already right counts


class Targets(NamedTuple):
    """By cell: `labels` (labels, rows, columns) 0 or 1, `weights` (rows, columns), `edges` (4, rows, columns) in pixels."""

    labels: Floats
    weights: Floats
    edges: Floats


def targets_of(boxes: Floats, cut: NDArray[np.bool_], labels: int, cells: int) -> Targets:
    """For one square crop of so many cells; `cut`: is it cut at left, top, right, bottom, and not the picture's own edge."""
    middle = (np.arange(cells, dtype=np.float32) + 0.5) * STRIDE
    x, y = np.meshgrid(middle, middle)
    named, weights = np.zeros((labels, cells, cells), np.float32), np.ones((cells, cells), np.float32)
    edges, nearest = np.zeros((4, cells, cells), np.float32), np.full((cells, cells), np.inf, np.float32)
    for label, x1, y1, x2, y2 in boxes:
        sides = (np.abs(x - (x1 + x2) / 2), x2 - x1), (np.abs(y - (y1 + y2) / 2), y2 - y1)
        off = np.maximum(*(away / max(ANSWER_PX, ANSWER_SHARE * side) for away, side in sides))
        is_near = np.logical_and(*(away < max(SILENT_PX, SILENT_SHARE * side) for away, side in sides))
        weights[is_near & (off >= 1) & ~named.any(axis=0)] = 0
        own = (off < 1) & (off < nearest)
        nearest[own] = off[own]
        named[:, own], weights[own] = 0, 1
        named[int(label), own] = 1
        edges[:, own] = np.stack([x - x1, y - y1, x2 - x, y2 - y])[:, own]
    for side, is_cut in enumerate(cut):
        if is_cut:
            weights[((slice(None), slice(None, BLIND_CELLS)), (slice(None, BLIND_CELLS),), (slice(None), slice(-BLIND_CELLS, None)),
                     (slice(-BLIND_CELLS, None),))[side]] = 0  # fmt: skip
    return Targets(named, weights, edges)


def loss_of(scores: torch.Tensor, edges: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Focal cross entropy of the labels, plus how far the boxes of answering cells are from overlapping the true ones.

    `scores` (n, labels, rows, columns) logits, `labels` alike; `edges`, `truth` (n, 4, rows, columns) pixels; `weights` (n, rows, columns).
    """
    entropy = functional.binary_cross_entropy_with_logits(scores, labels, reduction="none")
    hard = entropy * (1 - torch.exp(-entropy)) ** HARD * weights[:, None]
    answering = (labels.amax(dim=1) > 0) & (weights > 0)
    count = answering.sum().clamp(min=1)
    found, true = (e.permute(0, 2, 3, 1)[answering] for e in (edges, truth))
    return hard.sum() / count + 1.5 * (1 - overlaps(found, true)).sum() / count


def overlaps(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Generalised intersection over union of boxes (n, 4) around one point each, given as distances to left, top, right, bottom."""
    found = functional.softplus(found, beta=2.0)
    inner = torch.minimum(found, true)
    outer = torch.maximum(found, true)
    both = (inner[:, 0] + inner[:, 2]).clamp(min=0) * (inner[:, 1] + inner[:, 3]).clamp(min=0)
    areas = [(e[:, 0] + e[:, 2]) * (e[:, 1] + e[:, 3]) for e in (found, true, outer)]
    either = areas[0] + areas[1] - both
    return both / either - (areas[2] - either) / areas[2]
