"""Steps one after another: find a step's runs, run its kernel over them, note what really changed."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from edgevision.kernels.forms import Link, Runs
from edgevision.kernels.plain.runs import collector, forget, marker


class Chain:
    """Keeps the promises of `forms.Chain`, on one thread. `spent` is in nanoseconds."""

    def __init__(self, links: Sequence[Link], runs: Runs) -> None:
        self._links, self._runs = tuple(links), runs
        self._collect = [collector(link.feeds, link.target, runs, link.unit) for link in links]
        self._mark = [marker(link.target, runs) for link in links]
        self.spent = np.zeros((len(links), 3), np.int64)
        self.ends = np.zeros((len(links), 4), np.int64)

    def __call__(self, everything: bool) -> None:
        """Run the steps."""
        for place, link in enumerate(self._links):
            began = time.perf_counter_ns()
            self._step(place, link, everything)
            self.spent[place, 2] = time.perf_counter_ns() - began

    def _step(self, place: int, link: Link, everything: bool) -> None:
        self.spent[place] = 0
        sources = [feed.plane for feed in link.feeds]
        top, bottom, left, right = self.ends[place].tolist()
        if not everything and not any(plane.live_px for plane in sources) and not top + bottom + left + right:
            if link.target.live_px:
                forget(link.target)
            return
        everything = everything or any(plane.live_px == plane.size_px for plane in sources)
        count, pixels = self._collect[place](everything, (top, bottom, left, right))
        link.kernel(self._runs, 0, count)
        link.target.live_px = self._mark[place](count)
        self.spent[place, :2] = pixels, count

    def seconds(self, place: int) -> float:
        """What a link took."""
        return float(self.spent[place, 2]) * 1e-9
