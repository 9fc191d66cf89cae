"""From a detector's boxes and scores to regions. In: outputs. Out: regions in frame pixels. Kept: the last regions, and the boxes that they
are found in.

A detector's answer is small, so that it is read whole; but only when an output that it is read from has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import EngineFault, InputError
from edgevision.kernels.compiled.boxes import Boxes
from edgevision.records import Box, Candidate, Region
from edgevision.segment.facts import NetworkFacts, Placement
from edgevision.segment.odds import excess, short_of
from edgevision.segment.segmentation import DEFAULT_THRESHOLD, sigmoid, softmax
from edgevision.segment.settings import SegmentSettings

Floats = NDArray[np.float32]

MAX_CANDIDATES = 2048  # the likeliest; suppression compares them two by two


class BoxDecoder:
    """One camera's boxes. `shape_px` is the frame's (height, width)."""

    def __init__(self, settings: SegmentSettings, shape_px: tuple[int, int], facts: NetworkFacts = NetworkFacts()) -> None:  # noqa: B008
        self.settings = settings
        self._layout = settings.boxes
        self._threshold = settings.threshold or facts.threshold or DEFAULT_THRESHOLD
        self._most_px = np.array([*shape_px[::-1], *shape_px[::-1]], np.float64)
        self._placement = facts.placement or Placement.of(shape_px, shape_px)
        self._labels = settings.labels or facts.labels
        self._least = short_of(self._threshold)
        offset, scale = self._placement.offset[::-1], self._placement.scale[::-1]
        self._offset, self._scale = np.array([*offset, *offset], np.float64), np.array([*scale, *scale], np.float64)
        self._kernels = Boxes()  # compiled now, not when the first box comes
        self._built: dict[tuple[Any, ...], Region | None] = {}  # of the last answer, which is asked for the likely and for the near
        self._regions: tuple[Region, ...] | None = None
        self._candidates: tuple[Candidate, ...] | None = ()  # None: not asked for yet
        self._last: tuple[Floats, Floats] = (np.zeros((0, 4), np.float32), np.zeros((0, 1), np.float32))  # what they are found in

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What the last answer shows, and what falls short of the threshold by at most `odds.NEAR`."""
        if self._candidates is None:
            wider = self._found(*self._last, self._least)
            self._candidates = tuple(Candidate(region, excess(region.score, self._threshold)) for region in wider)
        return self._candidates

    @property
    def told(self) -> tuple[Candidate, ...]:
        """What the last answer shows."""
        return tuple(Candidate(region, excess(region.score, self._threshold)) for region in self._regions or ())

    def decode(self, outputs: Mapping[str, NDArray[Any]], changed: Mapping[str, Box | None]) -> tuple[Region, ...]:
        """The regions of these outputs, topmost first; the same object as before when nothing changed.

        Raises InputError for outputs that do not fit the settings, EngineFault for NaN.
        """
        names = self._names(outputs)
        if self._regions is None or any(changed.get(name, ()) is not None for name in names):
            self._last, self._candidates, self._built = self._read(names, outputs), None, {}
            self._regions = self._found(*self._last, self._threshold)
        return self._regions

    def reset(self) -> None:
        """Forget the last frame: the next call reads the outputs."""
        self._regions = None

    def _names(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
        """The outputs that are read: boxes and scores, or one for both."""
        if self._layout.layout not in ("separate", "grid"):
            return (_chosen("output", self.settings.output, outputs, tuple(outputs)),)
        axis = 1 if self._layout.layout == "grid" else 2
        of_four = tuple(name for name, output in outputs.items() if output.ndim > axis and output.shape[axis] == 4)
        boxes = _chosen("boxes.boxes_output", self._layout.boxes_output, outputs, of_four)
        others = tuple(name for name in outputs if name != boxes)
        return boxes, _chosen("boxes.scores_output", self._layout.scores_output, outputs, others)

    def _read(self, names: tuple[str, ...], outputs: Mapping[str, NDArray[Any]]) -> tuple[Floats, Floats]:
        """(N, 4) as `_corners` takes them, and (N, label) probabilities. Names the labels on first sight."""
        rows, scores = self._cells(names, outputs) if self._layout.layout == "grid" else self._listed(names, outputs)
        first = int(self._layout.objectness) + int(self._layout.background)
        count = scores.shape[1] - first
        if count < 1:
            raise InputError(f"output {names[-1]!r} leaves {count} label(s) a box; set segment.boxes.layout, objectness and background")
        self._name_labels(count, names[-1])
        return rows, self._probabilities(scores, names[-1])

    def _listed(self, names: tuple[str, ...], outputs: Mapping[str, NDArray[Any]]) -> tuple[Floats, Floats]:
        """(N, 4) and (N, values) of outputs that list boxes."""
        for name in names:
            if outputs[name].ndim != 3 or outputs[name].shape[0] != 1:
                raise InputError(f"output {name!r} has shape {outputs[name].shape}; boxes are (1, N, values), columns (1, values, N)")
        rows = outputs[names[0]][0].T if self._layout.layout == "columns" else outputs[names[0]][0]
        scores = outputs[names[1]][0] if len(names) == 2 else rows[:, 4:]
        if len(names) == 2 and (rows.shape[1] != 4 or len(scores) != len(rows)):
            raise InputError(f"outputs {names[0]!r} and {names[1]!r} hold {rows.shape} and {scores.shape}; they must be (N, 4) and (N, C)")
        return np.asarray(rows[:, :4], np.float32), np.asarray(scores, np.float32)

    def _cells(self, names: tuple[str, ...], outputs: Mapping[str, NDArray[Any]]) -> tuple[Floats, Floats]:
        """Corners (N, 4) in pixels of the network's input, and (N, values), of a grid's cells that may be likely enough or hold NaN."""
        reaches, scores = (outputs[name] for name in names)
        is_grid = reaches.ndim == scores.ndim == 4 and reaches.shape[:2] == (1, 4) and scores.shape[0] == 1
        if not is_grid or reaches.shape[2:] != scores.shape[2:]:
            said = f"outputs {names[0]!r} and {names[1]!r} have shapes {reaches.shape} and {scores.shape}"
            raise InputError(f"{said}; a grid is (1, 4, rows, columns) and (1, C, rows, columns); set segment.boxes.layout")
        by_cell = (np.ascontiguousarray(of[0].transpose(1, 2, 0), np.float32) for of in (scores, reaches))
        least = -np.inf if self.settings.is_logits else self._least  # all cells, where values are no probabilities yet
        found: tuple[Floats, Floats] = self._kernels.sift(*by_cell, int(self._layout.objectness), least, self._placement.input_px)
        return found

    def _name_labels(self, count: int, name: str) -> None:
        if not self._labels:
            self._labels = ("defect",) if count == 1 else tuple(f"class_{index}" for index in range(count))
        if len(self._labels) != count:
            raise InputError(f"output {name!r} has {count} label(s) a box but {len(self._labels)} are named; set segment.labels")

    def _probabilities(self, scores: Floats, name: str) -> Floats:
        if np.isnan(scores).any():
            raise EngineFault(f"segment: the network's output {name!r} holds NaN; reset the network and run it whole")
        start = int(self._layout.objectness)
        classes, objectness = scores[:, start:], scores[:, :start]
        if self.settings.is_logits:
            classes = softmax(classes.T).T if self.settings.activation == "softmax" else sigmoid(classes)
            objectness = sigmoid(objectness)
        classes = classes[:, int(self._layout.background) :]
        return classes * objectness if start else classes

    def _found(self, boxes: Floats, scores: Floats, threshold: float) -> tuple[Region, ...]:
        """The regions of what is at least so likely."""
        ranked, labels, values = self._kernels.rank(boxes, scores, threshold, MAX_CANDIDATES)
        corners = self._corners(ranked)
        if not np.isfinite(corners).all():
            raise EngineFault("segment: a likely box of the network's output is no number; reset the network and run it whole")
        hulls, kept = np.empty_like(corners), np.empty_like(labels)
        count = self._kernels.tell(corners, labels, values, self._layout.overlap, self._layout.join, hulls, kept)
        kept = kept[:count]
        within = np.rint(np.minimum(np.maximum(hulls[:count], 0), self._most_px)).astype(np.int64)
        told = zip(*within.T.tolist(), labels[kept].tolist(), values[kept].tolist(), strict=True)
        regions = [self._region(one) for one in told]
        shown = [region for region in regions if region is not None][: self.settings.max_regions]
        return tuple(sorted(shown, key=lambda region: (region.box_px[1], region.box_px[0], region.box_px, region.label)))

    def _corners(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """x1, y1, x2, y2 in frame pixels, where they reach beyond it, too."""
        is_grid = self._layout.layout == "grid"
        if not self._layout.corners and not is_grid:
            boxes = np.hstack([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2])
        if self._layout.normalised and not is_grid:
            boxes = boxes * (*self._placement.input_px[::-1], *self._placement.input_px[::-1])
        return np.ascontiguousarray((boxes - self._offset) * self._scale)

    def _region(self, told: tuple[Any, ...]) -> Region | None:
        """Of a box's corners, its label's place and its score; None where it is too small, or beside the frame."""
        if told not in self._built:
            x1, y1, x2, y2, label, score = told
            area_px = max(0, x2 - x1) * max(0, y2 - y1)
            is_one = area_px and area_px >= self.settings.min_area_px
            self._built[told] = rectangle((x1, y1, x2, y2), self._labels[label], score) if is_one else None
        return self._built[told]


def rectangle(box: Box, label: str, score: float) -> Region:
    """A region that is its box; the score is held within 0..1."""
    x1, y1, x2, y2 = box
    return Region(
        label=label,
        score=min(1.0, max(0.0, score)),
        box_px=box,
        area_px=(x2 - x1) * (y2 - y1),
        polygon=((x1, y1), (x2 - 1, y1), (x2 - 1, y2 - 1), (x1, y2 - 1)),
        centroid_px=((x1 + x2) / 2, (y1 + y2) / 2),
    )


def _chosen(key: str, name: str | None, outputs: Mapping[str, Any], candidates: tuple[str, ...]) -> str:
    if name is None and len(candidates) == 1:
        return candidates[0]
    if name is None or name not in outputs:
        raise InputError(f"segment.{key} is {name!r}; it must be one of {', '.join(outputs)}; name the one to decode")
    return name
