"""Whether the picture as a whole has moved so far that what was not recomputed is no longer right: asked of the network itself.

In: the context as it is now. Out: how far the answer has moved where nothing else did. A *witness* is one small crop, elsewhere on every
call, run with the fresh context and compared with the answer in use. Kept: the next place, which places are fresh.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Float
from edgevision.recompute.anatomy import Spread
from edgevision.recompute.cover import Crop, Pattern, Size
from edgevision.recompute.seams import inner, loss
from edgevision.records import Box

_TURN = 0.618  # of all places from one to the next: neighbours in time are none in the picture
_NEAR_BEST = 0.9


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
        self._next = 0
        self._fresh: NDArray[np.bool_] = np.zeros(_squares_of(pattern), bool)  # squares written since all of it was

    def place(self, moved: Mapping[str, tuple[Float, Spread]]) -> Crop:
        """The next place that is stale, and where the context moved (by tensor, (rows, columns)) as much as it did anywhere."""
        turned = [*self._crops[self._next :], *self._crops[: self._next]]
        scores = np.array([self._score(crop, moved) for crop in turned])
        chosen = int(np.argmax(scores >= _NEAR_BEST * scores.max()))
        self._next = (self._next + chosen + 1) % len(turned)
        return turned[chosen]

    def _score(self, crop: Crop, moved: Mapping[str, tuple[Float, Spread]]) -> float:
        stale = 1.0 - float(self._fresh[self._squares(crop)].mean())
        return stale * float(np.prod([far[spread.window(crop.core)].mean() for far, spread in moved.values()]))

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
