"""From probability maps to regions, at the price of the pixels that changed.

In: the network's outputs and, per output, the box that really changed. Out: regions in frame pixels. Kept: the mask on the network's own
grid, and the regions found on it. A mask pixel is looked at again only inside the changed box, a region only when that box touches it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.errors import EngineFault, InputError
from edgevision.records import Box, Candidate, Mask, Region
from edgevision.segment.odds import NEAR, excess, reached
from edgevision.segment.outline import Scale, outline
from edgevision.segment.settings import SegmentSettings

__all__ = ["DEFAULT_THRESHOLD", "SegmentSettings", "SegmentationDecoder", "sigmoid", "softmax"]

Floats = NDArray[np.float32]

DEFAULT_THRESHOLD = 0.5


class SegmentationDecoder:
    """One camera's regions. `shape_px` is the frame's (height, width); the network's grid may be coarser by any ratio.

    `span_px` is what the grid covers where that is more than the frame, which then lies in its top left corner; the rest is not looked at.
    `labels` and `threshold` are what the network's file says of itself; the settings come before them.
    """

    def __init__(
        self,
        settings: SegmentSettings,
        shape_px: tuple[int, int],
        labels: Sequence[str] = (),
        threshold: float | None = None,
        span_px: tuple[int, int] | None = None,
    ) -> None:
        self.settings = settings
        self._threshold = np.float32(settings.threshold or threshold or DEFAULT_THRESHOLD)
        self._low = min(np.float32(settings.low_threshold), self._threshold)
        self._shape_px = shape_px
        self._span_px = span_px or shape_px
        self._scale = Scale(shape_px, shape_px)
        self._labels = settings.labels or tuple(labels)
        self._marks = np.zeros((0, 0), np.uint8)  # (row, column) of the network's grid, 1 where a label is likely
        self._regions: tuple[Region, ...] = ()
        self._known: dict[Box, Candidate | None] = {}  # by box on the network's grid: no two regions share one

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What the last answer shows, and what falls short of the threshold by at most `odds.NEAR`; in no order."""
        return tuple(candidate for candidate in self._known.values() if candidate is not None)

    @property
    def told(self) -> tuple[Candidate, ...]:
        """What the last answer shows."""
        return reached(self.candidates)

    @property
    def mask(self) -> Mask:
        """Bool (row, column) on the network's grid: where a label reaches `low_threshold`. Empty before the first frame. A copy."""
        return self._marks.astype(bool)

    def decode(self, outputs: Mapping[str, NDArray[Any]], changed: Mapping[str, Box | None]) -> tuple[Region, ...]:
        """The regions of these outputs, topmost first; the same object as before when nothing changed.

        `changed` gives the box of output pixels that differ from the last call, None for none; an output it does not name is read whole.
        Raises InputError for outputs that do not fit the settings, EngineFault for NaN in a region.
        """
        name = self._output_name(outputs)
        maps = self._label_maps(name, outputs[name])
        height, width = maps.shape[1:]
        if self._marks.shape != (height, width):
            self.reset()
            self._marks = np.zeros((height, width), np.uint8)
            box: Box | None = (0, 0, width, height)
        else:
            box = _inside(changed.get(name, (0, 0, width, height)), width, height)
        if box is not None:
            self._mark(maps, box)
            self._regions = self._find(maps, box)
        return self._regions

    def likelihood(self, outputs: Mapping[str, NDArray[Any]]) -> Floats:
        """(row, column) on the network's grid, as far as it lies on the frame: the highest probability of any label. Changes nothing."""
        name = self._output_name(outputs)
        return np.asarray(self._probabilities(self._label_maps(name, outputs[name])).max(axis=0), np.float32)

    def reset(self) -> None:
        """Forget the mask: the next call reads the whole output."""
        self._marks = np.zeros((0, 0), np.uint8)
        self._regions = ()
        self._known = {}

    def _output_name(self, outputs: Mapping[str, NDArray[Any]]) -> str:
        name = self.settings.output
        if name is None and len(outputs) == 1:
            return next(iter(outputs))
        if name is None or name not in outputs:
            raise InputError(f"segment.output is {name!r}; it must be one of {', '.join(outputs)}; name the one to decode")
        return name

    def _label_maps(self, name: str, output: NDArray[Any]) -> Floats:
        """The output's part on the frame as (channel, row, column), a view, background left in place. Names the labels on first sight."""
        if output.ndim != 4 or output.shape[0] != 1:
            raise InputError(f"output {name!r} has shape {output.shape}; a segmentation output is (1, channels, rows, columns)")
        first = 1 if self.settings.activation == "softmax" else 0
        count = output.shape[1] - first
        if count < 1:
            raise InputError(f"output {name!r} has {output.shape[1]} channel(s); softmax needs a background and a label; use sigmoid")
        if not self._labels:
            self._labels = ("defect",) if count == 1 else tuple(f"class_{index}" for index in range(count))
        if len(self._labels) != count:
            raise InputError(f"output {name!r} has {count} label channel(s) but {len(self._labels)} label(s) are named; set segment.labels")
        rows, columns = (self._shape_px[axis] * output.shape[2 + axis] / self._span_px[axis] for axis in (0, 1))
        self._scale = Scale(self._shape_px, (rows, columns))
        maps: Floats = output[0][:, : math.ceil(rows), : math.ceil(columns)]
        return maps

    def _probabilities(self, maps: Floats) -> Floats:
        """Channels first in, label probabilities out, channels first; a view where the network has done it all."""
        if self.settings.activation == "softmax":
            return (softmax(maps) if self.settings.is_logits else maps)[1:]
        return sigmoid(maps) if self.settings.is_logits else maps

    def _mark(self, maps: Floats, box: Box) -> None:
        """Redraw the mask inside the box. NaN is marked, so that it cannot pass for a clean surface."""
        x1, y1, x2, y2 = box
        labels = self._probabilities(maps[:, y1:y2, x1:x2])
        unlikely = labels[0] < self._low
        for label in labels[1:]:
            unlikely &= label < self._low
        np.logical_not(unlikely, out=self._marks[y1:y2, x1:x2].view(bool))

    def _find(self, maps: Floats, changed: Box) -> tuple[Region, ...]:
        """All regions of the mask. One outside the changed box is taken over: neither its pixels nor their values can have moved."""
        contours, _ = cv2.findContours(self._marks, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        found = sorted(((_box_of(contour), contour) for contour in contours), key=lambda pair: (-_area(pair[0]), pair[0]))
        known: dict[Box, Candidate | None] = {}
        kept: list[Region] = []
        for box, contour in found:
            if len(kept) == self.settings.max_regions:
                break
            is_still = box in self._known and not _meet(box, changed)
            known[box] = candidate = self._known[box] if is_still else self._candidate(maps, box, contour)
            if candidate is not None and candidate.excess >= 0:
                kept.append(candidate.region)
        self._known = known
        return tuple(sorted(kept, key=lambda region: (region.box_px[1], region.box_px[0], region.box_px)))

    def _candidate(self, maps: Floats, box: Box, contour: NDArray[np.int32]) -> Candidate | None:
        """The region inside an outline, with whatever it encloses; None where it is too small or nowhere nearly likely enough."""
        scale = self._scale
        if scale.area(_area(box)) < self.settings.min_area_px:
            return None
        x1, y1, x2, y2 = box
        inside = np.zeros((y2 - y1, x2 - x1), np.uint8)
        cv2.drawContours(inside, [contour], 0, 1, cv2.FILLED, offset=(-x1, -y1))
        rows, columns = np.nonzero(inside & self._marks[y1:y2, x1:x2])
        area_px = scale.area(len(rows))
        if area_px < self.settings.min_area_px:
            return None
        values = self._probabilities(np.ascontiguousarray(maps[:, y1:y2, x1:x2][:, rows, columns]))  # (label, pixel)
        best = values.max(axis=0)
        peak = float(best.max())
        if np.isnan(peak):
            raise EngineFault(f"segment: the network's output holds NaN in region {scale.box(box)}; reset the network and run it whole")
        over = excess(peak, float(self._threshold))
        if over < -NEAR:
            return None
        region = Region(
            label=self._labels[int(values.sum(axis=1).argmax())],
            score=min(1.0, _quantile(best, self.settings.score_quantile)),
            box_px=scale.box(box),
            area_px=area_px,
            polygon=outline(contour, scale, self.settings.polygon_tolerance_px),
            centroid_px=scale.point(x1 + float(columns.mean()) + 0.5, y1 + float(rows.mean()) + 0.5),
        )
        return Candidate(region, over)


def _quantile(values: Floats, quantile: float) -> float:
    """The value at that place in the sorted values, without interpolation: a tenth of `np.quantile`'s time."""
    place = round(quantile * (len(values) - 1))
    return float(np.partition(values, place)[place])


def sigmoid(maps: Floats) -> Floats:
    """Of every value."""
    return np.float32(1.0) / (np.float32(1.0) + np.exp(-maps))


def softmax(maps: Floats) -> Floats:
    """Along the first axis."""
    powers = np.exp(maps - maps.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0), np.float32)


def _box_of(contour: NDArray[np.int32]) -> Box:
    x, y, width, height = cv2.boundingRect(contour)
    return x, y, x + width, y + height


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _inside(box: Box | None, width: int, height: int) -> Box | None:
    """The part of the box on the grid, None where nothing is left of it."""
    if box is None:
        return None
    x1, y1, x2, y2 = max(0, box[0]), max(0, box[1]), min(width, box[2]), min(height, box[3])
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None
