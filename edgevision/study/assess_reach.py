"""How far a change at one spot of the picture can move a network's answer: from the geometry of its steps. In: a Plan. Out: a `Locality`.

One pixel in the middle of the picture is followed through every step: which rows and columns of each tensor have it in their window. What a
step without a selective kernel (an island) makes counts as depending on everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgevision.kernels.forms import Broadcast, Combine, Reach
from edgevision.recompute.plan import AttentionStep, IslandStep, Plan, Ref, Step
from edgevision.recompute.runs import reach, same

Span = tuple[int, int, int, int]  # first and last row, first and last column


@dataclass(frozen=True, slots=True)
class Locality:
    """`reach_px`: how wide the part of the picture is whose answer one pixel can move, (height, width). `share` of the picture that is.

    `culprit` names the first step after which everything depends on everything, None where there is none.
    """

    reach_px: tuple[int, int]
    share: float
    culprit: str | None


def locality(plan: Plan) -> Locality:
    """Of the output that is reached farthest."""
    first = plan.tensors[plan.input]
    row, column = first.height // 2, first.width // 2
    spans: dict[str, Span] = {plan.input: (row, row, column, column)}
    culprit: str | None = None
    for step in plan.steps:
        if isinstance(step, IslandStep | AttentionStep):
            spans |= {name: _all_of(plan, name) for name, is_picture in step.targets if is_picture and name in plan.tensors}
            culprit = culprit or step.name
            continue
        spans[step.target] = _through(step, plan, spans)
        if culprit is None and _is_all(spans[step.target], plan, step.target) and min(first.height, first.width) > 1:
            culprit = step.name
    reached = [_on_picture(spans_of(ref, plan, spans), plan, ref.tensor) for ref in plan.outputs.values() if isinstance(ref, Ref)]
    height = max((rows for rows, _ in reached), default=first.height)
    width = max((columns for _, columns in reached), default=first.width)
    share = height * width / (first.height * first.width)
    return Locality((height, width), share, culprit if share >= 1 else None)


def spans_of(ref: Ref, plan: Plan, spans: Mapping[str, Span]) -> Span:
    """What of a source is reached: of its own, or of the tensors whose channels it holds."""
    if ref.tensor in spans:
        return spans[ref.tensor]
    parts = [spans_of(Ref(name, 0, 0), plan, spans) for name in plan.tensors[ref.tensor].parts]
    return _joined(parts) if parts else _all_of(plan, ref.tensor)


def _through(step: Step, plan: Plan, spans: Mapping[str, Span]) -> Span:
    target = plan.tensors[step.target]
    size = target.height, target.width
    found = []
    for place, ref in enumerate(step.sources):
        source = plan.tensors[ref.tensor]
        is_beside = isinstance(step.form, Combine) or (place > 0 and not isinstance(step.form, Broadcast))
        through = same(*size) if is_beside else reach(step.form, (source.height, source.width), size)
        found.append(_reached(spans_of(ref, plan, spans), through))
    return _joined(found) if found else (1, 0, 1, 0)


def _reached(span: Span, through: Reach) -> Span:
    """Rows and columns of the output that have any of these of the input in their window; first > last where there are none."""
    top, bottom, left, right = span
    if top > bottom or left > right:
        return 1, 0, 1, 0
    rows = np.flatnonzero((through.above <= bottom) & (through.below > top))
    first, last = through.first_column[left : right + 1], through.last_column[left : right + 1]
    seen = first <= last
    if not rows.size or not seen.any():
        return 1, 0, 1, 0
    return int(rows[0]), int(rows[-1]), int(first[seen].min()), int(last[seen].max())


def _joined(spans: list[Span]) -> Span:
    known = [span for span in spans if span[0] <= span[1]]
    if not known:
        return 1, 0, 1, 0
    tops, bottoms, lefts, rights = zip(*known, strict=True)
    return min(tops), max(bottoms), min(lefts), max(rights)


def _all_of(plan: Plan, name: str) -> Span:
    tensor = plan.tensors[name]
    return 0, tensor.height - 1, 0, tensor.width - 1


def _is_all(span: Span, plan: Plan, name: str) -> bool:
    return span == _all_of(plan, name)


def _on_picture(span: Span, plan: Plan, name: str) -> tuple[int, int]:
    """Its height and width in pixels of the network's input."""
    first, tensor = plan.tensors[plan.input], plan.tensors[name]
    top, bottom, left, right = span
    rows = round((bottom - top + 1) * first.height / tensor.height) if bottom >= top else 0
    columns = round((right - left + 1) * first.width / tensor.width) if right >= left else 0
    return rows, columns
