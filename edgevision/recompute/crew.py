"""Helping threads for one network: a kernel's runs are cut into shares of about equal pixels, and whoever is free takes the next.

In: a kernel and its runs. Out: nothing; when `run` returns every share is done. Keeps its threads, asleep on a lock each, from the first
time they are wanted until the crew is garbage. The caller works too and never waits for a helper that has not taken a share: one that the
system wakes late, or that a fork has lost, costs nothing but its help. Handing over costs about 10 us.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count as counter
from itertools import pairwise

from edgevision.kernels.forms import Kernel, Runs

SHARES_EACH = 3


@dataclass(slots=True, eq=False)
class _Job:
    """One kernel's shares. Taking a share and counting the finished are single steps of built-in iterators: no two threads get one."""

    kernel: Kernel
    runs: Runs
    shares: Iterator[tuple[int, int]]
    last: int
    finished: Iterator[int] = field(default_factory=counter)
    done: threading.Lock = field(default_factory=threading.Lock)
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
                    self.done.release()


class _Post:
    """Where one helper waits for the newest job."""

    __slots__ = ("is_over", "job", "wake")

    def __init__(self) -> None:
        self.wake = threading.Lock()
        self.wake.acquire()
        self.job: _Job | None = None
        self.is_over = False

    def call(self, job: _Job | None) -> None:
        """Only one thread calls at a time. A helper that has not yet woken from the last call finds this job instead."""
        self.job = job
        if self.wake.locked():
            self.wake.release()

    def stand(self) -> None:
        """The helper's life. A job that is done is forgotten, so that it keeps no Memory alive; one lost so is done by others."""
        while True:
            self.wake.acquire()
            if self.is_over:
                return
            job, self.job = self.job, None
            if job is not None:
                job.work()
            del job


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

    def run(self, kernel: Kernel, runs: Runs, count: int, pixels: int) -> None:
        """The kernel over runs[:count], which hold so many pixels. What a share raises is raised here, after all of them ended."""
        if not self.count or not self._busy.acquire(blocking=False):
            kernel(runs, 0, count)
            return
        try:
            self._share(kernel, runs, cuts(runs, count, pixels, (self.count + 1) * SHARES_EACH))
        finally:
            self._busy.release()

    def _share(self, kernel: Kernel, runs: Runs, edges: list[int]) -> None:
        job = _Job(kernel, runs, iter(list(pairwise(edges))), len(edges) - 2)
        job.done.acquire()
        for post in self._posts or self._start():
            post.call(job)
        job.work()
        job.done.acquire()
        if job.error is not None:
            raise job.error

    def _start(self) -> list[_Post]:
        for place in range(self.count):
            post = _Post()
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
