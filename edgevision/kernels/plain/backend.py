"""The oracle as one set of kernels, as the engine takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgevision.kernels.forms import (
    Across,
    Broadcast,
    Convolve,
    Float,
    Form,
    Intake,
    Kernel,
    Link,
    Pick,
    Plane,
    Pool,
    Resize,
    Runs,
    Take,
    Total,
)
from edgevision.kernels.plain import (
    across,
    broadcast,
    combine,
    convolve,
    depthwise,
    intake,
    move,
    normalise,
    pick,
    pool,
    resize,
    runs,
    total,
)
from edgevision.kernels.plain.chain import Chain


class Plain:
    """Keeps the promises of `forms.Backend`. Weights stay as the form has them."""

    name = "plain"
    first_bad = staticmethod(intake.first_bad)
    collector = staticmethod(runs.collector)
    marker = staticmethod(runs.marker)
    scan = staticmethod(runs.scan)
    mover = staticmethod(move.mover)

    def __init__(self, unit: int = 1) -> None:
        self._unit = unit

    def pack(self, form: Form) -> object:
        """Nothing to do."""
        return None

    def bind(self, form: Form, packed: object, sources: tuple[Plane, ...], target: Plane, gate: Float | None) -> tuple[Kernel, int]:
        """The kernel of a form. `unit` may be forced in tests: results do not depend on it."""
        unit, gate = min(self._unit, target.width), np.zeros(1, np.float32) if gate is None else gate
        if isinstance(form, Convolve) and form.is_depthwise:
            return depthwise.bind(form, sources, target, gate), unit
        if isinstance(form, Convolve):
            return convolve.bind(form, sources, target, gate), unit
        if isinstance(form, Pool):
            return pool.bind(form, sources, target, gate), unit
        if isinstance(form, Resize):
            return resize.bind(form, sources, target, gate), unit
        if isinstance(form, Pick):
            return pick.bind(form, sources, target, gate), unit
        if isinstance(form, Broadcast):
            return broadcast.bind(form, sources, target, gate), unit
        if isinstance(form, Across) and form.op == "normalise":
            return normalise.bind(form, sources, target, gate), unit
        if isinstance(form, Across):
            return across.bind(form, sources, target, gate), unit
        if isinstance(form, Total):
            return total.bind(form, sources, target, gate), unit
        return combine.bind(form, sources, target, gate), unit

    def bind_intake(self, form: Intake, target: Plane) -> Take:
        """The kernel that takes in a picture."""
        return intake.bind(form, target)

    def crew(self, threads: int) -> None:
        """One thread does all."""

    def chain(self, links: Sequence[Link], runs: Runs, crew: Any) -> Chain:
        """The steps as one call."""
        return Chain(links, runs)
