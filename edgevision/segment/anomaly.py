"""From an anomaly map, perhaps with a score for the whole picture, to regions. In: outputs. Out: regions in frame pixels.

Kept: the normalised map, of which only the changed box is worked out anew, and the segmentation decoder that finds regions on it.
Normalisation is anomalib's: (value - threshold) / (max - min) + 0.5, held within 0..1, so that 0.5 is where anomalous begins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import ConfigError, EngineFault, InputError
from edgevision.records import Box, Candidate, Region
from edgevision.segment.boxes import rectangle
from edgevision.segment.facts import NetworkFacts
from edgevision.segment.odds import NEAR, excess, reached
from edgevision.segment.segmentation import DEFAULT_THRESHOLD, SegmentationDecoder
from edgevision.segment.settings import AnomalySettings, SegmentSettings

LABEL = "anomaly"
_MAP_KEYS = ("pixel_threshold", ("anomaly_maps.min", "min"), ("anomaly_maps.max", "max"))
_SCORE_KEYS = ("image_threshold", ("pred_scores.min", "min"), ("pred_scores.max", "max"))


@dataclass(frozen=True, slots=True)
class Normal:
    """value -> (value - threshold) / (high - low) + 0.5 within 0..1; NaN stays NaN."""

    threshold: float
    low: float
    high: float

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """The same shape, float32."""
        scaled = (values - np.float32(self.threshold)) * np.float32(1.0 / (self.high - self.low)) + np.float32(0.5)
        return np.asarray(np.clip(scaled, 0.0, 1.0), np.float32)


class AnomalyDecoder:
    """One camera's anomalies. `shape_px` is the frame's (height, width). Raises ConfigError for thresholds that make no sense."""

    def __init__(self, settings: SegmentSettings, shape_px: tuple[int, int], facts: NetworkFacts = NetworkFacts()) -> None:  # noqa: B008
        self.settings = settings
        self._shape_px = shape_px
        found = _metadata(settings.anomaly.metadata_file, facts.metadata)
        self._map_normal = _normal(settings.anomaly, settings.anomaly.map_threshold, found, _MAP_KEYS)
        self._score_normal = _normal(settings.anomaly, settings.anomaly.score_threshold, found, _SCORE_KEYS)
        self._threshold = settings.threshold or facts.threshold or DEFAULT_THRESHOLD
        self._labels = settings.labels or facts.labels or (LABEL,)
        plain = settings.model_copy(update={"output": "map", "activation": "sigmoid", "is_logits": False})
        self._finder = SegmentationDecoder(plain, shape_px, self._labels, facts.threshold, facts.span_px)
        self._map = np.zeros((1, 1, 0, 0), np.float32)
        self._score: float | None = None
        self._found: tuple[Region, ...] = ()
        self._regions: tuple[Region, ...] | None = None

    def decode(self, outputs: Mapping[str, NDArray[Any]], changed: Mapping[str, Box | None]) -> tuple[Region, ...]:
        """The regions of these outputs, topmost first; the same object as before when nothing changed.

        Raises InputError for outputs that do not fit the settings, EngineFault for NaN in a region or in the score.
        """
        name = self._map_name(outputs)
        score = self._read_score(outputs)
        box = self._take(name, outputs[name], changed)
        found = self._finder.decode({"map": self._map}, {"map": box})
        if self._regions is None or found is not self._found or score != self._score:
            self._found, self._score = found, score
            self._regions = self._judged(found, score)
        return self._regions

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What the last answer shows, and what falls short of the map's or the picture's threshold by at most `odds.NEAR`."""
        found = self._finder.candidates
        if self._score is None:
            return found
        over = excess(self._score, self._threshold)
        if over < -NEAR:
            return ()
        height, width = self._shape_px
        whole = Candidate(rectangle((0, 0, width, height), self._labels[0], self._score), over)
        return tuple(Candidate(region, min(over, own)) for region, own in found) or (whole,)

    @property
    def told(self) -> tuple[Candidate, ...]:
        """What the last answer shows."""
        return reached(self.candidates)

    @property
    def picture_score(self) -> float | None:
        """What the network said of the whole last picture, 0..1; None where it says nothing of it."""
        return self._score

    def likelihood(self, outputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(row, column) on the network's grid: the normalised map of these outputs. Changes nothing."""
        values = outputs[self._map_name(outputs)][0, 0]
        return np.asarray(self._map_normal.apply(values) if self._map_normal else values, np.float32)

    def reset(self) -> None:
        """Forget the map: the next call reads the whole output."""
        self._map = np.zeros((1, 1, 0, 0), np.float32)
        self._finder.reset()
        self._regions = None

    def _map_name(self, outputs: Mapping[str, NDArray[Any]]) -> str:
        name = self.settings.output
        others = [one for one in outputs if one != self.settings.anomaly.score_output]
        if name is None and len(others) == 1:
            return others[0]
        if name is None or name not in outputs:
            raise InputError(f"segment.output is {name!r}; it must be one of {', '.join(outputs)}; name the one to decode")
        return name

    def _take(self, name: str, output: NDArray[Any], changed: Mapping[str, Box | None]) -> Box | None:
        """Normalise the changed box into the kept map, and say which it was."""
        if output.ndim != 4 or output.shape[:2] != (1, 1):
            raise InputError(f"output {name!r} has shape {output.shape}; an anomaly map is (1, 1, rows, columns)")
        whole = (0, 0, output.shape[3], output.shape[2])
        box: Box | None = changed.get(name, whole)
        if self._map.shape != output.shape:
            self._map, box = np.zeros(output.shape, np.float32), whole
        if box is not None:
            place = (..., slice(box[1], box[3]), slice(box[0], box[2]))
            self._map[place] = self._map_normal.apply(output[place]) if self._map_normal else output[place]
        return box

    def _read_score(self, outputs: Mapping[str, NDArray[Any]]) -> float | None:
        name = self.settings.anomaly.score_output
        if name is None:
            return None
        if name not in outputs or outputs[name].size != 1:
            shown = outputs[name].shape if name in outputs else f"among {', '.join(outputs)}, not there"
            raise InputError(f"segment.anomaly.score_output {name!r} is {shown}; it must be an output of one value; or leave it out")
        values = np.asarray(outputs[name], np.float32).reshape(-1)
        score = float((self._score_normal.apply(values) if self._score_normal else values)[0])
        if np.isnan(score):
            raise EngineFault(f"segment: the network's output {name!r} holds NaN; reset the network and run it whole")
        return score

    def _judged(self, found: tuple[Region, ...], score: float | None) -> tuple[Region, ...]:
        """What the picture's score makes of the regions."""
        if score is None:
            return found
        if score < self._threshold:
            return ()
        height, width = self._shape_px
        return found or (rectangle((0, 0, width, height), self._labels[0], score),)


def _metadata(path: Path | None, own: Mapping[str, str]) -> Mapping[str, Any]:
    """What anomalib exported: in a file of its own, or in the network's. Raises ConfigError for a file that is none."""
    if path is None:
        return own
    remedy = "segment.anomaly.metadata_file is the metadata.json that anomalib exports"
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; {remedy}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: holds no JSON object; {remedy}")
    return found


def _normal(
    settings: AnomalySettings, threshold: float | None, found: Mapping[str, Any], keys: tuple[str, tuple[str, str], tuple[str, str]]
) -> Normal | None:
    """None where nothing is said of it: the values are 0 to 1 then. Raises ConfigError where it is said in part, or makes no sense."""
    threshold_key, low_keys, high_keys = keys
    values = (
        threshold if threshold is not None else _number(found, (threshold_key,)),
        settings.min if settings.min is not None else _number(found, low_keys),
        settings.max if settings.max is not None else _number(found, high_keys),
    )
    known = [value for value in values if value is not None]
    if not known:
        return None
    if len(known) < 3 or not known[1] < known[2]:
        names = ", ".join(f"{key} {value}" for key, value in zip((threshold_key, "min", "max"), values, strict=True))
        raise ConfigError(f"segment.anomaly: {names}; all three are needed, min below max; set them or give metadata_file")
    return Normal(*known)


def _number(found: Mapping[str, Any], keys: tuple[str, ...]) -> float | None:
    for key in keys:
        try:
            value = float(found[key])
        except (KeyError, TypeError, ValueError):
            continue
        if np.isfinite(value):
            return value
    return None
