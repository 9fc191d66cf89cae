"""The state of every camera as of now. In: inspections and counts from the workers. Out: Snapshots and the health numbers.

Written by worker threads, read by the supervisor, the page and the metrics; a lock keeps each snapshot whole.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from edgevision.records import Inspection, Snapshot

WINDOW = 512  # inspections that health figures are taken over


@dataclass
class _Camera:
    availability: str = "offline"
    last: Inspection | None = None
    counters: dict[str, float] = field(default_factory=dict)
    total_ms: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    live: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    advanced_s: float | None = None  # None while no worker is at work


class Board:
    """One entry a camera, made when the camera is first named."""

    def __init__(self, cameras: tuple[str, ...]):
        self._lock = threading.Lock()
        self._cameras = {camera: _Camera() for camera in cameras}
        self._changed: set[str] = set(cameras)

    def seen(self, inspection: Inspection) -> None:
        """Note an inspection: its verdict, its time and its live share."""
        with self._lock:
            camera = self._cameras[inspection.camera]
            if camera.last is None or (camera.last.verdict, camera.last.scene) != (inspection.verdict, inspection.scene):
                self._changed.add(inspection.camera)
            camera.last = inspection
            if inspection.mode != "none":
                camera.total_ms.append(inspection.timing_ms["total"])
                camera.live.append(inspection.live_fraction)
            for name in ("frames", f"verdict_{inspection.verdict.value}"):
                camera.counters[name] = camera.counters.get(name, 0) + 1
            camera.counters["events"] = camera.counters.get("events", 0) + len(inspection.events)

    def count(self, camera: str, name: str, amount: float = 1) -> None:
        """Add to a camera's counter."""
        with self._lock:
            counters = self._cameras[camera].counters
            counters[name] = counters.get(name, 0) + amount

    def advance(self, camera: str, now_s: float) -> None:
        """Note that this camera's worker is alive, on the monotonic clock."""
        with self._lock:
            self._cameras[camera].advanced_s = now_s

    def rest(self, camera: str) -> None:
        """Note that this camera's worker has ended: it is not missed."""
        with self._lock:
            self._cameras[camera].advanced_s = None

    def set_availability(self, camera: str, availability: str) -> bool:
        """Set online | offline | disabled; True when that is news."""
        with self._lock:
            entry = self._cameras[camera]
            is_news = entry.availability != availability
            entry.availability = availability
            if is_news:
                self._changed.add(camera)
            return is_news

    def take_changed(self) -> tuple[str, ...]:
        """The cameras whose state is news since the last call."""
        with self._lock:
            changed, self._changed = sorted(self._changed), set()
            return tuple(changed)

    def stalled(self, now_s: float, limit_s: float) -> tuple[str, ...]:
        """The cameras whose worker is at work and has not advanced for `limit_s`."""
        with self._lock:
            entries = self._cameras.items()
            return tuple(name for name, entry in entries if entry.advanced_s is not None and now_s - entry.advanced_s > limit_s)

    def snapshots(self) -> dict[str, Snapshot]:
        """Every camera's state, whole."""
        with self._lock:
            return {
                name: Snapshot(name, entry.availability, entry.last, dict(entry.counters), _figures(entry))
                for name, entry in self._cameras.items()
            }


def _figures(entry: _Camera) -> dict[str, float]:
    if not entry.total_ms:
        return {}
    p50, p99 = np.percentile(entry.total_ms, (50, 99))
    return {"total_ms_p50": float(p50), "total_ms_p99": float(p99), "live_fraction_mean": float(np.mean(entry.live))}
