"""A policy that bounds the work of one frame: where too much is live, a share of it now, the rest on the frames that follow.

In: ChangeMap. Out: a mask inside its live pixels. Kept: the row at which the next frame goes on. While pixels wait, the verdict is not OK.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from edgevision.records import ChangeMap, Mask, Settings
from edgevision.registry import Registry


class ShareSettings(Settings):
    """How much is recomputed on one frame."""

    type: Literal["share"] = Field("share", description="Names this policy.")
    share: float = Field(0.25, gt=0, le=1, description="At most about this share of the frame's pixels is recomputed on one frame.")
    band_px: int = Field(32, ge=1, le=4096, description="Live pixels are taken in bands of so many rows.")


class SharePolicy:
    """Bands of rows in turn, each until the budget is spent; at least one, so that every live pixel gets its turn."""

    def __init__(self, settings: ShareSettings) -> None:
        self.settings = settings
        self._row = 0

    def select(self, change: ChangeMap) -> Mask:
        live = change.live
        budget = self.settings.share * live.size
        if change.full_reason is not None or np.count_nonzero(live) <= budget:
            self._row = 0
            return live
        height = live.shape[0]
        chosen = np.zeros(live.shape, np.bool_)
        bands = -(-height // self.settings.band_px)
        first = (self._row // self.settings.band_px) % bands
        for turn in range(bands):
            start = (first + turn) % bands * self.settings.band_px
            band = live[start : start + self.settings.band_px]
            count = np.count_nonzero(band)
            if count > budget and chosen.any():
                break
            chosen[start : start + self.settings.band_px] = band
            budget -= count
            self._row = (start + self.settings.band_px) % height if start + self.settings.band_px < height else 0
        return chosen


def register(registry: Registry) -> None:
    registry.register("policy", "share", SharePolicy, ShareSettings)
