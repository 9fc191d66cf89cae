"""The state of one camera's change map: what was used, its tolerances, the noise, the reference. In: images. Keeps all of it.

`background.py` says what is done with it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgevision.compare import measure
from edgevision.compare.area import allowed_pixels, span_of
from edgevision.compare.belt import entering, move
from edgevision.compare.golden import Golden
from edgevision.compare.golden_view import GoldenView
from edgevision.compare.light import Lamp
from edgevision.compare.likeness import Likeness
from edgevision.compare.masks import MaskPool, ShownMask
from edgevision.compare.places import Places
from edgevision.compare.restless import Restless
from edgevision.compare.scratch import Scratch
from edgevision.compare.settings import ChangeSettings
from edgevision.compare.settle import Settle
from edgevision.compare.steady import Steady
from edgevision.records import Image

BANDS = 64
NOISE_MEMORY_FRAMES = 64
NOISE_EVERY = 8
CHANGE_SIGMAS = 7.0
NOISE_ROOM = 1.5
SPREAD_GUESS_LEVELS = 1.5
CALIBRATION_FRAMES = 4


class Background:
    """The state of one camera's change map. Built from its first frame, seen as (row, column x channel)."""

    def __init__(self, settings: ChangeSettings, image: Image, golden: Golden | None = None) -> None:
        height, width = image.shape[:2]
        self.shape = image.shape
        self.dtype = image.dtype
        self.channels = 1 if image.ndim == 2 else image.shape[2]
        bits = 8 if image.dtype == np.uint8 else settings.bits or 16
        self.level_shift = bits - 8
        flat = (height, width * self.channels)
        self.allowed = allowed_pixels(settings, height, width)
        self.allowed_px = int(self.allowed.sum())
        self.span = span_of(self.allowed, self.channels)
        self.settle = Settle(height, width, settings.settle_frames)
        self.used = np.zeros(flat, image.dtype)
        self.tolerance = np.zeros(flat, image.dtype)
        self.restless = Restless(flat, self.level_shift)
        self.corrected = np.zeros(flat, image.dtype)
        self.noise_counts = np.zeros((measure.NOISE_BINS, measure.RESIDUAL_BINS))
        self.faint_counts = np.zeros(measure.FAINT_BINS)
        self.mean = np.zeros(flat, np.uint16)  # in 1/256 of a gray level, as is the spread
        self.spread = np.zeros(flat, np.uint16)
        self.raw_foreground = np.zeros((height + 2, width + 2), np.uint8)
        self.foreground = ShownMask(height, width)
        self.streak = np.zeros((height, width) if settings.confirm_frames > 1 else (1, 1), np.uint8)
        self.held = np.zeros((height, width) if settings.hold_frames else (1, 1), np.uint8)
        self.frames = 0
        self.bright = self.bright_before = 0.0  # saturated share of the samples, now and when the network last ran whole
        self.taught_bright = 0.0  # that of the golden picture, where it began with it
        self.dazzled = 0
        self.noise = np.full(measure.LEVELS, measure.NOISE_GUESS)
        self.finer = 8 - self.level_shift
        self.depth = (self.level_shift, (measure.LEVELS << self.level_shift) - 1)
        self.is_stale = False  # the tolerances are of an earlier picture in use: nothing was looked for since
        self.began_golden = False  # the golden picture itself was the first frame, so that `used` is it and what differed from it
        self.golden = None if golden is None else GoldenView(golden, image, self.allowed, self.level_shift, settings)
        has_likeness = golden is not None and settings.golden_likeness > 0
        self.likeness = Likeness(golden.mean, self.allowed, float(1 << self.level_shift)) if golden and has_likeness else None
        self.steady = Steady((height, width), self.channels, self.level_shift, settings.steady_px)
        self.places = Places((height, width), self.channels, self.level_shift, settings.places_px)
        self.lamp = Lamp((height, width, self.channels), image.dtype, self.level_shift, self.span)
        self.pool = MaskPool(height, width)
        self.scratch = Scratch(height, width, self.channels, image.dtype)
        self.set_tables(settings)
        self.restart_reference(image.reshape(flat))

    @property
    def noise_measured(self) -> float:
        """The whole picture's noise as measured so far (gray levels, one sigma), at least the least that is believed."""
        return max(measure.noise_of(self.noise_counts.sum(axis=0)), measure.NOISE_LEAST)

    def set_tables(self, settings: ChangeSettings, is_anew: bool = False) -> None:
        """The tables by gray level, from the noise measured so far or given; kept while the noise moves by less than an eighth."""
        if settings.noise_sigma is None:
            noise = settings.adjust.in_force(measure.noise_by_level(self.noise_counts), self.noise_measured)
        else:
            noise = np.full(measure.LEVELS, settings.noise_sigma)
        if not is_anew and self.frames >= CALIBRATION_FRAMES and np.abs(noise - self.noise).max() < self.noise.max() / 8:
            return
        self.noise = noise
        self.restless.set_threshold(settings.pixel_threshold, settings.hysteresis)
        weak = settings.hysteresis * measure.strong_levels(settings.pixel_threshold, noise)
        self.weak_table = measure.to_table(weak, self.level_shift)
        self.tables = (self.weak_table, measure.to_table(measure.EDGE_SIGMAS * noise, self.level_shift), self.level_shift)
        self.cut = min(2 * int(self.weak_table.max()), np.iinfo(self.dtype).max - 1)
        self.stale_bands = BANDS

    def learn_noise(self, residuals: NDArray[np.int64], settings: ChangeSettings) -> None:
        """Take one frame's residual counts (gray bin, |residual|) into the slow memory, without those that are changes, not noise."""
        if not residuals[:, 1:].any():
            return  # the same frame again: it says nothing
        limit = (
            math.ceil(CHANGE_SIGMAS * max(measure.noise_of(self.noise_counts.sum(axis=0)), NOISE_ROOM))
            if self.frames > 1
            else measure.RESIDUAL_BINS - 2
        )
        self.noise_counts *= 1 - 1 / NOISE_MEMORY_FRAMES
        self.noise_counts[:, : limit + 1] += residuals[:, : limit + 1]
        if self.frames < NOISE_EVERY or self.frames % NOISE_EVERY == 0:
            self.set_tables(settings)

    def restart_reference(self, corrected: Image) -> None:
        """This frame is the reference, as if it had always been so."""
        np.left_shift(corrected, self.finer, out=self.mean, dtype=np.uint16)
        self.spread[:] = round(SPREAD_GUESS_LEVELS * 256)
        self.raw_foreground[:] = 0
        self.foreground.clear()

    def shift(self, down_px: int, right_px: int, flat: Image) -> None:
        """What was used, and what was said of it, moves along; what newly enters is used as `flat` shows it.

        The light stays: a lamp is uneven by the place it shines on, whatever lies there.
        """
        self.settle.shift(down_px, right_px)
        for axis, pixels in enumerate((down_px, right_px)):
            if pixels == 0:
                continue
            used, shown = (array.reshape(self.shape) for array in (self.used, flat))
            move(used, pixels, axis)
            entered = entering(pixels, self.shape[axis])
            np.moveaxis(used, axis, 0)[entered] = np.moveaxis(shown, axis, 0)[entered]
            for said in (self.raw_foreground[1:-1, 1:-1], self.foreground.mask, self.streak, self.held):
                if said.shape == self.shape[:2]:
                    move(said, pixels, axis)
                    np.moveaxis(said, axis, 0)[entered] = 0
        self.foreground.rewritten()

    def band(self) -> tuple[int, int]:
        """The rows whose slow work is due on this frame: every row that holds allowed pixels once in BANDS frames."""
        top, bottom = self.span[:2]
        k = self.frames % BANDS
        return top + k * (bottom - top) // BANDS, top + (k + 1) * (bottom - top) // BANDS
