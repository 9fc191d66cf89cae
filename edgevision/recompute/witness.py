"""Whether the picture as a whole has moved so far that what was not recomputed is no longer right: asked of the network itself.

In: how far pools moved, and the context as it is now. Out: how far the answer must be thought to have moved where nothing else did. A
*witness* is one small crop, elsewhere each time, run with the fresh context and compared with the answer in use; how far its answer moved
over how far the pools did is its *slope*. One place is little evidence, so that the mean of the last slopes decides. Kept: these, the next
place, which places are fresh.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Float
from edgevision.recompute.anatomy import Spread
from edgevision.recompute.cover import Crop, Pattern, Size
from edgevision.recompute.seams import inner, loss
from edgevision.records import Box

_TURN = 0.618  # of all places from one to the next: neighbours in time are none in the picture
_NEAR_BEST = 0.9
_SLOPES = 8  # of the last witnesses
_EVERY = 4  # changes between two witnesses once so many are known
_OUTLIER = 2.0  # times what the answer may move by: from there on one witness alone decides


class Witness:
    """Chooses the places, and judges what was found there."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        height, width = min(pattern.seconds, key=lambda size: size[0] * size[1])
        rows, columns = (
            _starts(total, side, pattern.align_px) for total, side in zip(pattern.picture_px, (height, width), strict=True)
        )  # fmt: skip
        boxes = [(x, y, x + width, y + height) for y in rows for x in columns]
        order = np.argsort(np.arange(len(boxes)) * _TURN % 1, kind="stable")
        self._crops = [Crop(boxes[place], _core(boxes[place], pattern)) for place in order]
        self._cores = np.array([crop.core for crop in self._crops])
        self._next = 0
        self._slopes: deque[float] = deque(maxlen=_SLOPES)
        self._farthest = 0.0  # that pools had moved by where there was a witness
        self._waited = 0
        self._fresh: NDArray[np.bool_] = np.zeros(_squares_of(pattern), bool)  # squares written since all of it was

    def is_due(self, movement: float) -> bool:
        """Whether a witness is wanted, pools having moved by so much of their range: a few at first, then now and then, and wherever it
        has not been that far yet. Call once a change."""
        self._waited += 1
        is_known = len(self._slopes) == _SLOPES and movement <= self._farthest
        return not is_known or self._waited >= _EVERY

    def error(self, movement: float, answer: float | None = None) -> float:
        """How far the answer has moved, as far as witnesses can tell; `answer` is what one just found. Infinite where that is no number."""
        if answer is not None:
            self._waited = 0
            if not np.isfinite(answer) or not np.isfinite(movement):
                return float("inf")
            self._slopes.append(answer / movement)
            self._farthest = max(self._farthest, movement)
        return max(movement * float(np.mean(self._slopes)), (answer or 0.0) / _OUTLIER)

    def place(self, now: Mapping[str, Float], then: Mapping[str, Float], spreads: Mapping[str, Spread]) -> Crop:
        """The next place that is stale, and where the context (what of it lies on the picture) moved as much as it did anywhere."""
        scores = 1.0 - self._fresh_shares()
        x, y = (self._cores[:, :2] + self._cores[:, 2:]).T // 2
        for name, spread in spreads.items():
            if spread.rows is not None and spread.columns is not None:
                at = (..., y * spread.rows.den // spread.rows.num, x * spread.columns.den // spread.columns.num)
                scores *= np.abs(now[name][at] - then[name][at]).reshape(-1, len(x)).max(axis=0)
        turned = np.roll(scores, -self._next)
        chosen = (self._next + int(np.argmax(turned >= _NEAR_BEST * turned.max()))) % len(scores)
        self._next = (chosen + 1) % len(scores)
        return self._crops[chosen]

    def _fresh_shares(self) -> NDArray[np.float64]:
        """Of every place's core, the part that is fresh."""
        x1, y1, x2, y2 = -(-self._cores.T // self._pattern.align_px)
        sums = cv2.integral(self._fresh.view(np.uint8))
        shares: NDArray[np.float64] = (sums[y2, x2] - sums[y1, x2] - sums[y2, x1] + sums[y1, x1]) / ((x2 - x1) * (y2 - y1))
        return shares

    def note(self, crop: Crop) -> None:
        """What was written there is of the context as it is now."""
        self._fresh[self._squares(crop)] = True

    def reset(self) -> None:
        """All of the picture is stale from now on."""
        self._fresh[...] = False

    def _squares(self, crop: Crop) -> tuple[slice, slice]:
        align = self._pattern.align_px
        x1, y1, x2, y2 = crop.core
        return slice(y1 // align, -(-y2 // align)), slice(x1 // align, -(-x2 // align))


def answer_movement(
    found: Mapping[str, Float], kept: Mapping[str, Float], spreads: Mapping[str, Spread], crop: Crop, spans: Mapping[str, float]
) -> float:
    """How far what a crop gave lies from what is kept, as a share of its range; the worst tensor's, NaN where one is."""
    errors = []
    for name, spread in spreads.items():
        old = kept[name][(..., *spread.window(crop.core))]
        errors.append(loss(np.abs(inner(found[name], spread, crop) - old), spans[name]))
    return float(np.max(errors))


def _squares_of(pattern: Pattern) -> Size:
    """Rows and columns of the pattern's grid."""
    height, width = pattern.picture_px
    return -(-height // pattern.align_px), -(-width // pattern.align_px)


def _starts(total: int, side: int, align: int) -> list[int]:
    """Where crops that lie side by side begin, the last one at the picture's end."""
    step = max(align, side // align * align)
    return sorted({*range(0, total - side, step), total - side})


def _core(box: Box, pattern: Pattern) -> Box:
    """What of a crop has its full context."""
    height, width = pattern.picture_px
    align = pattern.align_px
    margin = -(-pattern.margin_px // align) * align
    x1, y1, x2, y2 = box
    return (
        x1 + margin if x1 else 0,
        y1 + margin if y1 else 0,
        x2 if x2 == width else (x2 - pattern.margin_px) // align * align,
        y2 if y2 == height else (y2 - pattern.margin_px) // align * align,
    )
