"""What others tell changes by, beside ours, all asked alike. In: frames. Out: foreground and live masks. Kept: each method's own model.

MOG2 and KNN are OpenCV's background models; `difference` is the last frame's; `blocks` is the rule of DL Streamer's motion detection: a
block of 64 pixels counts where 5 % of it changed by 15 levels since the last frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import cv2
import numpy as np

from edgevision.compare.background import ChangeDetector
from edgevision.compare.settings import ChangeSettings
from edgevision.records import Image, Mask

DIFFERENCES = (5, 10, 15)
BLOCK_PX, BLOCK_SHARE, BLOCK_LEVELS = 64, 0.05, 15
SHADOW = 127  # what OpenCV's models mark as shadow, which is no foreground


class Method(Protocol):
    """One way to tell changes, for one clip."""

    name: str

    def apply(self, image: Image) -> tuple[Mask, Mask]:
        """(foreground, live) of the next frame (H, W[, 3])."""

    def seen(self, image: Image) -> Image:
        """The last frame as a network is given it at live pixels."""


class Ours:
    """The change map."""

    def __init__(self, settings: ChangeSettings | None = None) -> None:
        settings = settings or ChangeSettings()
        self.name = f"edgevision {settings.abs_threshold[0]:g}/{settings.var_threshold[0]:g}"
        self._detector = ChangeDetector(settings)
        self._seen: Image = np.zeros(0, np.uint8)

    def apply(self, image: Image) -> tuple[Mask, Mask]:
        """Foreground against the running reference, live against what was used."""
        change = self._detector.update(image)
        self._seen = change.corrected
        return change.foreground, change.live

    def seen(self, image: Image) -> Image:
        """The corrected frame."""
        return self._seen


class Model:
    """One of OpenCV's background models: what it calls foreground is live, too."""

    def __init__(self, name: str, history: int, threshold: float) -> None:
        make: Any = cv2.createBackgroundSubtractorMOG2 if name == "MOG2" else cv2.createBackgroundSubtractorKNN
        self.name = f"{name} {history}/{threshold:g}"
        self._model = make(history, threshold, True)

    def apply(self, image: Image) -> tuple[Mask, Mask]:
        """Without what it takes for shadow."""
        mask = np.asarray(self._model.apply(image) > SHADOW)
        return mask, mask

    def seen(self, image: Image) -> Image:
        """The frame."""
        return image


class Difference:
    """The last frame, by so many gray levels of any channel; by blocks, where `block_px` is not 0."""

    def __init__(self, levels: int, block_px: int = 0) -> None:
        self.name = f"blocks {block_px}/{levels}" if block_px else f"difference {levels}"
        self._levels, self._block_px = levels, block_px
        self._last: Image | None = None

    def apply(self, image: Image) -> tuple[Mask, Mask]:
        """All of the first frame, nothing of which is foreground."""
        last, self._last = self._last, image
        if last is None:
            return np.zeros(image.shape[:2], np.bool_), np.ones(image.shape[:2], np.bool_)
        far = cv2.absdiff(image, last)
        mask = (far if far.ndim == 2 else far.max(axis=2)) > self._levels
        mask = self._in_blocks(mask) if self._block_px else np.asarray(mask)
        return mask, mask

    def seen(self, image: Image) -> Image:
        """The frame."""
        return image

    def _in_blocks(self, mask: Mask) -> Mask:
        height, width = mask.shape
        size = self._block_px
        rows, columns = -(-height // size), -(-width // size)
        room = np.zeros((rows * size, columns * size), np.bool_)
        room[:height, :width] = mask
        changed = room.reshape(rows, size, columns, size).mean(axis=(1, 3)) > BLOCK_SHARE
        return np.asarray(np.repeat(np.repeat(changed, size, axis=0), size, axis=1)[:height, :width])


def plain_methods() -> Iterator[Method]:
    """Those that have nothing to be searched for."""
    yield from (Difference(levels) for levels in DIFFERENCES)
    yield Difference(BLOCK_LEVELS, BLOCK_PX)


def models(name: str) -> Iterator[Method]:
    """One of OpenCV's models at the settings that are searched, its defaults among them, first."""
    thresholds = (16, 10, 25, 40, 60) if name == "MOG2" else (400, 150, 200, 300, 800)
    yield from (Model(name, history, threshold) for history in (500, 100, 250, 1000) for threshold in thresholds)


def ours() -> Iterator[Method]:
    """The change map at the settings that are searched, its defaults first."""
    yield Ours()
    yield from (Ours(ChangeSettings(abs_threshold=(a, a), var_threshold=(b, b))) for a in (8, 20, 30) for b in (3, 4, 6))
