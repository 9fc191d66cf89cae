"""How good a network is on lines it has never seen, frame by frame and without tracking. In: a predictor. Out: Scores. Keeps nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.synthetic import Line, SyntheticSettings, Truth
from edgevision.compare.background import ChangeSettings
from edgevision.study.train.samples import UsedInput

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # frame (H, W, 3) BGR -> (labels, H/2, W/2) probabilities
COMING = (-13, -9, -5, -2)  # frames before a part stops at which the network is asked
LOOKS = (3, 9, 16)  # and after it
NEAR_PX = 6


@dataclass(frozen=True, slots=True)
class Look:
    """One defect in one frame: the strongest marking on it, of any label."""

    id: str
    label: str
    contrast: float
    area_px: int
    score: float


@dataclass(frozen=True, slots=True)
class FalseRegion:
    """A marking that lies on no defect: its strongest value, its size and where it is."""

    seed: int
    frame: int
    is_moving: bool
    score: float
    area_px: int
    box_px: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Scores:
    """What came of all frames looked at."""

    looks: tuple[Look, ...]
    false_regions: tuple[FalseRegion, ...]
    frames: int

    def missed(self, threshold: float, share: float = 0.5) -> tuple[str, ...]:
        """The defects marked in less than `share` of the frames in which their part stood."""
        found: dict[str, list[bool]] = {}
        for look in self.looks:
            found.setdefault(look.id, []).append(look.score >= threshold)
        return tuple(name for name, hits in found.items() if np.mean(hits) < share)

    def defects(self) -> int:
        """How many defects there were."""
        return len({look.id for look in self.looks})

    def false_a_frame(self, threshold: float, area_px: int = 12) -> float:
        """False regions a frame, standing or moving."""
        return sum(r.score >= threshold and r.area_px >= area_px for r in self.false_regions) / max(1, self.frames)


def score_lines(predict: Predict, lines: Sequence[SyntheticSettings], parts: int = 8, *, floor: float = 0.2) -> Scores:
    """Look at `parts` parts of each line through the patchwork that the change detector makes."""
    looks: list[Look] = []
    false_regions: list[FalseRegion] = []
    frames = 0
    for settings in lines:
        line, used = Line(settings), UsedInput(ChangeSettings())
        for cycle in range(parts):
            first, last = line.belt.standing(cycle)
            for number in range(max(0, first + COMING[0]), min(last, first + LOOKS[-1] + 1)):
                picture, truth = line.frame(number)
                patchwork = used.renew(picture)
                if number - first in (*COMING, *LOOKS):
                    marks = predict(patchwork)
                    frames += 1
                    looks += _looks(marks, truth, settings.seed)
                    false_regions += _false_regions(marks, truth, floor, settings.seed)
    return Scores(tuple(looks), tuple(false_regions), frames)


def _looks(marks: NDArray[np.float32], truth: Truth, seed: int) -> list[Look]:
    """How strongly the defects of the standing part are marked."""
    found = []
    for defect in truth.defects:
        if truth.station is None or defect.part != truth.station:
            continue
        x1, y1, x2, y2 = (v // 2 for v in defect.box_px)
        near = marks[:, max(0, y1 - 1) : y2 + 2, max(0, x1 - 1) : x2 + 2]
        scores = [float(np.sort(plane.ravel())[-3:].min()) for plane in near]  # three marked cells at least
        found.append(Look(f"{seed}-{defect.id}", defect.label, defect.contrast, defect.area_px, max(scores)))
    return found


def _false_regions(marks: NDArray[np.float32], truth: Truth, floor: float, seed: int) -> list[FalseRegion]:
    """Markings of `floor` and more that touch no defect."""
    strongest = marks.max(axis=0)
    for defect in truth.defects:
        x1, y1, x2, y2 = defect.box_px
        strongest[max(0, (y1 - NEAR_PX) // 2) : (y2 + NEAR_PX) // 2, max(0, (x1 - NEAR_PX) // 2) : (x2 + NEAR_PX) // 2] = 0
    count, names, boxes, _ = cv2.connectedComponentsWithStats((strongest >= floor).astype(np.uint8))
    regions = []
    for name in range(1, count):
        x, y, width, height, area = (int(v) for v in boxes[name])
        score = float(strongest[names == name].max())
        box = (2 * x, 2 * y, 2 * (x + width), 2 * (y + height))
        regions.append(FalseRegion(seed, truth.frame, truth.is_moving, score, 4 * area, box))
    return regions
