"""From a classifier's scores to at most one region: the likeliest label, over the whole frame or a box of it. Kept: the last answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import EngineFault, InputError
from edgevision.records import Box, Candidate, Region
from edgevision.segment.boxes import rectangle
from edgevision.segment.facts import NetworkFacts
from edgevision.segment.odds import NEAR, excess, log_odds, reached
from edgevision.segment.segmentation import DEFAULT_THRESHOLD, sigmoid, softmax
from edgevision.segment.settings import SegmentSettings


class ClassDecoder:
    """One camera's class. `shape_px` is the frame's (height, width). Raises InputError for a box that reaches beyond it."""

    def __init__(self, settings: SegmentSettings, shape_px: tuple[int, int], facts: NetworkFacts = NetworkFacts()) -> None:  # noqa: B008
        self.settings = settings
        self._threshold = settings.threshold or facts.threshold or DEFAULT_THRESHOLD
        self._labels = settings.labels or facts.labels
        height, width = shape_px
        self._box: Box = settings.classes.box_px or (0, 0, width, height)
        if self._box[2] > width or self._box[3] > height:
            raise InputError(f"segment.classes.box_px is {list(self._box)}; the frame is {width}x{height}; draw it inside")
        self._regions: tuple[Region, ...] | None = None
        self._candidates: tuple[Candidate, ...] = ()

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The likeliest label that is a defect, unless it falls short of the threshold, or of a normal one, by more than `odds.NEAR`."""
        return self._candidates

    @property
    def told(self) -> tuple[Candidate, ...]:
        """What the last answer shows."""
        return reached(self.candidates)

    def decode(self, outputs: Mapping[str, NDArray[Any]], changed: Mapping[str, Box | None]) -> tuple[Region, ...]:
        """One region or none; the same object as before when the output did not change.

        Raises InputError for an output that does not fit the settings, EngineFault for NaN.
        """
        name = self.settings.output
        if name is None and len(outputs) == 1:
            name = next(iter(outputs))
        if name is None or name not in outputs:
            raise InputError(f"segment.output is {name!r}; it must be one of {', '.join(outputs)}; name the one to decode")
        if self._regions is None or changed.get(name, ()) is not None:
            self._regions = self._found(name, outputs[name])
        return self._regions

    def reset(self) -> None:
        """Forget the last frame: the next call reads the output."""
        self._regions = None

    def _found(self, name: str, output: NDArray[Any]) -> tuple[Region, ...]:
        if output.ndim < 2 or output.shape[0] != 1 or output.size != output.shape[1]:
            raise InputError(f"output {name!r} has shape {output.shape}; class scores are (1, classes) or (1, classes, 1, 1)")
        scores = np.asarray(output, np.float32).reshape(-1)
        if np.isnan(scores).any():
            raise EngineFault(f"segment: the network's output {name!r} holds NaN; reset the network and run it whole")
        best = int(scores.argmax())  # of the logits: near 1, probabilities are equal in float32
        if self.settings.is_logits:
            scores = softmax(scores) if self.settings.activation == "softmax" else sigmoid(scores)
        if not self._labels:
            self._labels = ("defect",) if len(scores) == 1 else tuple(f"class_{index}" for index in range(len(scores)))
        if len(self._labels) != len(scores):
            raise InputError(f"output {name!r} has {len(scores)} class(es) but {len(self._labels)} label(s) are named; set segment.labels")
        self._candidates = self._nearly(scores)
        label, score = self._labels[best], float(scores[best])
        if label in self.settings.classes.normal or score < self._threshold:
            return ()
        return (rectangle(self._box, label, score),)

    def _nearly(self, scores: NDArray[np.float32]) -> tuple[Candidate, ...]:
        """One candidate or none, of (label,) probabilities."""
        normal = np.array([label in self.settings.classes.normal for label in self._labels], np.bool_)
        if normal.all():
            return ()
        best = int(np.where(normal, -np.inf, scores).argmax())
        score, over = float(scores[best]), excess(float(scores[best]), self._threshold)
        if normal.any():
            over = min(over, log_odds(score) - log_odds(float(scores[normal].max())))
        return (Candidate(rectangle(self._box, self._labels[best], score), over),) if over >= -NEAR else ()
