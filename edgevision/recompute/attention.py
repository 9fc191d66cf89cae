"""Attention as a stage between two chains: tokens that look at others, recomputed where what they look at has changed.

In: planes of queries, keys and values. Out: a plane, live where it really changed. Keeps one layer's state of one camera (what each query
keeps, and what of it has moved), and what the last call cost.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.kernels.forms import NO_LIVE, Backend, Float, Plane
from edgevision.kernels.plain.runs import forget
from edgevision.networks.attention import AttentionState
from edgevision.recompute.memory import Memory
from edgevision.recompute.plan import AttentionStep, Plan


@dataclass(slots=True, eq=False)
class BoundAttention:
    """One attention of one camera. `planes`: queries, keys, values, target."""

    step: AttentionStep
    state: AttentionState
    planes: tuple[Plane, Plane, Plane, Plane]
    backend: Backend
    gate: Float | None
    pixels: int = 0
    run_count: int = 0
    seconds: float = 0.0

    @property
    def target(self) -> Plane:
        """Where its output lives."""
        return self.planes[3]

    @property
    def live_fraction(self) -> float:
        """Share of the queries that were run."""
        return self.pixels / self.target.size_px

    @property
    def macs(self) -> int:
        """Multiply-adds of the last call."""
        return self.state.macs if self.pixels else 0

    def __call__(self, everything: bool) -> None:
        """Run what the changed tokens reach; all of it if `everything`."""
        began = time.perf_counter()
        query, key, value, target = self.planes
        if everything or query.live_px or key.live_px:
            self.pixels = self.state.run(query, key, value, target, everything, self.gate)
        else:
            self.pixels = 0
            if target.live_px:
                forget(target)
        self.run_count = min(self.pixels, target.height)
        self.seconds = time.perf_counter() - began

    def verify(self, window: tuple[float, float, float, float]) -> int:
        """Run a patch's queries again, (x1, y1, x2, y2) as shares of the picture; how many tokens moved. A sound Memory has none."""
        query, key, value, target = self.planes
        before = target.live.copy(), target.extent.copy(), target.live_px
        still = [_beside(plane) for plane in (key, value)]
        asking = _beside(query)
        left, top = int(window[0] * query.width), int(window[1] * query.height)
        right, bottom = max(int(window[2] * query.width), left + 1), max(int(window[3] * query.height), top + 1)
        asking.live[top:bottom, left:right] = 1
        asking.live_px = self.backend.scan(asking.live, asking.live, asking.extent)
        self.state.run(asking, still[0], still[1], target, False, self.gate)
        moved = target.live_px
        target.live[...], target.extent[...], target.live_px = before
        return moved


def _beside(plane: Plane) -> Plane:
    """The same values with live bytes of its own, none of them set."""
    extent = np.empty_like(plane.extent)
    extent[...] = NO_LIVE
    place = plane.top, plane.left, plane.height, plane.width, np.zeros_like(plane.live), extent
    return Plane(plane.padded, *place, store=plane.store, has_filling=plane.has_filling)


def attention_bytes(plan: Plan, backend: Backend) -> int:
    """What the attentions of one camera keep besides planes. Raises UnsupportedNetwork where one does not fit its tokens."""
    total = 0
    for step in plan.steps:
        if isinstance(step, AttentionStep):
            try:
                total += step.attention.open(step.tokens, backend.name, has_gate=plan.gates[step.name] > 0).size_bytes
            except InputError as error:
                raise UnsupportedNetwork(f"{plan.path}: '{step.name}': {error}") from error
    return total


def bind_attention(step: AttentionStep, memory: Memory, backend: Backend, crew: Any) -> BoundAttention:
    """The attention over one camera's Memory, its state empty. `crew`: the network's threads, see `Backend.crew`."""
    query, key, value = (memory.view(ref) for ref in step.sources)
    gate = np.full(1, -1.0, np.float32) if memory.plan.gates[step.name] > 0 else None
    state = step.attention.open(step.tokens, backend.name, crew, gate is not None)
    return BoundAttention(step, state, (query, key, value, memory.planes[step.target]), backend, gate)
