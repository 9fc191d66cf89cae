"""The state of every camera as of now. In: Snapshots of the worker processes, what the supervisor knows beside them. Out: Snapshots.

Written by the supervisor's threads, read by them, the page and the metrics; a lock keeps each snapshot whole. A worker that is started
anew counts from zero; here the counters go on.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from edgevision.records import Histogram, Snapshot

Number = TypeVar("Number", int, float)


@dataclass
class _Camera:
    now: Snapshot
    before: Snapshot | None = None  # the sum of its worker's earlier lives
    own: Counter[str] = field(default_factory=Counter)


class Board:
    """One entry a camera."""

    def __init__(self, cameras: Iterable[str], on_news: Callable[[], None] = lambda: None):
        """`on_news` is called, from any thread, when a camera comes or goes; a verdict that is news can wait for the next look."""
        self._lock = threading.Lock()
        self._cameras = {camera: _Camera(_blank(camera)) for camera in cameras}
        self._changed: set[str] = set(self._cameras)
        self._on_news = on_news

    def add(self, camera: str, availability: str = "offline") -> None:
        """Make an entry for a camera that is new in the configuration."""
        with self._lock:
            self._cameras.setdefault(camera, _Camera(_blank(camera)))
        self.set_availability(camera, availability)

    def remove(self, camera: str) -> None:
        """Forget a camera that is no longer in the configuration."""
        with self._lock:
            self._cameras.pop(camera, None)
            self._changed.discard(camera)

    def post(self, snapshot: Snapshot) -> None:
        """Take what a worker says of its camera."""
        with self._lock:
            entry = self._cameras.get(snapshot.camera)
            if entry is None:
                return
            has_moved = entry.now.availability != snapshot.availability
            if has_moved or _face(entry.now) != _face(snapshot):
                self._changed.add(snapshot.camera)
            entry.now = snapshot
        if has_moved:
            self._on_news()

    def begin_life(self, camera: str) -> None:
        """The camera's worker is started anew: what it counted so far is kept, and it is offline."""
        with self._lock:
            entry = self._cameras[camera]
            entry.before = _sum(entry.before, entry.now)
            entry.now = replace(_blank(camera), last=entry.now.last, availability=entry.now.availability, trouble=entry.now.trouble)

    def count(self, camera: str, name: str, amount: int = 1) -> None:
        """Add to a counter that is the supervisor's own."""
        with self._lock:
            self._cameras[camera].own[name] += amount

    def set_availability(self, camera: str, availability: str, trouble: str | None = None) -> bool:
        """Set online | offline | disabled, until its worker says otherwise; True when that is news."""
        with self._lock:
            entry = self._cameras[camera]
            is_news = entry.now.availability != availability
            entry.now = replace(entry.now, availability=availability, trouble=trouble)
            if is_news:
                self._changed.add(camera)
        if is_news:
            self._on_news()
        return is_news

    def touch_all(self) -> None:
        """Every camera's state is news: the configuration that it names has changed."""
        with self._lock:
            self._changed |= set(self._cameras)
        self._on_news()

    def take_changed(self) -> tuple[str, ...]:
        """The cameras whose state is news since the last call."""
        with self._lock:
            changed, self._changed = sorted(self._changed & set(self._cameras)), set()
            return tuple(changed)

    def snapshots(self) -> dict[str, Snapshot]:
        """Every camera's state, whole, with the counters of all its worker's lives."""
        with self._lock:
            return {camera: _whole(entry) for camera, entry in self._cameras.items()}


def _blank(camera: str) -> Snapshot:
    return Snapshot(camera, "offline", None, {}, {})


def _face(snapshot: Snapshot) -> tuple[object, ...]:
    """What others are told of when it changes, beside the availability."""
    last = snapshot.last
    return last and last.verdict, last and last.scene, snapshot.notices


def _whole(entry: _Camera) -> Snapshot:
    total = _sum(entry.before, entry.now)
    return replace(total, counters=_added(total.counters, entry.own)) if entry.own else total


def _sum(before: Snapshot | None, now: Snapshot) -> Snapshot:
    """`now` with the counters of both."""
    if before is None:
        return now
    return replace(
        now,
        counters=_added(before.counters, now.counters),
        verdicts=_added(before.verdicts, now.verdicts),
        drops=_added(before.drops, now.drops),
        reconnects=_added(before.reconnects, now.reconnects),
        full_runs=_added(before.full_runs, now.full_runs),
        audits=_added(before.audits, now.audits),
        close_calls=_added(before.close_calls, now.close_calls),
        noticed=_added(before.noticed, now.noticed),
        compared=_added(before.compared, now.compared),
        stage_s=_added(before.stage_s, now.stage_s),
        inspect_s=_joined(before.inspect_s, now.inspect_s),
    )


def _added(one: Mapping[str, Number], other: Mapping[str, Number]) -> dict[str, Number]:
    return {name: one[name] + other[name] if name in one and name in other else {**one, **other}[name] for name in {**one, **other}}


def _joined(one: Histogram, other: Histogram) -> Histogram:
    if one.bounds != other.bounds:  # a worker that has inspected nothing yet, or one of another version
        return max(one, other, key=lambda histogram: sum(histogram.counts))
    counts = tuple(first + second for first, second in zip(one.counts, other.counts, strict=True))
    return Histogram(one.bounds, counts, one.total + other.total)
