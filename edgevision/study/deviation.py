"""How far an engine's answers lie from the reference's, over many frames, as shares of each output's range. In: answers. Out: numbers.

The measure of benchmarks, about arithmetic: `worst` is the largest difference anywhere. For what gates cost, see `disagreement`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError


class Deviation:
    """Keeps, by output, the reference's range and the differences seen so far."""

    def __init__(self) -> None:
        self._outputs: list[_Output] = []

    def add(self, answer: Sequence[NDArray[Any]], reference: Sequence[NDArray[Any]]) -> None:
        """One frame's outputs, in the file's order. Raises InputError where they are not the same outputs."""
        shapes = [tuple(part.shape) for part in answer], [tuple(part.shape) for part in reference]
        if shapes[0] != shapes[1]:
            raise InputError(f"outputs of {shapes[0]} cannot be compared with those of {shapes[1]}; both must come from one network")
        self._outputs = self._outputs or [_Output() for _ in reference]
        for output, got, wanted in zip(self._outputs, answer, reference, strict=True):
            output.add(np.asarray(got, np.float32), np.asarray(wanted, np.float32))

    @property
    def worst(self) -> float | None:
        """The largest difference of any value of any output, as a share of the output's range; None before the first frame."""
        return max((output.share(output.largest) for output in self._outputs), default=None)

    @property
    def rms(self) -> float | None:
        """The root mean square difference of the output where it is largest, as a share of its range."""
        return max((output.share((output.squares / max(output.values, 1)) ** 0.5) for output in self._outputs), default=None)


class _Output:
    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf
        self.largest = self.squares = 0.0
        self.values = 0

    def add(self, got: NDArray[np.float32], wanted: NDArray[np.float32]) -> None:
        """One frame. Equal infinities, and NaN for NaN, do not differ."""
        known = wanted[np.isfinite(wanted)]
        if known.size:
            self.low, self.high = min(self.low, float(known.min())), max(self.high, float(known.max()))
        with np.errstate(invalid="ignore"):
            difference = np.abs(got - wanted)
        if not np.isfinite(difference).all():
            difference[(got == wanted) | (np.isnan(got) & np.isnan(wanted))] = 0.0
            difference[np.isnan(difference)] = np.inf
        self.largest = max(self.largest, float(difference.max(initial=0.0)))
        self.squares += float(np.square(difference, dtype=np.float64).sum())
        self.values += difference.size

    def share(self, difference: float) -> float:
        """Of the range; an output that is always the same is measured by its own size."""
        span = self.high - self.low
        return difference / (span if span > 0 else max(abs(self.low), 1.0) if np.isfinite(self.low) else 1.0)
