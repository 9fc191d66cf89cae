"""The first frame of a scene, kept as it is until a second one comes: only then is worked out what comparing needs.

In: a frame. Out: whether it shows anything; the ChangeMap of a whole run. Where each picture is a scene of its own, nothing more is done.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgevision.compare.image import read_only
from edgevision.compare.scratch import steps_of
from edgevision.compare.settings import ChangeSettings
from edgevision.errors import BadFrame
from edgevision.records import ChangeMap, Image, Scene

DARK_LEVELS = 2  # from black, and from white: so near, a value says nothing


class FirstFrame:
    """A copy of it, (row, column x channel), and the shape in which it came."""

    def __init__(self, flat: Image, shape: tuple[int, ...]) -> None:
        self.flat = flat.copy()
        self.shape: tuple[int, ...] = shape
        self.dtype: Any = flat.dtype


def may_wait(settings: ChangeSettings) -> bool:
    """Whether all of a frame counts, so that nothing has to be drawn to say whether it shows anything."""
    return settings.roi is None and not settings.ignore


def check_first(image: Image, settings: ChangeSettings) -> None:
    """Raises BadFrame where hardly any of its samples shows anything. They are those that the change map would take."""
    height, width = image.shape[:2]
    channels = image.size // (height * width)
    level_shift = (8 if image.dtype == np.uint8 else settings.bits or 16) - 8
    down, across = steps_of(height, width, channels)
    samples = image[::down, ::across]
    low, high = DARK_LEVELS << level_shift, (256 << level_shift) - 1 - (DARK_LEVELS << level_shift)
    dark, bright = int(np.count_nonzero(samples <= low)), int(np.count_nonzero(samples >= high))
    refuse_blind(samples.size, (dark, bright), settings.blind_fraction)


def refuse_blind(seen: int, blind: tuple[int, int], limit: float) -> None:
    """Raises BadFrame where so many of the samples seen are black, or saturated."""
    for count, what, remedy in zip(blind, ("black", "saturated"), ("lens cap, lamp and cable", "exposure, gain and lamp"), strict=True):
        if seen and count >= limit * seen:
            share = f"{count / seen:.1%} of its samples, the limit is {limit:.1%}"
            raise BadFrame(f"the picture is {what}: {share} (compare.blind_fraction); check {remedy}")


def whole(image: Image) -> ChangeMap:
    """All of it live, as it is."""
    shape = image.shape[:2]
    live, foreground = np.ones(shape, np.bool_), np.zeros(shape, np.bool_)
    return ChangeMap(read_only(live), read_only(foreground), 1.0, 1.0, 0.0, Scene.NORMAL, read_only(image), "first")
