"""Verdicts that hang on numbers near their limits: where to look closer, and when to ask the whole network.

What is left out moves scores a little, while a part moves a lot: old pixels beside new ones make seams. No error matters but one that
takes a number over a limit. So where the verdict would be another within a margin, or is another than a frame ago, those places are
taken anew first, with all that the network sees from there: cheap, and Memory is fresh there. What is then still within a small margin is
decided by a run of the whole network beside, as often as may be; what stays undecided is said.

In: candidates of a frame, a way to judge them. Out: masks, decisions. Kept: the last verdict and its places, what was taken anew last, and
how many whole runs are allowed now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from edgevision.interfaces import Rule
from edgevision.judge.close import Regions, hangs_on
from edgevision.judge.rules import verdict
from edgevision.recompute.settle_settings import SettleSettings
from edgevision.records import Candidate, ChangeMap, Costs, Defect, Frame, Inspection, Mask, Verdict

REST = 0.25  # of the margin, for what rests since it was taken anew: there noise alone is left out
MOST = 0.5  # of the frame, to be taken anew as a place
BURST = 10  # whole runs that may follow each other
Outcome = Literal["nearer", "whole", "left"]


@dataclass(frozen=True, slots=True, eq=False)
class Judging:
    """How regions of one frame are judged; `place` puts them where they lie in it."""

    rules: tuple[Rule, ...]
    frame: Frame
    change: ChangeMap
    place: Callable[[Regions], Regions]
    is_deferred: bool

    def defects(self, regions: Regions) -> tuple[Defect, ...]:
        """Of regions as the network's picture has them."""
        placed = self.place(regions)
        return tuple(defect for rule in self.rules for defect in rule.judge(placed, self.frame, self.change))

    def said(self, defects: Iterable[Defect]) -> tuple[Verdict, str | None]:
        """The verdict, and why."""
        return verdict(defects, self.change, self.is_deferred)

    def __call__(self, regions: Regions) -> tuple[Verdict, tuple[Defect, ...]]:
        """As `hangs_on` asks it."""
        found = self.defects(regions)
        return self.said(found)[0], found


class CloseCalls:
    """One camera's."""

    def __init__(self, settings: SettleSettings) -> None:
        self.settings = settings
        self.reset()

    @property
    def is_on(self) -> bool:
        """Whether anything is asked of candidates: to find them is as dear as to find what is shown."""
        return self.settings.enabled

    def reset(self) -> None:
        """As if nothing had been said."""
        self.outcome: Outcome | None = None  # of this frame
        self._said: Verdict | None = None
        self._shown: Regions = ()
        self._taken: Mask | None = None  # what was taken anew last, while nothing moves there
        self._runs = float(BURST)
        self._ts: float | None = None

    def nearer(self, candidates: tuple[Candidate, ...], shown: Regions, judging: Judging, allowed: Mask) -> Mask | None:
        """The pixels to take anew before the frame is judged; None for none. Call it once a frame that did not run whole."""
        if not self.settings.enabled or not self.settings.margin or judging.is_deferred or not (candidates or self._shown):
            return None
        said = judging(shown)[0]
        near = hangs_on(candidates, said, judging, self.settings.margin)
        if self._said is not None and said is not self._said:
            near = (*near, *self._shown, *shown)
        if not near:
            return None
        taken = _around(near, self.settings.reach_px, allowed)
        if np.count_nonzero(taken) > MOST * taken.size:
            return None  # a class of the whole picture: as much as a whole run, of which there are only so many
        if self._is_fresh(taken, judging.change.live) and not hangs_on(candidates, said, judging, REST * self.settings.margin):
            return None
        self.outcome, self._taken = "nearer", taken
        return taken

    def _is_fresh(self, taken: Mask, live: Mask) -> bool:
        """Whether these pixels were taken anew before, and nothing has moved there since."""
        if self._taken is not None and (live & self._taken).any():
            self._taken = None
        return self._taken is not None and not (taken & ~self._taken).any()

    def wants_whole(self, candidates: tuple[Candidate, ...], judging: Judging, said: Verdict, is_late: bool) -> bool:
        """Whether the whole network is to decide. `is_late`: there is no time for it."""
        settings = self.settings
        self._earn(judging.frame.ts)
        if not settings.enabled or not settings.whole_margin or judging.is_deferred or not candidates:
            return False
        if not hangs_on(candidates, said, judging, settings.whole_margin):
            return False
        is_part = judging.frame.part_id is not None
        self.outcome = "left" if is_late or not (is_part or self._runs >= 1.0) else "whole"
        self._runs -= self.outcome == "whole" and not is_part
        return self.outcome == "whole"

    def note(self, said: Verdict, shown: Regions) -> None:
        """What was said of the frame in the end, and the regions in the network's picture."""
        self._said, self._shown = said, shown

    def _earn(self, ts: float) -> None:
        past_s = 0.0 if self._ts is None else max(0.0, ts - self._ts)
        self._runs = min(float(BURST), self._runs + past_s * self.settings.whole_per_s)
        self._ts = ts

    def begin(self) -> None:
        """Call it before each frame."""
        self.outcome = None


def with_outcome(found: Inspection, outcome: Outcome | None) -> Inspection:
    """The inspection with what became of its closeness; what the whole network decided says that it ran."""
    if outcome is None:
        return found
    said = replace(found, close_call=outcome)
    return replace(said, mode="full", full_reason="close_call") if outcome == "whole" and found.full_reason is None else said


def together(one: Costs, other: Costs) -> Costs:
    """What two runs on one frame cost."""
    live, macs = min(1.0, one.live_fraction + other.live_fraction), one.macs + other.macs
    mode = "partial" if "cached" in (one.mode, other.mode) and one.mode != other.mode else other.mode
    return replace(other, live_fraction=live, macs=macs, mode=mode, steps=[*one.steps, *other.steps])


def _around(regions: Regions, reach_px: int, allowed: Mask) -> Mask:
    mask = np.zeros_like(allowed)
    for region in regions:
        x1, y1, x2, y2 = region.box_px
        mask[max(0, y1 - reach_px) : y2 + reach_px, max(0, x1 - reach_px) : x2 + reach_px] = True
    return mask & allowed
