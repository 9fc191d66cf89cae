"""Helping threads for one network: a kernel's runs are cut into shares of about equal pixels, and whoever is free takes the next.

In: a kernel and its runs. Out: nothing; when `run` returns every share is done. Keeps its threads, asleep on a lock each, from the first
time they are wanted until the crew is garbage. The caller works too and never waits for a helper that has not taken a share: one that the
system wakes late, or that a fork has lost, costs nothing but its help. Handing over costs 10 to 50 us, most of it Python's lock.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import count as counter
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Kernel, Runs

SHARES_EACH = 3
SHARE_NS = 300_000.0
AWAKE_TICKS = 600_000  # of the CPU's clock, some 0.2 ms: longer than from one step of a network to the next

Spin = Callable[[NDArray[np.int64], int, int], int]


@cache
def spinner() -> Spin:
    """Looks at a number until it changes, without Python's lock."""
    from edgevision.kernels.compiled.spin import spin

    return spin  # type: ignore[no-any-return]


@dataclass(slots=True, eq=False)
class _Job:
    """One kernel's shares. Taking a share and counting the finished are single steps of built-in iterators: no two threads get one."""

    kernel: Kernel
    runs: Runs
    shares: Iterator[tuple[int, int]]
    last: int
    finished: Iterator[int] = field(default_factory=counter)
    done: threading.Lock = field(default_factory=threading.Lock)
    is_done: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    error: BaseException | None = None

    def work(self) -> None:
        """Take shares until none is left."""
        for begin, end in self.shares:
            try:
                self.kernel(self.runs, begin, end)
            except BaseException as error:  # told to the caller by `run`
                self.error = error
            finally:
                if next(self.finished) == self.last:
                    self.is_done[0] = 1
                    self.done.release()


class _Post:
    """Where one helper waits for the newest job: first awake, as the next step is near, then asleep."""

    def __init__(self, spin: Spin) -> None:
        self.wake = threading.Lock()
        self.wake.acquire()
        self.signal = np.zeros(1, np.int64)
        self.job: _Job | None = None
        self.is_asleep = self.is_over = False
        self._spin = spin

    def call(self, job: _Job | None) -> None:
        """Only one thread calls at a time. A helper that has not yet come for the last job finds this one instead."""
        self.job = job
        self.signal[0] += 1
        if self.is_asleep and self.wake.locked():
            self.wake.release()

    def stand(self) -> None:
        """The helper's life. A job that is done is forgotten, so that it keeps no Memory alive; one lost so is done by others."""
        seen = 0
        while not self.is_over:
            job, self.job = self.job, None
            if job is not None:
                job.work()
            del job
            now = self._spin(self.signal, seen, AWAKE_TICKS)
            if now == seen:
                self.is_asleep = True
                if self.signal[0] == seen:
                    self.wake.acquire()
                self.is_asleep = False
                now = int(self.signal[0])
            seen = now


def _send_home(posts: list[_Post]) -> None:
    for post in posts:
        post.is_over = True
        post.call(None)


class Crew:
    """`count` helpers besides the caller. Callers in several threads may share one: who finds it busy works alone."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._posts: list[_Post] = []
        self._busy = threading.Lock()
        weakref.finalize(self, _send_home, self._posts)

    def run(self, kernel: Kernel, runs: Runs, count: int, pixels: int, cost_ns: float = math.inf) -> None:
        """The kernel over runs[:count], which hold so many pixels. What a share raises is raised here, after all of them ended.

        `cost_ns`: of all of it, roughly. Few large shares lose less to their beginnings, many small ones wait less for the last.
        """
        if not self.count or not self._busy.acquire(blocking=False):
            kernel(runs, 0, count)
            return
        try:
            each = min(SHARES_EACH, max(1, cost_ns / (self.count + 1) / SHARE_NS))
            self._share(kernel, runs, cuts(runs, count, pixels, int((self.count + 1) * each)))
        finally:
            self._busy.release()

    def _share(self, kernel: Kernel, runs: Runs, edges: list[int]) -> None:
        job = _Job(kernel, runs, iter(list(pairwise(edges))), len(edges) - 2)
        job.done.acquire()
        for post in self._posts or self._start():
            post.call(job)
        job.work()
        spinner()(job.is_done, 0, AWAKE_TICKS)
        job.done.acquire()
        if job.error is not None:
            raise job.error

    def _start(self) -> list[_Post]:
        for place in range(self.count):
            post = _Post(spinner())
            self._posts.append(post)
            threading.Thread(target=post.stand, name=f"edgevision-kernel-{place + 1}", daemon=True).start()
        return self._posts


def cuts(runs: Runs, count: int, pixels: int, shares: int) -> list[int]:
    """Where to cut runs[:count]: 0, ..., count, about equal pixels between, none empty."""
    ends = (runs[:count, 2] - runs[:count, 1]).cumsum()
    edges = [0]
    for edge in ends.searchsorted([pixels * share // shares for share in range(1, shares)]).tolist():
        if edge > edges[-1]:
            edges.append(edge)
    return [*edges, count]
