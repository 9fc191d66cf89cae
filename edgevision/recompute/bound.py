"""One selective step over one camera's planes: finds its runs, runs its kernel over them, notes what really changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from edgevision.kernels.forms import Backend, Broadcast, Combine, Convolve, Feed, Float, Form, Kernel, Plane, Pool, Reach, Runs, Store
from edgevision.kernels.plain.store import decode
from edgevision.recompute.crew import Crew
from edgevision.recompute.memory import GAP_PX, Memory
from edgevision.recompute.plan import Ref, Step
from edgevision.recompute.runs import reach, same

WORTH_SHARING_NS = 200_000.0  # Python's lock makes a helper begin some 50 us late
_MAC_NS = MappingProxyType({"f32": 0.02, "bf16": 0.011, "u8": 0.007})
_SLOW_MAC_NS = 0.1
_CHEAP = ("none", "relu", "clamp", "slope")


@dataclass(slots=True, eq=False)
class BoundStep:
    """A step ready to run. `pixels`, in so many runs, and `seconds` tell what the last call cost. `reaches` go with `feeds`."""

    step: Step
    feeds: tuple[Plane, ...]
    reaches: tuple[Reach, ...]
    target: Plane
    kernel: Kernel
    collect: Callable[[bool], tuple[int, int]]
    mark: Callable[[int], int]
    runs: Runs
    gate: Float | None
    crew: Crew
    unit: int
    pixel_ns: float
    pixels: int = 0
    run_count: int = 0
    seconds: float = 0.0

    @property
    def live_fraction(self) -> float:
        """Share of the pixels that were recomputed."""
        return self.pixels / self.target.size_px

    def advance(self, everything: bool) -> None:
        """Recompute what the sources' live pixels reach; all of it if `everything`."""
        self.pixels = self.run_count = 0
        self.seconds = 0.0
        if not everything:
            for plane in self.feeds:
                if plane.live_px:
                    break
            else:
                if self.target.live_px:
                    self._forget()
                return
        began = time.perf_counter()
        self._recompute(everything)
        self.seconds = time.perf_counter() - began

    def _recompute(self, everything: bool) -> None:
        count, self.pixels = self.collect(everything or any(plane.live_px == plane.size_px for plane in self.feeds))
        if self.crew.count and self.pixels * self.pixel_ns > WORTH_SHARING_NS:
            self.crew.run(self.kernel, self.runs, count, self.pixels, self.pixels * self.pixel_ns)
        else:
            self.kernel(self.runs, 0, count)
        self.target.live_px = self.mark(count)
        self.run_count = count

    def _forget(self) -> None:
        """No source is live, so nothing here is."""
        self.collect(False)
        self.target.live_px = 0

    def verify(self, window: tuple[float, float, float, float]) -> int:
        """Recompute a patch in place, (x1, y1, x2, y2) as shares of the picture; how many pixels moved. A sound Memory has none."""
        target = self.target
        left, top = int(window[0] * target.width), int(window[1] * target.height)
        left = min(left, target.width - self.unit)
        right = min(max(int(window[2] * target.width), left + self.unit), target.width)
        bottom = min(max(int(window[3] * target.height), top + 1), target.height)
        before = target.live[top:bottom].copy()
        target.live[top:bottom] = 0
        count = bottom - top
        self.runs[:count] = [(row, left, right) for row in range(top, bottom)]
        self.kernel(self.runs, 0, count)
        moved = int(np.count_nonzero(target.live[top:bottom]))
        target.live[top:bottom] = before
        return moved

    def open_gate(self) -> None:
        """Let everything through: the next call is a `first`."""
        if self.gate is not None:
            self.gate[0] = -1.0

    def learn_gate(self, gate: float) -> None:
        """The gate in the output's own units: its share of the range seen now."""
        if self.gate is not None:
            values = decode(self.target.values, self.target.store)
            scale = float(values.max()) - float(values.min())
            self.gate[0] = gate * scale if np.isfinite(scale) else 0.0


def bind_step(step: Step, packed: object, memory: Memory, backend: Backend, crew: Crew) -> BoundStep:
    """The step over one camera's Memory."""
    target = memory.planes[step.target]
    sources = tuple(memory.view(ref) for ref in step.sources)
    gate = np.full(1, -1.0, np.float32) if memory.plan.gates[step.name] > 0 else None
    kernel, unit = backend.bind(step.form, packed, sources, target, gate)
    unit = max(unit, min(GAP_PX, target.width))
    feeds = tuple(feed for place, ref in enumerate(step.sources) for feed in _feeds(step, place, ref, memory, target))
    collect = backend.collector(feeds, target, memory.runs, unit)
    return BoundStep(
        step,
        tuple(feed.plane for feed in feeds),
        tuple(feed.reach for feed in feeds),
        target,
        kernel,
        collect,
        backend.marker(target, memory.runs),
        memory.runs,
        gate,
        crew,
        unit,
        pixel_ns(step.form, target.padded.shape[2], sources[0].store),
    )


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
