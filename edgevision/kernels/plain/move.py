"""Moving pictures inside their buffers, the simple way: what stays is copied to its new place, all around it becomes blank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Buffer


def mover(buffers: Sequence[Buffer], kernels: Sequence[Any]) -> Callable[[NDArray[np.int64]], None]:
    """Keeps the promise of `forms.Backend.mover`. Origins stay where they are, so kernels need not know."""

    def move(shifts: NDArray[np.int64]) -> None:
        for buffer, (down, right) in zip(buffers, shifts.tolist(), strict=True):
            top, left, height, width = buffer.inner
            padded = buffer.padded
            old = padded[top : top + height, left : left + width].copy()
            padded[...] = buffer.blank
            rows, columns = stays(down, height), stays(right, width)
            kept = old[rows.start - down : rows.stop - down, columns.start - right : columns.stop - right]
            padded[top : top + height, left : left + width][rows, columns] = kept

    return move


def stays(shift: int, size: int) -> slice:
    """Where along an axis there is something that was there before; where it was is `shift` places earlier. Empty if nothing stays."""
    first, end = max(0, shift), size + min(0, shift)
    return slice(first, end) if first < end else slice(shift, shift)
