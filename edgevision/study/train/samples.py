"""Training crops, as the network will see them. In: line numbers. Out: crops with targets and weights. Keeps nothing between lines.

In service the network is given a patchwork: only pixels that differ from what it used before are renewed, so old noise, old light and
ghosts of parts a little out of place stay. `UsedInput` makes the same pictures, with the product's own change detector.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.synthetic import LABELS, Line, Truth
from edgevision.compare.background import ChangeDetector, ChangeSettings
from edgevision.study.train.domain import is_findable, random_settings

Bytes = NDArray[np.uint8]
CROP_PX = 160
CYCLES = 5
CROPS_PER_FRAME = 2
SHARE_RAW = 0.2  # crops cut from the plain frame, not from the patchwork


@dataclass(frozen=True, slots=True)
class Crops:
    """`images` (n, CROP, CROP, 3) uint8 BGR; `targets` (n, labels, CROP/2, CROP/2) 0 or 1; `weights` (n, CROP/2, CROP/2) 0 or 1."""

    images: Bytes
    targets: Bytes
    weights: Bytes


class UsedInput:
    """What the network used last: renewed, frame by frame, where the change detector says so."""

    def __init__(self, settings: ChangeSettings) -> None:
        self._detector = ChangeDetector(settings)
        self._used: Bytes | None = None

    def renew(self, frame: Bytes) -> Bytes:
        """The patchwork after `frame`; the next call changes it in place."""
        change = self._detector.update(frame)
        if self._used is None:
            self._used = frame.copy()
        live = change.live[..., None].view(np.uint8)
        cv2.copyTo(np.ascontiguousarray(change.corrected), live, self._used)
        return self._used


def random_detector(rng: np.random.Generator) -> ChangeSettings:
    """A change detector as someone might set it: mostly as it comes."""
    if rng.random() < 0.5:
        return ChangeSettings()
    return ChangeSettings(pixel_threshold=float(rng.uniform(5, 14)), grow_px=int(rng.integers(0, 4)), vibration_px=float(rng.uniform(0, 1)))


def targets_of(truth: Truth, line: Line) -> tuple[Bytes, Bytes]:
    """(labels, H, W) what is to be marked, and (H, W) where the loss counts: not on what nobody could find."""
    height, width = line.settings.height, line.settings.width
    target = np.zeros((len(LABELS), height, width), dtype=np.uint8)
    weight = np.ones((height, width), dtype=np.uint8)
    for defect in truth.defects:
        x1, y1, x2, y2 = defect.box_px
        left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
        mask = defect.mask[top - y1 : bottom - y1, left - x1 : right - x1]
        target[LABELS.index(defect.label), top:bottom, left:right] |= mask.astype(np.uint8)
        if not is_findable(defect.contrast, line.settings) or np.count_nonzero(mask) < 12:
            weight[top:bottom, left:right] = 0
    return target, weight


def halved(target: Bytes, weight: Bytes) -> tuple[Bytes, Bytes]:
    """Targets and weights at the network's stride of 2; a defect's rim, which nobody can place to the pixel, does not count."""
    labels, height, width = target.shape
    small = target.reshape(labels, height // 2, 2, width // 2, 2).max(axis=(2, 4))
    counts = weight.reshape(height // 2, 2, width // 2, 2).min(axis=(1, 3))
    anywhere = small.max(axis=0)
    rim = cv2.dilate(anywhere, np.ones((3, 3), np.uint8)) - anywhere
    return small, np.where(rim > 0, 0, counts).astype(np.uint8)


def frames_of(line: Line, cycle: int) -> range:
    """The frames of one part that are drawn: while it comes, stops and begins to stand, each one, because ghosts build up."""
    first, _ = line.belt.standing(cycle)
    return range(max(0, first - 20), first + 5)


def _corner(truth: Truth, line: Line, rng: np.random.Generator) -> tuple[int, int]:
    """Where to cut: mostly about a defect, else on a part, else anywhere; even numbers, so that targets line up."""
    choice, half = rng.random(), CROP_PX // 2
    if truth.defects and choice < 0.5:
        x1, y1, x2, y2 = truth.defects[int(rng.integers(len(truth.defects)))].box_px
        middle = ((x1 + x2) / 2 + rng.uniform(-60, 60), (y1 + y2) / 2 + rng.uniform(-60, 60))
    elif truth.parts_px and choice < 0.88:
        x1, y1, x2, y2 = truth.parts_px[int(rng.integers(len(truth.parts_px)))]
        middle = (rng.uniform(x1, x2), rng.uniform(y1, y2))
    else:
        middle = (rng.uniform(0, line.settings.width), rng.uniform(0, line.settings.height))
    x = int(np.clip(middle[0] - half, 0, line.settings.width - CROP_PX)) // 2 * 2
    y = int(np.clip(middle[1] - half, 0, line.settings.height - CROP_PX)) // 2 * 2
    return x, y


def crops_of_line(number: int, seed: int) -> Crops:
    """All crops of training line `number`; the same numbers give the same crops."""
    rng = np.random.default_rng((seed, number))
    line = Line(random_settings(rng, seed=(seed * 7919 + number) % 900_000))
    used = UsedInput(random_detector(rng))
    images, targets, weights = [], [], []
    for cycle in range(1, 1 + CYCLES):
        for frame in frames_of(line, cycle):
            picture, truth = line.frame(frame)
            patchwork = used.renew(picture)
            target, weight = targets_of(truth, line)
            for _ in range(CROPS_PER_FRAME):
                x, y = _corner(truth, line, rng)
                source = picture if rng.random() < SHARE_RAW else patchwork
                images.append(source[y : y + CROP_PX, x : x + CROP_PX].copy())
                place = (slice(y, y + CROP_PX), slice(x, x + CROP_PX))
                small, counts = halved(target[:, place[0], place[1]], weight[place])
                targets.append(small)
                weights.append(counts)
    return Crops(np.stack(images), np.stack(targets), np.stack(weights))
