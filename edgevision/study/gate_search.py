"""Which gates save the most work within a limit of disagreement. In: a way to measure a set of gates. Out: the best set seen.

Begins with one gate for all steps, as large as the limit allows. Then, round by round, each step's gate alone is doubled and measured; what
that saves per disagreement it costs says how far the step's gate moves (at the best point of a sum of costs linear in the gates, with
savings linear in their logarithms, all steps save equally much per disagreement). Then all gates are scaled together to the limit, by
measurement. Only measured sets count, so that the result is never worse than one gate for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Gates = Mapping[str, float]

LARGEST = 0.1  # coarser gates let through too little of what the clip did not show
NEGLIGIBLE = 2e-4
_FIRST_GUESS = 0.01
_BOLDNESS = 0.7
_LONGEST_STEP = 4.0
_SCALINGS = 6
_WORTH_ANOTHER = 0.02


@dataclass(frozen=True, slots=True)
class Point:
    """A set of gates as measured: `disagreement` and `macs` are means over frames, `strain` as in `Disagreement`; macs is a share."""

    gates: Gates
    disagreement: float
    strain: float
    macs: float


@dataclass(frozen=True, slots=True)
class Found:
    """The best set within the limit, and the best single gate for all steps."""

    tuned: Point
    uniform: Point


Measure = Callable[[Gates], Point]


def find_gates(steps: Sequence[str], measure: Measure, limit: float, rounds: int = 3) -> Found:
    """Search. `measure` is asked (rounds x (steps + 6) + 7) times at most; limit is above 0."""
    uniform = best = scaled_to(dict.fromkeys(steps, _FIRST_GUESS), measure, limit)
    base = best
    for _ in range(rounds):
        if not any(base.gates.values()):
            break  # not even the smallest gates are within the limit
        moved = _rebalanced(base, measure)
        base = scaled_to(moved, measure, limit)
        has_gained = base.macs < best.macs * (1 - _WORTH_ANOTHER)
        best = _better(best, base)
        if not has_gained:
            break
    return Found(_without_negligible(best, measure, limit), uniform)


def scaled_to(gates: Gates, measure: Measure, limit: float) -> Point:
    """The largest measured multiple of `gates` within the limit; the exact one, gates 0, if none is."""
    low: Point | None = None
    low_scale, high_scale = 0.0, float("inf")
    scale = 1.0
    for _ in range(_SCALINGS):
        point = measure(scaled(gates, scale))
        if point.disagreement <= limit:
            low, low_scale = point, scale
        else:
            high_scale = scale
        if low is not None and (high_scale <= low_scale * 1.1 or all(gate in (0.0, LARGEST) for gate in low.gates.values())):
            break
        guess = scale * float(np.clip(limit / max(point.disagreement, 1e-12), 1 / 8, 8)) * 0.97
        between = float(np.sqrt(low_scale * high_scale))
        is_inside = low_scale * 1.02 < guess < high_scale * 0.98
        scale = guess if is_inside else between if 0 < between < float("inf") else scale * (2 if low is not None else 1 / 8)
    return low if low is not None else measure(dict.fromkeys(gates, 0.0))


def scaled(gates: Gates, scale: float) -> dict[str, float]:
    """Every gate times `scale`, to three digits, so that what is measured is what is stored."""
    return {name: min(LARGEST, float(f"{gate * scale:.3g}")) for name, gate in gates.items()}


def _rebalanced(base: Point, measure: Measure) -> dict[str, float]:
    """Each gate moved by what the step saves per disagreement, in relation to the middle one of all steps."""
    names = [name for name, gate in base.gates.items() if gate > 0]
    probes = [measure({**base.gates, name: min(LARGEST, base.gates[name] * 2)}) for name in names]
    saved = np.array([base.macs - probe.macs for probe in probes])
    cost = np.array([probe.strain - base.strain for probe in probes])
    # below a hundredth of the largest both are noise of what is measured
    worth = np.maximum(saved, saved.max(initial=1e-12) / 100) / np.maximum(cost, cost.max(initial=1e-12) / 100)
    factors = np.clip((worth / np.median(worth)) ** _BOLDNESS, 1 / _LONGEST_STEP, _LONGEST_STEP)
    return {**base.gates, **{name: base.gates[name] * float(factor) for name, factor in zip(names, factors, strict=True)}}


def _better(first: Point, second: Point) -> Point:
    return second if second.macs < first.macs else first


def _without_negligible(point: Point, measure: Measure, limit: float) -> Point:
    """A tiny gate costs time and saves nothing: 0, where that measures as well."""
    bare = {name: gate if gate >= NEGLIGIBLE else 0.0 for name, gate in point.gates.items()}
    if bare == dict(point.gates):
        return point
    tried = measure(bare)
    return tried if tried.disagreement <= limit and tried.macs <= point.macs * 1.01 else point
