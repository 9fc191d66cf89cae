"""What a network's outputs say before any threshold: for the measures that rank answers. In: outputs of one frame. Out: `Reading`s.

A picture's score is the highest probability in its outputs: of a label's pixel in a map, of a box, of a class that is no normal one, or
what an anomaly network itself says of the whole picture. Boxes are those that the camera's decoder finds, and beside them those that it
finds with its thresholds put down towards `rank_threshold` of the recipe: a region of a map keeps the outline that the camera would report,
a fainter one stands only where no clearer one does. Keeps, as every decoder, its last frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.records import Mask, Region
from edgevision.segment.anomaly import AnomalyDecoder
from edgevision.segment.decoders import decoder_for
from edgevision.segment.facts import NetworkFacts
from edgevision.segment.segmentation import SegmentationDecoder
from edgevision.segment.settings import SegmentSettings
from edgevision.study.scores import Scored, overlap

Heat = NDArray[np.float32]
LEVELS = 3  # of thresholds at which a map is read, from the camera's own down to `rank_threshold`
MOST_REGIONS = 4096


@dataclass(frozen=True, slots=True)
class Reading:
    """`score` of the picture; `boxes` from the lowest threshold on; `heat` (H, W) 0..1 in frame pixels, None where there is no map."""

    score: float
    boxes: tuple[Scored, ...]
    heat: Heat | None


class Ranker:
    """Reads the outputs of one network on frames of one size (height, width)."""

    def __init__(self, settings: SegmentSettings, shape_px: tuple[int, int], facts: NetworkFacts, rank_threshold: float):
        is_map = settings.kind in ("segmentation", "anomaly")
        highest = max(settings.low_threshold, rank_threshold) if is_map else rank_threshold
        levels = np.geomspace(highest, rank_threshold, LEVELS if highest > rank_threshold else 1)
        self._decoders = tuple(decoder_for(_lowered(settings, float(level)), shape_px, facts) for level in levels)
        self._shape_px = shape_px

    def read(self, outputs: Mapping[str, NDArray[Any]]) -> Reading:
        """Of one frame, whatever was read before. Raises InputError, EngineFault as the decoders do."""
        boxes: list[Scored] = []
        for decoder in self._decoders:
            decoder.reset()
            fainter = [Scored(region.label, region.score, region.box_px) for region in decoder.decode(outputs, {})]
            boxes += [one for one in fainter if not any(overlap(one.box_px, clear.box_px) > 0 for clear in boxes)]
        heat = self._heat(outputs)
        score = max((box.score for box in boxes), default=0.0)
        first = self._decoders[0]
        if isinstance(first, AnomalyDecoder) and first.picture_score is not None:
            score = first.picture_score
        elif heat is not None:
            score = float(heat.max())
        return Reading(score, tuple(boxes), heat)

    def _heat(self, outputs: Mapping[str, NDArray[Any]]) -> Heat | None:
        first = self._decoders[0]
        if not isinstance(first, SegmentationDecoder | AnomalyDecoder):
            return None
        likely = first.likelihood(outputs)
        height, width = self._shape_px
        return np.asarray(cv2.resize(likely, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _lowered(settings: SegmentSettings, level: float) -> SegmentSettings:
    return settings.model_copy(update={"threshold": level, "low_threshold": level, "max_regions": MOST_REGIONS})


def marked(heat: Heat, regions: tuple[Region, ...], low_threshold: float) -> Mask:
    """Bool (H, W): what a camera reports, pixel by pixel: what is likely enough, within the boxes of its regions."""
    mask = np.zeros(heat.shape, np.bool_)
    for region in regions:
        x1, y1, x2, y2 = region.box_px
        mask[y1:y2, x1:x2] |= heat[y1:y2, x1:x2] >= low_threshold
    return mask
