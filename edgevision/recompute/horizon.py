"""How far about a place of the picture an answer sees: so much of it must be run beside, and nothing more, to know the answer there.

In: a plan, how pictures are taken in. Out: pixels of the picture, or None where nobody knows. Keeps nothing.
"""

from __future__ import annotations

import math

import numpy as np

from edgevision.kernels.forms import Intake
from edgevision.recompute.motion import intake_sight
from edgevision.recompute.plan import Plan, Step
from edgevision.recompute.sight import Places, sights

Span = tuple[Places, Places]  # along an axis, by place: the first and the last pixel of the picture that it sees; none: last before first
Spans = dict[str, Span | None]  # None: nobody knows

_NEVER = np.iinfo(np.int64).max


def horizon_px(plan: Plan, intake: Intake, picture_px: tuple[int, int]) -> int | None:
    """How far the farthest pixel lies, down or aside, that any place of any output sees. None: an island or attention has its say."""
    farthest = 0
    for axis in (0, 1):
        spans = _spans(plan, intake, axis, picture_px[axis])
        for ref in plan.outputs.values():
            span = None if isinstance(ref, str) else _of(ref.tensor, plan, spans)
            if span is None:
                return None
            first, last = span
            middles = (np.arange(len(first)) + 0.5) * (picture_px[axis] / len(first))
            far = np.maximum(middles - first, last + 1 - middles)[last >= first]
            farthest = max(farthest, math.ceil(far.max(initial=0.0)))
    return farthest


def _spans(plan: Plan, intake: Intake, axis: int, picture_px: int) -> Spans:
    """Of the input and of every tensor that a step makes."""
    entrance = intake_sight(plan, intake, axis, picture_px)
    blind = entrance.is_blind
    spans: Spans = {plan.input: (np.where(blind, _NEVER, entrance.first), np.where(blind, -1, entrance.last))}
    for step in plan.steps:
        if isinstance(step, Step):
            spans[step.target] = _seen_by(step, plan, spans, axis)
        else:
            spans |= {name: None for name, _ in step.targets}
    return spans


def _seen_by(step: Step, plan: Plan, spans: Spans, axis: int) -> Span | None:
    """Of a step's output: all that its sources see, where it sees them."""
    sizes = [_size(plan, source.tensor, axis) for source in step.sources]
    size = _size(plan, step.target, axis)
    first, last = np.full(size, _NEVER), np.full(size, -1, np.int64)
    for source, sight in zip(step.sources, sights(step.form, axis, sizes, size), strict=True):
        span = _of(source.tensor, plan, spans)
        if span is None:
            return None
        low, high = (places.clip(0, sight.size - 1) for places in (sight.first, sight.last))
        first = np.where(sight.is_blind, first, np.minimum(first, span[0][low]))
        last = np.where(sight.is_blind, last, np.maximum(last, span[1][high]))
    return first, last


def _of(tensor: str, plan: Plan, spans: Spans) -> Span | None:
    """Of a tensor that a step makes, or of one that is joined from such."""
    if tensor in spans:
        return spans[tensor]
    parts = [_of(part, plan, spans) for part in plan.tensors[tensor].parts]
    known = [part for part in parts if part is not None]
    if not parts or len(known) < len(parts):
        return None
    return np.minimum.reduce([first for first, _ in known]), np.maximum.reduce([last for _, last in known])


def _size(plan: Plan, tensor: str, axis: int) -> int:
    return (plan.tensors[tensor].height, plan.tensors[tensor].width)[axis]
