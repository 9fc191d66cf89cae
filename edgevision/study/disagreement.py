"""How far a gated network's answer lies from the exact one: the measure that gates are tuned by. In: two answers. Out: numbers.

For one output of one frame it is the sum of
- the root mean square of the difference over all values, as a share of the farthest that any value of this output moves on the clip. Unlike
  the plain mean it does not let a small place that is quite wrong vanish in a large still picture; and an answer that stays as it was on
  the first frame does not pass for a good one only because little was to be seen on the clip;
- the share of its decisions that flipped: for probabilities across the network's threshold, or another class where classes share them.
The disagreement of a frame is that of its worst output; that of a clip is the mean over its frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevision.recompute.graph import Graph

_MOVES = frozenset({"reshape", "transpose", "squeeze", "unsqueeze", "concat", "convert", "fakequantize", "result", "slice", "stridedslice"})
_PROBABLE = frozenset({"sigmoid", "softmax", "hardsigmoid"})
_SUM_TOLERANCE = 1e-3


class Disagreement(NamedTuple):
    """`total` of the worst output, and of that one `error` (rms, a share of its span) and `flips` (share of decisions).

    `strain` is the root of the summed squares over all outputs: it also tells of changes in outputs that are not the worst.
    """

    total: float
    error: float
    flips: float
    strain: float


@dataclass(frozen=True, slots=True)
class Scale:
    """How one output is judged: `span` is how far its values move. `threshold` is None where it decides nothing, `axis` that of classes."""

    span: float
    threshold: float | None = None
    axis: int | None = None


def probable_outputs(graph: Graph) -> frozenset[str]:
    """The outputs that are probabilities: made by a sigmoid or softmax, perhaps moved about since. All of a network of tokens, which has no
    nodes."""
    if not graph.nodes:
        return frozenset(graph.outputs)
    makers = {output: node for node in graph.nodes for output in node.outputs}

    def is_probable(tensor: str) -> bool:
        node = makers.get(tensor)
        if node is None:
            return False
        if node.op.lower() in _PROBABLE:
            return True
        sources = [source for source in node.inputs if source not in graph.constants]
        sources = sources if node.op.lower() == "concat" else sources[:1]
        return node.op.lower() in _MOVES and bool(sources) and all(is_probable(source) for source in sources)

    return frozenset(name for name, tensor in graph.outputs.items() if is_probable(tensor))


class Span:
    """How far the values of one output move over a clip: the farthest of any of them."""

    def __init__(self) -> None:
        self._low: NDArray[np.float32] | None = None
        self._high: NDArray[np.float32] | None = None

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in one frame's."""
        if self._low is None or self._high is None:
            self._low, self._high = values.copy(), values.copy()
            return
        np.fmin(self._low, values, out=self._low)
        np.fmax(self._high, values, out=self._high)

    def read(self) -> float:
        """The span; 1 where nothing moves, or nothing finite."""
        if self._low is None or self._high is None:
            return 1.0
        with np.errstate(invalid="ignore"):
            moves = self._high - self._low
        span = float(moves[np.isfinite(moves)].max(initial=0.0))
        return span if span > 0 else 1.0


def scale_of(values: NDArray[np.float32], span: float, is_probable: bool, threshold: float) -> Scale:
    """How an output is judged, from its values on one frame and its span."""
    if not is_probable:
        return Scale(span)
    axes = [axis for axis, size in enumerate(values.shape) if size > 1 and np.abs(values.sum(axis=axis) - 1).max() < _SUM_TOLERANCE]
    return Scale(span, None, axes[0]) if axes else Scale(span, threshold)


def disagreement(gated: Mapping[str, NDArray[Any]], exact: Mapping[str, NDArray[Any]], scales: Mapping[str, Scale]) -> Disagreement:
    """Of one frame; outputs by name."""
    pairs = [(_error(gated[name], exact[name], scale.span), _flips(gated[name], exact[name], scale)) for name, scale in scales.items()]
    error, flips = max(pairs, key=sum)
    return Disagreement(error + flips, error, flips, float(np.sqrt(sum(sum(pair) ** 2 for pair in pairs))))


def _error(gated: NDArray[np.float32], exact: NDArray[np.float32], span: float) -> float:
    with np.errstate(invalid="ignore"):
        difference = np.subtract(gated, exact).reshape(-1)
    square = float(np.dot(difference, difference))
    if not np.isfinite(square):  # an answer that is not finite is right only if it is the same
        wrong = np.where(np.isfinite(difference), difference.astype(np.float64), span)
        wrong[np.equal(gated, exact).reshape(-1) | (np.isnan(gated) & np.isnan(exact)).reshape(-1)] = 0
        square = float(np.dot(wrong, wrong))
    return float(np.sqrt(square / difference.size)) / span


def _flips(gated: NDArray[np.float32], exact: NDArray[np.float32], scale: Scale) -> float:
    if scale.axis is not None:
        return float(np.mean(gated.argmax(axis=scale.axis) != exact.argmax(axis=scale.axis)))
    if scale.threshold is None:
        return 0.0
    return np.count_nonzero((gated > scale.threshold) != (exact > scale.threshold)) / exact.size
