"""Thresholds that follow the camera's noise slowly, in steps that somebody can read and take back. In: the noise as measured, now and then.
Out: a `Step`, at most one in `every_s`. Keeps what was measured since the last one.

`pixel_threshold`, the windows of `faint_sigmas` and the edges stand on the noise in multiples of it. By themselves they follow what is
measured at once and without bound. With `adjust` they stand on `adjust.noise_sigma` instead, which only a step moves: by at most `step`,
within `bounds`, written down where every value that is set while running is. How the noise is spread over gray levels is measured as ever.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from edgevision.compare import measure
from edgevision.records import Settings

FIRST_S = 60.0  # what is measured in so many seconds is where it begins
LEAST_SHARE = 0.05  # a smaller step is not worth one
LEAST_READINGS = 30
READING_S = 1.0
DIGITS = 3


class AdjustSettings(Settings):
    """Whether and how the thresholds that stand on the noise follow it."""

    enabled: bool = Field(False, description="Let the noise that thresholds stand on follow the measured one in slow steps, each logged.")
    noise_sigma: float | None = Field(
        None,
        gt=0,
        le=50,
        description="The noise in gray levels that thresholds stand on, as the last step left it; empty: it begins at what is measured.",
    )
    bounds: tuple[float, float] = Field((0.5, 6.0), description="Gray levels [least, most] within which it stays, whatever is measured.")
    every_s: float = Field(3600.0, ge=60, le=2_592_000, description="Seconds from one step to the next, at least.")
    step: float = Field(0.1, gt=0, le=1, description="Share by which one step moves it, at most.")

    @field_validator("bounds")
    @classmethod
    def _bounds_are_in_order(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] <= 50:
            raise ValueError(f"is {list(value)}; it must be [least, most] with 0 < least <= most <= 50")
        return value

    @property
    def within(self) -> float | None:
        """`noise_sigma` as the bounds let it be, which may have been written anew since it was set."""
        return None if self.noise_sigma is None else min(max(self.noise_sigma, self.bounds[0]), self.bounds[1])

    def in_force(self, noise: NDArray[np.float64], measured: float) -> NDArray[np.float64]:
        """The noise by gray level that thresholds stand on, of the one measured there and of the whole picture's, which is above 0."""
        return noise if not self.enabled or self.within is None else np.asarray(noise * (self.within / measured))


class Step(NamedTuple):
    """What the noise should be from now on, None where it stays although what was measured calls for more; and why."""

    value: float | None
    why: str


class Adjuster:
    """One camera's steps. A new one waits its time, so that nothing that somebody has set is moved at once."""

    def __init__(self, settings: AdjustSettings, pixel_threshold: float | str = "auto") -> None:
        self.settings = settings
        self._pixel_threshold = pixel_threshold
        self._readings: list[float] = []
        self._since_ts: float | None = None
        self._read_ts = -math.inf

    def note(self, measured: float | None, ts: float) -> Step | None:
        """Take in the noise of the whole picture (gray levels, one sigma) at `ts`, in seconds; a step where one is due."""
        if not self.settings.enabled or measured is None:
            return None
        if self._since_ts is None or ts < self._read_ts:  # the first, or the clock was set back
            self._begin(ts)
        if self._since_ts is None or ts - self._read_ts < READING_S:
            return None
        self._read_ts = ts
        self._readings.append(measured)
        wait_s = FIRST_S if self.settings.noise_sigma is None else self.settings.every_s
        if ts - self._since_ts < wait_s or len(self._readings) < LEAST_READINGS:
            return None
        found, seconds = float(np.median(self._readings)), ts - self._since_ts
        self._begin(ts)
        return self._step(found, seconds)

    def _begin(self, ts: float) -> None:
        self._since_ts, self._read_ts = ts, -math.inf
        self._readings.clear()

    def _step(self, measured: float, seconds: float) -> Step | None:
        """Towards what was measured, as far as step and bounds let it."""
        settings, (least, most) = self.settings, self.settings.bounds
        wanted = min(max(measured, least), most)
        why = f"the noise was {measured:.3g} gray levels (median of {seconds:.0f} s)"
        beyond = f"; compare.adjust.bounds end at {wanted:g}: see to lamp, gain and lens" if measured > most else ""
        now = settings.within
        if now is None:
            value = wanted
        else:
            value = min(max(wanted, now / (1 + settings.step)), now * (1 + settings.step))
            if abs(value - now) < min(LEAST_SHARE, settings.step / 2) * now:
                return Step(None, why + beyond) if beyond else None
            why += f", a step is {settings.step:.0%} at most" if value != wanted else ""
        value = min(max(round(value, DIGITS), least), most)
        return Step(value, f"{why}{beyond}; {self._threshold_words(now, value)}")

    def _threshold_words(self, now: float | None, value: float) -> str:
        """What the step makes of the change threshold."""
        before, after = (
            None if sigma is None else float(measure.strong_levels(self._pixel_threshold, np.full(1, sigma))[0]) for sigma in (now, value)
        )
        return f"a pixel is live from {after:.1f} gray levels on" + ("" if before is None else f", before from {before:.1f}")
