"""How a network follows a picture that is shifted: by how much each tensor moves, and what must be run where the picture begins and ends.

In: a plan, how pictures are taken in. Out: for a shift the Moves of a camera's Memory. Keeps those of the last shifts, as belts run evenly.

A tensor moves by the shift over its stride; so the network moves in steps of all its strides' least common multiple. What moves along with
all that it sees need not be run. What has no stride, as it pools the whole picture or reads constants that differ from place to place,
stays where it is and is run whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError
from edgevision.kernels.forms import Ends, Intake
from edgevision.recompute.attention import BoundAttention
from edgevision.recompute.bound import BoundStep
from edgevision.recompute.island import Island
from edgevision.recompute.memory import Layout
from edgevision.recompute.plan import AttentionStep, IslandStep, Plan, Step
from edgevision.recompute.sight import Sight, axis_sight, ends_of, sights

Scale = Fraction | None

_REMEMBERED = 32


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """One shift: `shifts` (root tensor, 2), down and right in its own pixels; the ends of the input and of every step that must be run,
    and which islands."""

    shifts: NDArray[np.int64]
    entrance: Ends
    ends: tuple[Ends | bool, ...]


class Motion:
    """How one plan moves with the pictures that it is given. `step_px`: (down, right) steps, in pixels of those pictures."""

    def __init__(self, plan: Plan, layout: Layout, intake: Intake, picture_px: tuple[int, int]) -> None:
        self._plan, self._layout = plan, layout
        self._roots = tuple(layout.borders)
        self._intake = tuple(intake_sight(plan, intake, axis, picture_px[axis]) for axis in (0, 1))
        self._scales = tuple(self._scales_of(axis) for axis in (0, 1))
        self._known: dict[tuple[int, int], Moves] = {}
        down, right = (lcm(*(scale.numerator for scale in scales.values() if scale)) for scales in self._scales)
        self.step_px = down, right

    def _scales_of(self, axis: int) -> dict[str, Scale]:
        """By root tensor: pixels of the picture for one of its own. What shares a buffer moves as one, or stays."""
        still: set[str] = set()
        while True:
            scales, clashes = self._scales_with(axis, still)
            if not clashes:
                return scales
            still |= clashes

    def _scales_with(self, axis: int, still: set[str]) -> tuple[dict[str, Scale], set[str]]:
        scales: dict[str, Scale] = {}
        clashes: set[str] = set()

        def note(name: str, scale: Scale) -> None:
            root = self._root(name)
            scale = None if root in still else scale
            if scales.setdefault(root, scale) != scale:
                clashes.add(root)

        entrance = self._intake[axis].ratio()
        note(self._plan.input, entrance)
        for step in self._plan.steps:
            if isinstance(step, Step):
                note(step.target, self._scale(step, axis, scales))
                continue
            for name, is_picture in step.targets:
                if is_picture:
                    note(name, self._island_scale(name, axis, entrance, scales))
        return scales, clashes

    def _scale(self, step: Step, axis: int, scales: dict[str, Scale]) -> Scale:
        """Of a step's output: its sources', times its stride."""
        if self._size(step.target, axis) == 1:
            return None
        for source, sight in zip(step.sources, self._sights(step, axis), strict=True):
            scale = scales.get(self._root(source.tensor))
            if scale is not None:
                ratio = sight.ratio()
                return None if ratio is None else scale * ratio
        return None

    def _island_scale(self, name: str, axis: int, entrance: Scale, scales: dict[str, Scale]) -> Scale:
        """An island runs whole anyway; where its output moves with the picture, what reads it need not be run whole, too."""
        if entrance is None or self._size(name, axis) == 1:
            return None
        scale = entrance * Fraction(self._size(self._plan.input, axis), self._size(name, axis))
        return scale if lcm(*(known.numerator for known in scales.values() if known)) % scale.numerator == 0 else None

    def moves(self, shift_px: tuple[int, int]) -> Moves:
        """What a shift of the picture, in whole steps, asks of Memory."""
        if shift_px not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[shift_px] = self._moves(shift_px)
        return self._known[shift_px]

    def _moves(self, shift_px: tuple[int, int]) -> Moves:
        shifts = {root: self._shift(root, shift_px) for root in self._roots}
        entrance = shifts[self._root(self._plan.input)]
        rows, columns = (ends_of(self._intake[axis].stays(shift_px[axis], entrance[axis])) for axis in (0, 1))
        ends = tuple(self._step_ends(step, shifts) if isinstance(step, Step) else self._is_moved(step, shifts) for step in self._plan.steps)
        return Moves(np.array(list(shifts.values()), np.int64), (*rows, *columns), ends)

    def _shift(self, root: str, shift_px: tuple[int, int]) -> tuple[int, int]:
        moved = []
        for pixels, scales in zip(shift_px, self._scales, strict=True):
            scale = scales.get(root)
            places = Fraction(0) if scale is None else pixels / scale
            if places.denominator != 1:
                raise InputError(f"shift is {shift_px} px; '{root}' moves in steps of {scale} px only; this is a defect of edgevision")
            moved.append(int(places))
        return moved[0], moved[1]

    def _step_ends(self, step: Step, shifts: dict[str, tuple[int, int]]) -> Ends:
        target = shifts[self._root(step.target)]
        rows, columns = (
            ends_of(
                np.logical_and.reduce(
                    [
                        sight.stays(shifts[self._root(source.tensor)][axis], target[axis])
                        for source, sight in zip(step.sources, self._sights(step, axis), strict=True)
                    ]
                )
                if step.sources
                else np.zeros(self._size(step.target, axis), np.bool_)
            )
            for axis in (0, 1)
        )
        return (*rows, *columns)

    def _is_moved(self, step: IslandStep | AttentionStep, shifts: dict[str, tuple[int, int]]) -> bool:
        if isinstance(step, AttentionStep):
            return False  # refused at load: what its queries keep does not move with the picture
        read = [ref.tensor for _, ref in step.sources if ref is not None]
        return any(shifts[self._root(name)] != (0, 0) for name in (*read, *(name for name, is_picture in step.targets if is_picture)))

    def _sights(self, step: Step, axis: int) -> list[Sight]:
        sizes = [self._size(source.tensor, axis) for source in step.sources]
        return sights(step.form, axis, sizes, self._size(step.target, axis))

    def _size(self, tensor: str, axis: int) -> int:
        return (self._plan.tensors[tensor].height, self._plan.tensors[tensor].width)[axis]

    def _root(self, tensor: str) -> str:
        return self._layout.homes[tensor][0]


def set_ends(steps: Sequence[BoundStep | Island | BoundAttention], moves: Moves | None) -> None:
    """Let the next call run these ends of every step in any case; None: no more."""
    for place, step in enumerate(steps):
        end = moves.ends[place] if moves is not None else False
        if isinstance(step, Island):
            step.has_moved = bool(end)
        elif isinstance(step, BoundStep) and step.chain is not None:
            step.chain.ends[step.place] = end if isinstance(end, tuple) else 0


def intake_sight(plan: Plan, intake: Intake, axis: int, picture_px: int) -> Sight:
    """What the input's pixels see of the picture."""
    if intake.resize is not None:
        return axis_sight((intake.resize.rows, intake.resize.columns)[axis], picture_px)
    places = np.arange(picture_px, dtype=np.int64)
    return Sight.of(picture_px, places, places)
