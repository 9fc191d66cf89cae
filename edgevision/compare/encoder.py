"""The belt's way from an encoder's counts, at the time of each frame. In: readings (count, time), frames' times. Out: pixels, or why not.

Counts come when they come, frames in between: where the belt stood when a frame was taken lies between two readings, or as far beyond the
newest as its speed carries it, for `stale_s` at most. Places are absolute, so what one frame was given too much the next is given less.
Kept: the newest readings, the place that was told last.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from edgevision.errors import InputError
from edgevision.records import Settings

KEPT = 32
SPEED_READINGS = 4  # the newest ones, which tell how fast it runs now
SPEED_S = 0.01  # a speed from readings closer together than this would be chance
MOST_COUNT = 1e15


class EncoderSettings(Settings):
    """How an encoder's counts become pixels, and what is done without them."""

    px_per_count: float | None = Field(
        None,
        description="Pixels that the picture moves by with one count, to the right or down, below 0 to the left or up; empty: there is no "
        "encoder, and the way is measured in the picture.",
    )
    wraps_at: int | None = Field(
        None,
        ge=2,
        le=10**15,
        description="How many counts there are before the encoder begins again at 0, such as 65536; empty: it never does.",
    )
    stale_s: float = Field(
        0.5,
        gt=0,
        le=60,
        description="Seconds from the newest reading to the frame, from which on the encoder is lost; send also while it stands.",
    )
    when_lost: Literal["measure", "refuse"] = Field(
        "measure",
        description="Without counts: measure the way in the picture and say WARN once, or refuse: not inspected until they come again.",
    )

    @field_validator("px_per_count")
    @classmethod
    def _moves_something(cls, value: float | None) -> float | None:
        if value is not None and not 1e-9 <= abs(value) <= 1e6:
            raise ValueError(f"is {value:g}; it must be pixels for each count, from 1e-9 to 1e6 either way")
        return value


class Encoder:
    """One belt's encoder. `read` from any thread, the rest from the worker's. `trouble` says why the last way asked for is not known."""

    def __init__(self, settings: EncoderSettings) -> None:
        self.settings = settings
        self.trouble: str | None = None
        self._lock = threading.Lock()
        self._readings: deque[tuple[float, float]] = deque(maxlen=KEPT)  # (time, count without wraps)
        self._raw = 0.0
        self._told: float | None = None

    def read(self, count: float, ts: float) -> None:
        """Take a reading. One that is older than the newest is left out; a clock that was set back begins anew. Raises InputError."""
        if not abs(count) <= MOST_COUNT:
            raise InputError(f"encoder: count is {count!r}; it must be a number within {MOST_COUNT:g}")
        with self._lock:
            if self._readings and ts < self._readings[-1][0] - self.settings.stale_s:
                self._readings.clear()
            if not self._readings:
                place = count
            elif ts <= self._readings[-1][0]:
                return
            else:
                place = self._readings[-1][1] + self._passed(count - self._raw)
            self._raw = count
            self._readings.append((ts, place))

    def way_px(self, ts: float) -> float | None:
        """How far the belt has moved at `ts` since the last frame asked for; None where that is not known, as after a loss.

        `trouble` is set while the encoder is lost. Where frames are refused meanwhile, the way goes on from the last one that was not.
        """
        place = self._place(ts)
        before, is_refusing = self._told, self.settings.when_lost == "refuse"
        if place is not None or not is_refusing:
            self._told = place
        if place is None or before is None:
            return None
        return (place - before) * (self.settings.px_per_count or 0.0)

    def _passed(self, counts: float) -> float:
        """The shorter way round, where the encoder begins again at 0."""
        wrap = self.settings.wraps_at
        return counts if wrap is None else (counts + wrap / 2) % wrap - wrap / 2

    def _place(self, ts: float) -> float | None:
        """Where the belt stood at `ts`, in counts."""
        with self._lock:
            readings = list(self._readings)
        self.trouble = self._trouble(ts, readings)
        if self.trouble is not None:
            return None
        (first_ts, first), (last_ts, last) = readings[0], readings[-1]
        if ts > last_ts:
            return last + speed_of(readings[-SPEED_READINGS:]) * (ts - last_ts)
        if ts < first_ts:
            return first - speed_of(readings[:SPEED_READINGS]) * (first_ts - ts)
        return float(np.interp(ts, [at for at, _ in readings], [place for _, place in readings]))

    def _trouble(self, ts: float, readings: list[tuple[float, float]]) -> str | None:
        """Why nothing is known of the belt at `ts`."""
        stale_s = self.settings.stale_s
        if not readings:
            return "the encoder has sent no count yet; publish them, also while the belt stands, or leave compare.encoder out"
        late_s, early_s = min(ts - readings[-1][0], 1e6), min(readings[0][0] - ts, 1e6)
        limit = f"the limit is {stale_s:g} s (compare.encoder.stale_s)"
        if late_s > stale_s:
            return f"the encoder's last count is {late_s:.1f} s older than the frame, {limit}; see to encoder and broker"
        if early_s > stale_s:
            return f"the frame is {early_s:.1f} s older than the encoder's counts, {limit}; are its clock and the camera's one?"
        return None


def speed_of(readings: list[tuple[float, float]]) -> float:
    """Counts a second from the first to the last; 0 where they say nothing of it."""
    (first_ts, first), (last_ts, last) = readings[0], readings[-1]
    return (last - first) / (last_ts - first_ts) if last_ts - first_ts > SPEED_S else 0.0
