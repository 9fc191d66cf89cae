"""One selective step over one camera's planes, as a link of the chain that runs it (see `kernels/*/chain.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from edgevision.kernels.forms import Backend, Broadcast, Chain, Combine, Convolve, Feed, Float, Form, Link, Plane, Pool, Reach, Runs, Store
from edgevision.recompute.memory import GAP_PX, Memory
from edgevision.recompute.plan import Ref, Step
from edgevision.recompute.runs import reach, same
from edgevision.records import StepCost

_MAC_NS = MappingProxyType({"f32": 0.02, "bf16": 0.011, "u8": 0.007})
_SLOW_MAC_NS = 0.1
_CHEAP = ("none", "relu", "clamp", "slope")


@dataclass(slots=True, eq=False)
class BoundStep:
    """A step ready to run as link number `place` of a chain. `reaches` go with `feeds`."""

    step: Step
    link: Link
    runs: Runs
    gate: Float | None
    chain: Chain | None = None
    place: int = 0

    @property
    def feeds(self) -> tuple[Plane, ...]:
        """The planes that it reads."""
        return tuple(feed.plane for feed in self.link.feeds)

    @property
    def reaches(self) -> tuple[Reach, ...]:
        """How far a pixel of each reaches."""
        return tuple(feed.reach for feed in self.link.feeds)

    @property
    def target(self) -> Plane:
        """Where its output lives."""
        return self.link.target

    @property
    def pixels(self) -> int:
        """How many the last call recomputed."""
        return 0 if self.chain is None else int(self.chain.spent[self.place, 0])

    @property
    def run_count(self) -> int:
        """In so many runs."""
        return 0 if self.chain is None else int(self.chain.spent[self.place, 1])

    @property
    def seconds(self) -> float:
        """What the last call took."""
        return 0.0 if self.chain is None else self.chain.seconds(self.place)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the last call."""
        return self.pixels * self.step.macs_px

    @property
    def live_fraction(self) -> float:
        """Share of the pixels that were recomputed."""
        return self.pixels / self.target.size_px

    def cost(self) -> StepCost:
        """What the last call cost: all of the above at once, as every frame asks for it of every step."""
        pixels = self.pixels
        return StepCost(self.step.name, "selective", pixels / self.target.size_px, pixels * self.step.macs_px, self.seconds)

    def verify(self, window: tuple[float, float, float, float]) -> int:
        """Recompute a patch in place, (x1, y1, x2, y2) as shares of the picture; how many pixels moved. A sound Memory has none."""
        target = self.target
        left, top = int(window[0] * target.width), int(window[1] * target.height)
        left = min(left, target.width - self.link.unit)
        right = min(max(int(window[2] * target.width), left + self.link.unit), target.width)
        bottom = min(max(int(window[3] * target.height), top + 1), target.height)
        before = target.live[top:bottom].copy()
        target.live[top:bottom] = 0
        count = bottom - top
        self.runs[:count, 0], self.runs[:count, 1], self.runs[:count, 2] = np.arange(top, bottom), left, right
        self.link.kernel(self.runs, 0, count)
        moved = int(np.count_nonzero(target.live[top:bottom]))
        target.live[top:bottom] = before
        return moved


def bind_step(step: Step, packed: object, memory: Memory, backend: Backend) -> BoundStep:
    """The step over one camera's Memory, not yet in a chain."""
    target = memory.planes[step.target]
    sources = tuple(memory.view(ref) for ref in step.sources)
    gate = np.full(1, -1.0, np.float32) if memory.plan.gates[step.name] > 0 else None
    kernel, unit = backend.bind(step.form, packed, sources, target, gate)
    feeds = tuple(feed for place, ref in enumerate(step.sources) for feed in _feeds(step, place, ref, memory, target))
    weight_bytes = step.form.weights.nbytes if isinstance(step.form, Convolve) else 0
    cost_ns = pixel_ns(step.form, target.padded.shape[2], sources[0].store)
    return BoundStep(
        step, Link(kernel, feeds, target, max(unit, min(GAP_PX, target.width)), cost_ns, weight_bytes, gate is None), memory.runs, gate
    )


def join(steps: Sequence[BoundStep], backend: Backend, crew: Any) -> Chain:
    """Neighbouring steps as one chain."""
    chain = backend.chain([bound.link for bound in steps], steps[0].runs, crew)
    for place, bound in enumerate(steps):
        bound.chain, bound.place = chain, place
    return chain


def pixel_ns(form: Form, channels: int, source: Store) -> float:
    """About how long one output pixel of `channels` takes one thread: enough to tell what is worth sharing, no more."""
    if isinstance(form, Convolve):
        return 1.0 + form.weights.size * (_SLOW_MAC_NS if form.is_depthwise else _MAC_NS[source.kind])
    if isinstance(form, Pool):
        return 1.0 + channels * form.window.kernel[0] * form.window.kernel[1] * _SLOW_MAC_NS
    values = 4 if not isinstance(form, Combine) else 1 if form.activation.kind in _CHEAP else 8
    return 1.0 + channels * values * _SLOW_MAC_NS


def _feeds(step: Step, place: int, ref: Ref, memory: Memory, target: Plane) -> list[Feed]:
    """The planes behind one source. A residual, the second source of a convolution, is seen pixel by pixel."""
    size = target.height, target.width
    if isinstance(step.form, Combine) or (place > 0 and not isinstance(step.form, Broadcast)):
        return [Feed(plane, same(*size)) for plane in memory.leaves(ref)]
    return [Feed(plane, reach(step.form, (plane.height, plane.width), size)) for plane in memory.leaves(ref)]
