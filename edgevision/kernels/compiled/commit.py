"""New values of a run wait in a strip, a small array that stays in the cache, until they are compared with Memory and stored.

For kernels that do not make their values vector by vector (see `strip`): fill an array of floats, (pixel, channel), then `commit_strip` it.
`bind` makes `outline = Outline.of(target, gate, lanes)`, gives ShapeType(CommitShape(*outline.literals)) in the signature and passes None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.strip import Piece, Shape, Writer, write_strip


@dataclass(frozen=True)
class CommitShape(Shape):
    """New values lie in memory as floats, pixel after pixel."""

    places: ClassVar[tuple[str, ...]] = (*Shape.places, "strip", "strip_step")

    def writer(self, builder: Any, places: list[Any], numbers: list[Any]) -> Writer:
        """What emits it."""
        return CommitWriter(builder, self, places, numbers)


class CommitWriter(Writer):
    """Emits loads."""

    def begin(self, pixel: Any) -> None:
        """Where the pixel's new values are."""
        self.new = self.step("strip", "strip_step", pixel)

    def values(self, channel: Any, piece: Piece, pixels: int) -> list[Any]:
        """They are there."""
        return [self.read(self.new, channel, piece, "f32")]


@kernel
def commit_strip(strip, pixels, channels, target, target_step, live, gate, full, numbers, shape):
    """Encode, compare, store and mark `pixels` pixels; `target` and `live` are addresses of the first. The strip is used up.

    `full` and `numbers` are those of the Outline.
    """
    first = np.int64(strip.ctypes.data)
    write_strip((target, target_step, live, pixels, full, first, 0, first, channels * 4), (gate, *numbers), shape)
