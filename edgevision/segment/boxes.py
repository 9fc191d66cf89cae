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
from edgevision.kernels.compiled.boxes import tell_boxes
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
        self._shape_px = shape_px
        self._placement = facts.placement or Placement.of(shape_px, shape_px)
        self._labels = settings.labels or facts.labels
        self._least = short_of(self._threshold)
        self._tell(np.zeros((1, 4)), np.zeros(1, np.int64), np.zeros(1))  # compiled now, not when the first box comes
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

    def decode(self, outputs: Mapping[str, NDArray[Any]], changed: Mapping[str, Box | None]) -> tuple[Region, ...]:
        """The regions of these outputs, topmost first; the same object as before when nothing changed.

        Raises InputError for outputs that do not fit the settings, EngineFault for NaN.
        """
        names = self._names(outputs)
        if self._regions is None or any(changed.get(name, ()) is not None for name in names):
            self._last, self._candidates = self._read(names, outputs), None
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
        return rows[:, :4], scores

    def _cells(self, names: tuple[str, ...], outputs: Mapping[str, NDArray[Any]]) -> tuple[Floats, Floats]:
        """Corners (N, 4) in pixels of the network's input, and (N, values), of a grid's cells, row after row."""
        reaches, scores = (outputs[name] for name in names)
        is_grid = reaches.ndim == scores.ndim == 4 and reaches.shape[:2] == (1, 4) and scores.shape[0] == 1
        if not is_grid or reaches.shape[2:] != scores.shape[2:]:
            said = f"outputs {names[0]!r} and {names[1]!r} have shapes {reaches.shape} and {scores.shape}"
            raise InputError(f"{said}; a grid is (1, 4, rows, columns) and (1, C, rows, columns); set segment.boxes.layout")
        rows, columns = reaches.shape[2:]
        height, width = self._placement.input_px
        row, column = np.divmod(self._worth(scores[0]), columns)
        y, x = (row + 0.5) * (height / rows), (column + 0.5) * (width / columns)
        left, up, right, down = np.maximum(reaches[0][:, row, column], 0)
        corners = np.stack([x - left, y - up, x + right, y + down], axis=1)
        return corners.astype(np.float32), np.ascontiguousarray(scores[0][:, row, column].T)

    def _worth(self, scores: Floats) -> NDArray[np.int64]:
        """The cells of (values, row, column) that may be likely enough, and those that hold NaN; all where values are no probabilities yet.

        Read as they lie in memory, which for the engine's maps is cell by cell.
        """
        if self.settings.is_logits:
            return np.arange(scores[0].size)
        own = scores[int(self._layout.objectness) :]
        if abs(own.strides[0]) > abs(own.strides[2]):
            return np.flatnonzero(~(own.max(axis=0) < self._least))
        cells = np.flatnonzero(~(own.transpose(1, 2, 0) < self._least)) // len(own)
        return cells[np.diff(cells, prepend=-1) > 0]

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
        best = scores.max(axis=1) if len(scores) else np.zeros(0, np.float32)
        likely = np.flatnonzero(best >= threshold)
        likely = likely[np.argsort(-best[likely], kind="stable")][:MAX_CANDIDATES]
        corners = self._corners(np.asarray(boxes[likely], np.float64))
        if not np.isfinite(corners).all():
            raise EngineFault("segment: a likely box of the network's output is no number; reset the network and run it whole")
        labels, values = scores[likely].argmax(axis=1), best[likely].astype(np.float64)
        height, width = self._shape_px
        regions = []
        for (x1, y1, x2, y2), place in self._tell(corners, labels, values):
            box_px = [min(max(round(at), 0), side) for at, side in ((x1, width), (y1, height), (x2, width), (y2, height))]
            regions.append(self._region(box_px, self._labels[int(labels[place])], float(values[place])))
        shown = [region for region in regions if region is not None][: self.settings.max_regions]
        return tuple(sorted(shown, key=lambda region: (region.box_px[1], region.box_px[0], region.box_px, region.label)))

    def _tell(self, corners: NDArray[np.float64], labels: NDArray[np.int64], values: NDArray[np.float64]) -> list[tuple[list[float], int]]:
        """Of boxes (N, 4), likeliest first: those that no likelier one overlaps, pieces as one, each with the place of its likeliest."""
        hulls, kept = np.empty_like(corners), np.empty(len(corners), np.int64)
        count = tell_boxes(corners, labels, values, self._layout.overlap, self._layout.join, hulls, kept)
        return list(zip(hulls[:count].tolist(), kept[:count].tolist(), strict=True))

    def _corners(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """x1, y1, x2, y2 in frame pixels, where they reach beyond it, too."""
        placement = self._placement
        is_grid = self._layout.layout == "grid"
        if not self._layout.corners and not is_grid:
            boxes = np.hstack([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2])
        if self._layout.normalised and not is_grid:
            boxes = boxes * (*placement.input_px[::-1], *placement.input_px[::-1])
        offset, scale = placement.offset[::-1], placement.scale[::-1]
        return np.asarray((boxes - (*offset, *offset)) * (*scale, *scale))

    def _region(self, box_px: list[int], label: str, score: float) -> Region | None:
        """None where it is too small, or beside the frame."""
        x1, y1, x2, y2 = box_px
        area_px = max(0, x2 - x1) * max(0, y2 - y1)
        if area_px == 0 or area_px < self.settings.min_area_px:
            return None
        return rectangle((x1, y1, x2, y2), label, score)


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
