"""The compiled kernels as one set, as the engine takes it, for the vectors of the CPU at hand or of a width asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgevision.errors import InputError
from edgevision.kernels.compiled import (
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
from edgevision.kernels.compiled.chain import Chain
from edgevision.kernels.compiled.cpu import Cpu, detect
from edgevision.kernels.compiled.crew import Crew
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


class Compiled:
    """Keeps the promises of `forms.Backend`."""

    name = "compiled"
    first_bad = staticmethod(intake.first_bad)
    collector = staticmethod(runs.collector)
    marker = staticmethod(runs.marker)
    scan = staticmethod(runs.scan)
    mover = staticmethod(move.mover)

    def __init__(self, cpu: Cpu | int | None = None) -> None:
        """`cpu`: another than the one at hand, or only its lanes."""
        own = detect()
        self.cpu = cpu if isinstance(cpu, Cpu) else own if cpu in (None, own.lanes) else Cpu(int(cpu or 0))
        self.lanes = self.cpu.lanes
        if self.lanes not in (4, 8, 16):
            raise InputError(f"lanes is {self.lanes}; it must be 4, 8 or 16, or left out for this CPU's own")

    def pack(self, form: Form) -> object:
        """Weights in the kernel's order."""
        if not isinstance(form, Convolve):
            return None
        return depthwise.pack(form, self.lanes) if form.is_depthwise else convolve.pack(form, self.cpu)

    def bind(self, form: Form, packed: Any, sources: tuple[Plane, ...], target: Plane, gate: Float | None) -> tuple[Kernel, int]:
        """The kernel of a form over one camera's planes, and the shortest run it takes."""
        if isinstance(form, Convolve) and not form.is_depthwise:
            return convolve.bind(form, packed, sources, target, gate)
        if isinstance(form, Convolve):
            return depthwise.bind(form, packed, sources, target, gate), 1
        if isinstance(form, Pool):
            return pool.bind(form, sources, target, gate, self.lanes), 1
        if isinstance(form, Resize):
            return resize.bind(form, sources, target, gate, self.lanes), 1
        if isinstance(form, Pick):
            return pick.bind(form, sources, target, gate, self.lanes), 1
        if isinstance(form, Broadcast):
            return broadcast.bind(form, sources, target, gate, self.lanes), 1
        if isinstance(form, Across) and form.op == "normalise":
            return normalise.bind(form, sources, target, gate, self.lanes), 1
        if isinstance(form, Across):
            return across.bind(form, sources, target, gate, self.lanes), 1
        if isinstance(form, Total):
            return total.bind(form, sources, target, gate, self.lanes), 1
        return combine.bind(form, sources, target, gate, self.lanes), 1

    def bind_intake(self, form: Intake, target: Plane) -> Take:
        """The kernel that takes in a picture."""
        return intake.bind(form, target)

    def crew(self, threads: int) -> Crew:
        """Threads for one network."""
        return Crew(threads)

    def chain(self, links: Sequence[Link], runs: Runs, crew: Any) -> Chain:
        """The steps as one call into machine code."""
        return Chain(links, runs, crew)
