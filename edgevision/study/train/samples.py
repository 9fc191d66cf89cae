"""Training crops, as the network will see them. In: line numbers. Out: crops with targets and weights. Keeps nothing between lines.

In service the network is given a patchwork: only pixels that differ from what it used before are renewed, so old noise, old light and
edges of parts a little out of place stay. `UsedInput` makes such pictures: the simplest of change detectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.synthetic import LABELS, Line, Truth
from edgevision.study.train.domain import is_findable, random_settings

Bytes = NDArray[np.uint8]
CROP_PX = 160
CYCLES = 8
CROPS_PER_FRAME = 3
SHARE_RAW = 0.3  # crops cut from the plain frame, not from the patchwork


@dataclass(frozen=True, slots=True)
class Crops:
    """`images` (n, CROP, CROP, 3) uint8 BGR; `targets` (n, labels, CROP/2, CROP/2) 0 or 1; `weights` (n, CROP/2, CROP/2) 0 or 1."""

    images: Bytes
    targets: Bytes
    weights: Bytes


class UsedInput:
    """What the network used last: renewed where a frame differs by more than `limit` gray levels, grown by `grow` pixels."""

    def __init__(self, limit: float, grow: int) -> None:
        self._limit = limit
        self._kernel = np.ones((2 * grow + 1, 2 * grow + 1), np.uint8)
        self._used: Bytes | None = None

    def renew(self, frame: Bytes, gain: float) -> Bytes:
        """The patchwork after `frame`, whose light is `gain` times the reference's."""
        corrected = np.asarray(cv2.multiply(frame, (1 / gain, 1 / gain, 1 / gain, 0.0)), dtype=np.uint8)
        if self._used is None:
            self._used = corrected
            return self._used
        apart = cv2.absdiff(corrected, self._used)
        strong = cv2.blur(cv2.max(cv2.max(apart[..., 0], apart[..., 1]), apart[..., 2]), (3, 3)) > self._limit
        live = cv2.dilate(strong.astype(np.uint8), self._kernel)
        self._used = np.where(live[..., None] > 0, corrected, self._used)
        return self._used


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


def frames_of(line: Line, cycle: int, rng: np.random.Generator) -> list[int]:
    """Frame numbers of one part: one or two while it comes, two while it stops, one or two while it stands."""
    first, last = line.belt.standing(cycle)
    numbers = [first - int(rng.integers(6, 25)), first - int(rng.integers(2, 5)), first - 1, first + int(rng.integers(1, 4))]
    numbers.append(int(rng.integers(first + 4, max(last, first + 6))))
    return [max(0, number) for number in numbers]


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
    used = UsedInput(float(rng.uniform(4, 13)), int(rng.integers(0, 4)))
    images, targets, weights = [], [], []
    for cycle in range(1, 1 + CYCLES):
        for frame in frames_of(line, cycle, rng):
            picture, truth = line.frame(frame)
            patchwork = used.renew(picture, line.camera.lamp(frame) * float(rng.normal(1.0, 0.008)))
            target, weight = targets_of(truth, line)
            for _ in range(CROPS_PER_FRAME):
                x, y = _corner(truth, line, rng)
                source = picture if rng.random() < SHARE_RAW else patchwork
                images.append(source[y : y + CROP_PX, x : x + CROP_PX])
                place = (slice(y, y + CROP_PX), slice(x, x + CROP_PX))
                small, counts = halved(target[:, place[0], place[1]], weight[place])
                targets.append(small)
                weights.append(counts)
    return Crops(np.stack(images), np.stack(targets), np.stack(weights))
