"""A network's last call as whoever doubts it sees it: what it was given, and what was handed out as its answer. Keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevision.records import Mask

Window = tuple[float, float, float, float]  # x1, y1, x2, y2 as shares of the picture

ENTRANCE, EMPTY, ANSWER = "the entrance", "an empty Memory", "the answer"  # beside steps, what an audit may name


class Call(NamedTuple):
    """`picture` and `live` as `next` took them, all live for a `first`; the `outputs` that are in use for it; `kept`, a picture of what was
    taken before where nothing is live, None where nobody has kept it."""

    picture: NDArray[Any]
    live: Mask
    outputs: Mapping[str, NDArray[np.float32]]
    kept: NDArray[Any] | None = None


def patch_of(window: Window, size: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of a window of (rows, columns): at least one of each."""
    (x1, y1, x2, y2), (rows, columns) = window, size
    top, left = min(int(y1 * rows), rows - 1), min(int(x1 * columns), columns - 1)
    return slice(top, max(int(y2 * rows), top + 1)), slice(left, max(int(x2 * columns), left + 1))


def strayed(said: Mapping[str, NDArray[np.float32]], kept: Mapping[str, NDArray[np.float32]], window: Window) -> int:
    """How many values of an answer are not, bit for bit, what is kept of it: of pictures (1, C, H, W) in the window, of others all."""
    count = 0
    for name, mine in kept.items():
        yours = said.get(name)
        if yours is None or yours.shape != mine.shape:
            return mine.size
        place = (..., *patch_of(window, mine.shape[2:])) if mine.ndim == 4 else (...,)
        one, other = (np.ascontiguousarray(array[place], np.float32).view(np.uint32) for array in (yours, mine))
        count += int(np.count_nonzero(one != other))
    return count
