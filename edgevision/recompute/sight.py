"""What each output of a step sees along one axis, and so which outputs a moved picture leaves as they are. Keeps nothing.

In: a form and sizes. Out: a Sight for each source. An output that has moved along with what it sees keeps its value, unless what it sees
lies over the picture's edge, before or after: there zeros, or nothing, took the place of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Axis, Broadcast, Convolve, Form, Pick, Pool, Resize, Total

Places = NDArray[np.int64]

_GUESSES = 4


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """`first` and `last` (output): the places of a source of `size` that each output sees, perhaps beyond its ends; `is_blind` (output)
    where it sees none. `rest` (output): whatever else shapes its value, as a number."""

    size: int
    first: Places
    last: Places
    is_blind: NDArray[np.bool_]
    rest: Places

    @classmethod
    def of(cls, size: int, first: Places, last: Places, is_blind: NDArray[np.bool_] | None = None, rest: Places | None = None) -> Sight:
        """Nothing is blind, and there is no more to it, unless given."""
        blind = np.zeros(len(first), np.bool_) if is_blind is None else is_blind
        return cls(size, first, last, blind, np.zeros(len(first), np.int64) if rest is None else rest)

    def stays(self, source_shift: int, shift: int) -> NDArray[np.bool_]:
        """(output): whether it is what it was, `shift` places before, when the source has moved by so much."""
        places = np.arange(len(self.first))
        was = places - shift
        is_there = (was >= 0) & (was < len(places))
        was = np.clip(was, 0, len(places) - 1)
        alike = (self.first - self.first[was] == source_shift) & (self.last - self.last[was] == source_shift)
        if source_shift:
            inside = (self.first >= 0) & (self.last < self.size)
            alike &= inside & inside[was]
        alike = np.where(self.is_blind, self.is_blind[was], alike & ~self.is_blind[was])
        return np.asarray(is_there & alike & (self.rest == self.rest[was]))

    def ratio(self) -> Fraction | None:
        """How many of the source's places are one of the output's, where they move together: of some guesses the best; None if none is."""
        steps = np.diff(self.first[~self.is_blind])
        guesses = {Fraction(int(step)) for step in np.unique(steps[steps > 0])[:_GUESSES]} | {Fraction(self.size, len(self.first))}
        kept = {guess: longest(self.stays(guess.numerator, guess.denominator)) for guess in sorted(guesses)}
        best = max(kept, key=lambda guess: kept[guess][1] - kept[guess][0])
        return best if kept[best][0] < kept[best][1] else None


def sights(form: Form, axis: int, sources_px: Sequence[int], target_px: int) -> list[Sight]:
    """Of each source, rows (axis 0) or columns."""
    places = np.arange(target_px, dtype=np.int64)
    itself = [Sight.of(size, places, places) for size in sources_px]
    if isinstance(form, Convolve | Pool):
        window = form.window
        first = places * window.stride[axis] - window.pad[axis]
        return [Sight.of(sources_px[0], first, first + (window.kernel[axis] - 1) * window.dilation[axis]), *itself[1:]]
    if isinstance(form, Resize):
        return [axis_sight((form.rows, form.columns)[axis], sources_px[0])]
    if isinstance(form, Pick):
        return [_picked(form, axis, sources_px[0])]
    if isinstance(form, Total):
        return [Sight.of(sources_px[0], places * 0, places * 0 + sources_px[0] - 1)] if sources_px[0] != target_px else itself
    if isinstance(form, Broadcast):
        has_places = form.constant is not None and form.constant.shape[axis] > 1
        rest = places if has_places else places * 0
        return [Sight.of(size, *((places, places) if size == target_px else (places * 0, places * 0)), rest=rest) for size in sources_px]
    return itself


def axis_sight(axis: Axis, size: int) -> Sight:
    """Of a resize."""
    first, last = axis.first.astype(np.int64), axis.second.astype(np.int64)
    return Sight.of(size, first, last, first < 0, axis.share.view(np.int32).astype(np.int64))


def _picked(form: Pick, axis: int, size: int) -> Sight:
    """Rows and columns of a Pick: what lies outside, or has no source at all, is a constant."""
    chosen = form.taps[form.taps[:, 2] >= 0]
    places, channel = ((form.rows, form.row_channel), (form.columns, form.column_channel))[axis]
    if not len(chosen):
        return Sight.of(size, places * np.int64(0), places * np.int64(0), np.ones(len(places), np.bool_))
    low, high = chosen[:, axis].min(), chosen[:, axis].max()
    return Sight.of(size, places + np.int64(low), places + np.int64(high), places < 0, channel.astype(np.int64))


def longest(stays: NDArray[np.bool_]) -> tuple[int, int]:
    """First and end of the longest stretch; all lies before it if there is none."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], stays, [False])).astype(np.int8))).reshape(-1, 2)
    if not len(edges):
        return len(stays), len(stays)
    start, stop = edges[int(np.argmax(edges[:, 1] - edges[:, 0]))]
    return int(start), int(stop)


def ends_of(stays: NDArray[np.bool_]) -> tuple[int, int]:
    """How many places at the beginning and at the end must be run, so that the longest stretch between them need not."""
    start, stop = longest(stays)
    return start, len(stays) - stop
