"""Has something settled on the lens: is one place of the picture darker or brighter beside those around it than it has ever been?

In: of each field of the picture how bright it is beside the whole, in the one row that a sample looks at, and which row that was
(`door.py`). Out: how far each field lies outside of what it was. Keeps nothing; `Ranges` is what was learnt.

A field that parts pass through is now this bright, now that, and how often is the line's affair; so what is learnt of it is from where to
where it usually went, row by row, for neither is what stands in one row that of another. A block of samples has strayed as far as its
median lies outside: a stain darkens all that is seen through it, while a part that stands there for longer than usual is nothing new. And
what the fields about one do, too, is light: daylight from one side is no stain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.recompute.door import BANDS, FIELDS, LEAST, Vector

ROWS = 8  # into which a band is divided
USUAL = (0.1, 0.9)  # quantiles of the samples that fell into one of these
AROUND = 5  # fields, wide and high, whose median is what is about one
OWN_TIMES = 3.0  # times what blocks that were learnt lay outside of those learnt before them
FEW = 8  # samples, from which nothing usual can be told
ANYTHING = (LEAST, 1 / LEAST)  # where there were no more
DIGITS = 5

Samples = NDArray[np.float64]  # (sample, BANDS + BANDS * FIELDS): where in its band each row lies, 0 to 1, and the fields


@dataclass(frozen=True, slots=True)
class Ranges:
    """From where to where each field went, (ROWS, BANDS, FIELDS) each; `own`, (BANDS * FIELDS): how far it strays by itself."""

    low: Samples
    high: Samples
    own: Vector

    @classmethod
    def of(cls, blocks: list[Samples]) -> Self:
        """What is learnt of blocks of samples."""
        half = (len(blocks) + 1) // 2
        before = cls(*_ranges(np.concatenate(blocks[:half])), np.zeros(BANDS * FIELDS))
        own = np.max([np.abs(beside(before.strayed(block))) for block in blocks[half:]], axis=0)
        return cls(*_ranges(np.concatenate(blocks)), own)

    def strayed(self, block: Samples) -> Vector:
        """How far each field's median lies outside: a logarithm, below 0 where it is darker."""
        out = np.empty((len(block), BANDS, FIELDS))
        rows, fields = _parted(block)
        for band in range(BANDS):
            seen, low, high = fields[:, band], self.low[rows[:, band], band], self.high[rows[:, band], band]
            out[:, band] = np.minimum(np.log(seen / low), 0.0) + np.maximum(np.log(seen / high), 0.0)
        return np.asarray(np.median(out, axis=0).ravel(), np.float64)

    def farthest(self, strayed: Vector, limit: float) -> tuple[float, float, float | None]:
        """Of the field that has strayed most: how far, of its limit; that limit; and how bright it is beside what it was."""
        alone, limits = beside(strayed), np.maximum(limit, OWN_TIMES * self.own)
        reached = np.abs(alone) / limits
        place = int(np.argmax(reached))
        return float(reached[place]), float(limits[place]), float(np.exp(alone[place]))

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {name: np.round(getattr(self, name), DIGITS).tolist() for name in ("low", "high", "own")}

    @classmethod
    def restored(cls, plain: dict[str, Any]) -> Self:
        """From `plain`. Raises KeyError, TypeError, ValueError for what is no such thing."""
        low, high, own = (np.array(plain[name], np.float64) for name in ("low", "high", "own"))
        is_such = low.shape == high.shape == (ROWS, BANDS, FIELDS) and own.shape == (BANDS * FIELDS,)
        if not is_such or not all(np.isfinite(each).all() for each in (low, high, own)) or min(low.min(), high.min()) <= 0:
            raise ValueError("the fields of the picture are other ones")
        return cls(low, high, own)


def beside(strayed: Vector) -> Vector:
    """How far each field has strayed beside those around it, and by itself, whichever is less."""
    picture = strayed.reshape(BANDS, FIELDS).astype(np.float32)
    apart = (picture - cv2.medianBlur(picture, AROUND)).ravel()
    return np.asarray(np.where(apart * strayed > 0, np.sign(apart) * np.minimum(np.abs(apart), np.abs(strayed)), 0.0), np.float64)


def _parted(samples: Samples) -> tuple[NDArray[np.intp], Samples]:
    """Which row of each band was seen, (sample, BANDS), and the fields, (sample, BANDS, FIELDS)."""
    rows = np.minimum(samples[:, :BANDS] * ROWS, ROWS - 1).astype(np.intp)
    return rows, np.maximum(samples[:, BANDS:], LEAST).reshape(-1, BANDS, FIELDS)


def _ranges(samples: Samples) -> tuple[Samples, Samples]:
    """The lowest and the highest that are usual, by row, band and field."""
    low, high = (np.full((ROWS, BANDS, FIELDS), value) for value in ANYTHING)
    rows, fields = _parted(samples)
    for band in range(BANDS):
        for row in range(ROWS):
            here = fields[rows[:, band] == row, band]
            if len(here) > FEW:
                low[row, band], high[row, band] = np.quantile(here, USUAL, axis=0)
    return low, high
