"""Working space of the change map's kernels, for frames of one size. In: a size. Out: arrays. Keeps nothing that means anything."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgevision.compare import measure
from edgevision.compare.masks import zeros_on_line

SAMPLES = 5400
SAMPLE_ROWS = 40  # at least, where there are as many: fewer do not show a wave along the rows
ROW_ROOM = 512


class Scratch:
    """Working space of the kernels: its contents mean nothing between calls, but `weak` is left all zero."""

    def __init__(self, height: int, width: int, channels: int, dtype: Any) -> None:
        self.flags = np.zeros(width * channels, np.uint8)
        self.weak = np.zeros((height + 2, width + 2), np.uint8)
        self.points = np.zeros(height * width, np.int32)
        self.runs = np.zeros((height * (width // 2 + 1), 3), np.int32)
        self.chosen_runs = np.zeros_like(self.runs)
        self.steep = np.zeros(width * channels, np.int32)
        self.queue = np.zeros(height * width, np.int32)
        self.steps = steps_of(height, width, channels)
        self.faint_step = odd(max(1, int(2 * math.sqrt(height * width * channels / SAMPLES))))
        samples = (height // self.steps[0] + 1) * (width // self.steps[1] + 1) * channels
        self.samples = np.zeros((5, samples), np.int32)
        self.faint = np.zeros(measure.FAINT_BINS, np.int64)
        wide = -(-width * channels // 64) * 64 + ROW_ROOM
        self.rows = zeros_on_line((5, wide), np.int16 if dtype == np.uint8 else np.int32)
        self.first = np.zeros(height, np.int32)
        self.last = np.zeros(height, np.int32)
        self.none = np.zeros((height, width), np.bool_)


def steps_of(height: int, width: int, channels: int) -> tuple[int, int]:
    """How many rows and columns on the next sample lies."""
    area = height * width * channels / SAMPLES
    down = max(1, min(int(math.sqrt(area)), height // SAMPLE_ROWS))
    return odd(down), odd(max(1, int(area / down)))


def odd(step: int) -> int:
    """The step, or the one before it: an even one would meet the same place in each of a codec's blocks."""
    return max(1, step - 1 + step % 2)
