"""One camera in numbers, in its worker's process. In: inspections and what happened beside them. Out: a Snapshot. Kept: the numbers.

Nothing here grows with time: the figures are of the newest inspections, the counters are as many as there are reasons.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable

import numpy as np

from edgevision.records import Histogram, Inspection, Notice, Snapshot

WINDOW = 512  # inspections that the figures are taken over
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
UNREACHABLE = "unreachable"
FAMILIES = ("verdicts", "drops", "reconnects", "full_runs", "audits", "close_calls", "noticed", "compared")
FULL_REASONS = frozenset({"first", "global_change", "audit", "close_call"})  # any other is an engine's fault, told in words


class Tally:
    """What one camera did since its worker began. Every method may be called from any thread."""

    def __init__(self, camera: str, clock: Callable[[], float] = time.time):
        self.camera = camera
        self._clock = clock
        self._lock = threading.Lock()
        self._availability = "offline"
        self._trouble: str | None = "no frame yet"
        self._warnings: tuple[str, ...] = ()
        self._last: Inspection | None = None
        self._counters: Counter[str] = Counter()
        self._families: dict[str, Counter[str]] = {name: Counter() for name in FAMILIES}
        self._notices: dict[str, str] = {}
        self._stage_s: dict[str, float] = {}
        self._total_ms: deque[float] = deque(maxlen=WINDOW)
        self._live: deque[float] = deque(maxlen=WINDOW)
        self._latest: dict[str, float] = {}
        self._buckets = [0] * (len(BOUNDS_S) + 1)
        self._inspect_s = 0.0

    def seen(self, inspection: Inspection, is_recorded: bool = False) -> bool:
        """Note an inspection that was told; True when its verdict or its scene is news. `is_recorded`: its time is a recording's own."""
        with self._lock:
            last, self._last = self._last, inspection
            self._counters["frames"] += 1
            self._counters["events"] += len(inspection.events)
            self._families["verdicts"][inspection.verdict.value] += 1
            if inspection.audit is not None:
                self._families["audits"][inspection.audit] += 1
            if inspection.close_call is not None:
                self._families["close_calls"][inspection.close_call] += 1
            if inspection.mode != "none":
                self._note_run(inspection, is_recorded)
            return last is None or (last.verdict, last.scene) != (inspection.verdict, inspection.scene)

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counters[name] += amount

    def drop(self, reason: str, amount: int = 1) -> None:
        """Note frames that were not looked at."""
        with self._lock:
            self._counters["dropped"] += amount
            self._families["drops"][reason] += amount

    def reconnect(self, reason: str, amount: int = 1) -> None:
        """Note decoders that were lost and started again; or attempts that failed before any frame came, as `unreachable`."""
        with self._lock:
            if reason != UNREACHABLE:
                self._counters["restarts"] += amount
            self._families["reconnects"][reason] += amount

    def notice(self, notice: Notice) -> bool:
        """Note what a person should know, or that it is over; True when that is news."""
        with self._lock:
            known = self._notices.pop(notice.what, None)
            if notice.is_over:
                return known is not None
            self._notices[notice.what] = notice.text
            self._families["noticed"][notice.kind] += known != notice.text
            return known != notice.text

    def compare(self, result: str) -> None:
        """Note what came of a part that a candidate looked at, too."""
        with self._lock:
            self._families["compared"][result] += 1

    def warn(self, warnings: tuple[str, ...]) -> None:
        """Note what is wrong with how the camera is set, as of now."""
        with self._lock:
            self._warnings = warnings

    def set_availability(self, availability: str, trouble: str | None = None) -> bool:
        """Set online | offline and why not; True when that is news."""
        with self._lock:
            is_news = self._availability != availability
            self._availability, self._trouble = availability, trouble
            return is_news

    def snapshot(self) -> Snapshot:
        """The numbers as of now, whole."""
        with self._lock:
            return Snapshot(
                camera=self.camera,
                availability=self._availability,
                last=self._last,
                counters=dict(self._counters),
                figures=self._figures(),
                trouble=self._trouble,
                warnings=self._warnings,
                stage_s=dict(self._stage_s),
                inspect_s=Histogram(BOUNDS_S, tuple(self._buckets), self._inspect_s),
                notices=dict(self._notices),
                **{name: dict(family) for name, family in self._families.items()},
            )

    def _note_run(self, inspection: Inspection, is_recorded: bool) -> None:
        """Under the lock: the times and shares of a frame that the network saw."""
        total_s = inspection.timing_ms["total"] / 1e3
        self._total_ms.append(inspection.timing_ms["total"])
        self._live.append(inspection.live_fraction)
        self._buckets[bisect_left(BOUNDS_S, total_s)] += 1
        self._inspect_s += total_s
        for stage, lap_ms in inspection.timing_ms.items():
            if stage != "total":
                self._stage_s[stage] = self._stage_s.get(stage, 0.0) + lap_ms / 1e3
        if inspection.full_reason is not None:
            self._families["full_runs"][inspection.full_reason if inspection.full_reason in FULL_REASONS else "engine_fault"] += 1
        self._latest["live_fraction"] = inspection.live_fraction
        if not is_recorded:
            self._latest["frame_age_s"] = max(0.0, self._clock() - inspection.ts)
        if inspection.audit_disagreement is not None:
            self._latest["audit_disagreement"] = inspection.audit_disagreement

    def _figures(self) -> dict[str, float]:
        if not self._total_ms:
            return {}
        p50, p99 = np.percentile(self._total_ms, (50, 99))
        return {"total_ms_p50": float(p50), "total_ms_p99": float(p99), "live_fraction_mean": float(np.mean(self._live)), **self._latest}
