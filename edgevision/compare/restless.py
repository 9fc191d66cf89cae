"""How much each value of a picture strays by itself: a screen that flickers, steam, a codec that cannot make up its mind about an edge.

In: frames, what was used, where nothing is live. Out: `own`, which tolerances are set from. Keeps, by value, what three of four differences
from what was used stay below, in 1/16 of a gray level.

The noise by gray level is right for most values of a picture; some stray more than their level does, and are forgiven more: at most twice
as much, so that a defect in a restless place is still seen. Nothing is learnt where a frame is live or under a defect: what comes and
goes is no noise.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.compare import measure
from edgevision.records import Image, Mask

EVERY = 5  # frames: no factor in common with the number of bands, so that all have their turn
QUARTILE_SIGMAS = 1.6268  # three in four differences of two pictures lie below, in sigmas of the noise of each
DOUBT = 1.5  # what was used may itself lie far from the middle: so much less is believed


class Restless:
    """One camera's picture of (row, column x channel), `level_shift` bits deeper than 8."""

    def __init__(self, flat_shape: tuple[int, int], level_shift: int) -> None:
        self._values = np.zeros(flat_shape, np.uint8)
        self._level_shift = level_shift
        self._flags = np.zeros(flat_shape[1], np.uint8)
        self.own: tuple[NDArray[np.uint8], int] = (self._values, 0)

    def set_threshold(self, pixel_threshold: str | float, hysteresis: float) -> None:
        """So many sigmas are forgiven as elsewhere; a threshold in gray levels stands as it is."""
        sigmas = 0.0
        if isinstance(pixel_threshold, str):
            sigmas = measure.AUTO_SIGMAS if pixel_threshold == "auto" else measure.sigmas_of(pixel_threshold)
        self.own = (self._values, round(256 * sigmas * hysteresis / (QUARTILE_SIGMAS * DOUBT)))

    def learn(self, kernels: ModuleType, frame: tuple[Image, Image, Any], masks: tuple[Mask, Mask, Any], rows: tuple[int, int]) -> None:
        """Learn these rows of a frame (itself, what was used, the light); `masks` are (live, protected, allowed)."""
        channels = frame[0].shape[1] // masks[0].shape[1]
        kernels.learn_restless(*frame, self._level_shift, masks, rows, channels, self._flags, self._values)
