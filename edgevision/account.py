"""What is written down of a frame that was inspected: all that is known of it, and how long each stage took. Keeps laps of one frame."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from edgevision.records import ChangeMap, Frame, Inspection, Region


def account_of(frame: Frame, change: ChangeMap, regions: tuple[Region, ...], has_foreground: bool = True, **said: Any) -> Inspection:
    """The frame's Inspection, still without events: `said` are the fields that neither frame, change map nor regions tell.

    Without `has_foreground` nobody looked for what differs from the reference.
    """
    height, width = change.live.shape
    return Inspection(
        frame_seq=frame.seq,
        ts=frame.ts,
        size_px=(width, height),
        scene=change.scene,
        live_fraction=change.fraction,
        foreground_fraction=np.count_nonzero(change.foreground) / change.foreground.size if has_foreground else None,
        gain=change.gain,
        offset=change.offset,
        full_reason=change.full_reason,
        regions=regions,
        events=(),
        score=max((region.score for region in regions), default=0.0),
        part_id=frame.part_id,
        job_id=frame.job_id,
        dropped_since_last=frame.dropped_since_last,
        simulated=frame.simulated,
        **said,
    )


class Stopwatch:
    """Milliseconds by stage; a stage entered twice adds up."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> float:
        """Put the time since the last lap down to this stage; returns it."""
        now = time.perf_counter()
        elapsed_ms = (now - self._last) * 1e3
        self._laps[stage] = self._laps.get(stage, 0.0) + elapsed_ms
        self._last = now
        return elapsed_ms

    def read(self) -> dict[str, float]:
        """Every stage's milliseconds, and `total`."""
        return {**self._laps, "total": (self._last - self._start) * 1e3}
