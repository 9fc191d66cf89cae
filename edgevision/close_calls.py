"""Verdicts that hang on numbers near their limits: where to look closer, and when to ask the whole network.

What is left out moves scores a little, while a part moves a lot: old pixels beside new ones make seams. No error matters but one that
takes a number over a limit. So where the verdict would be another within a margin, or is another than a frame ago, those places are
taken anew first: cheap, and Memory is fresh there. What is then still within a smaller margin is run beside, on the raw frame, with all
that the network sees from there: that is the whole network's answer at these places, for the price of their pixels. Where most of the
frame would be wanted, or nobody knows how far the network sees, the whole network runs, as often as may be; what stays undecided is said.

In: candidates of a frame, a way to judge them. Out: masks, decisions. Kept: the last verdict and its places, what was taken anew last, and
how many runs beside are allowed now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np

from edgevision.interfaces import Rule
from edgevision.judge.close import Regions, hangs_on, is_settled
from edgevision.judge.rules import AreaScoreRule, verdict
from edgevision.recompute.settle_settings import SettleSettings
from edgevision.records import Box, Candidate, ChangeMap, Costs, Defect, Frame, Inspection, Mask, Region, Verdict
from edgevision.segment.places import around

MOST = 0.5  # of the frame, to be looked at as a place
SLACK_PX = 8  # how far beyond a region of the answer in use the whole network's may begin
BURST = 10.0  # whole runs that may follow each other
Outcome = Literal["nearer", "beside", "whole", "left"]


@dataclass(slots=True, eq=False)
class Judging:
    """How regions of one frame are judged; `place` puts them where they lie in it."""

    rules: tuple[Rule, ...]
    frame: Frame
    change: ChangeMap
    place: Callable[[Regions], Regions]
    is_deferred: bool
    _last: tuple[Regions, tuple[Defect, ...]] | None = field(default=None, init=False)
    _sure: tuple[Regions, float] | None = field(default=None, init=False)  # what was shown when nothing was close, and within which margin

    def defects(self, regions: Regions) -> tuple[Defect, ...]:
        """Of regions as the network's picture has them."""
        if self._last is None or self._last[0] is not regions:
            placed = self.place(regions)
            self._last = regions, tuple(defect for rule in self.rules for defect in rule.judge(placed, self.frame, self.change))
        return self._last[1]

    def said(self, defects: Iterable[Defect]) -> tuple[Verdict, str | None]:
        """The verdict, and why."""
        return verdict(defects, self.change, self.is_deferred)

    def __call__(self, regions: Regions) -> tuple[Verdict, tuple[Defect, ...]]:
        """As `hangs_on` asks it."""
        found = self.defects(regions)
        return self.said(found)[0], found

    def near(self, candidates: tuple[Candidate, ...], shown: Regions, margin: float) -> Regions:
        """The regions on which the verdict of those that are shown hangs; () for none."""
        if self._sure is not None and self._sure[0] is shown and margin <= self._sure[1]:
            return ()
        said, defects = self(shown)
        if self._is_sure(candidates, said, defects, margin):
            self._sure = shown, margin
            return ()
        return hangs_on(candidates, said, self, margin)

    def is_plain(self, told: tuple[Candidate, ...], shown: Regions, margin: float) -> bool:
        """Whether what is `told` makes it NG within the margin, so that what else there might be changes nothing."""
        if self._sure is None or self._sure[0] is not shown:
            said, defects = self(shown)
            if said is not Verdict.NG or not self._is_sure(told, said, defects, margin):
                return False
            self._sure = shown, margin
        return margin <= self._sure[1]

    def _is_sure(self, candidates: tuple[Candidate, ...], said: Verdict, defects: tuple[Defect, ...], margin: float) -> bool:
        """Whether `hangs_on` would find none, as far as can be told from single regions: it judges all of them six times, by every rule.

        Rules add up, so one defect of level NG that stays one makes NG whatever the others say.
        """
        rule = self.rules[0]
        if not isinstance(rule, AreaScoreRule):
            return False
        height, width = self.frame.image.shape[:2]

        def level(region: Region) -> Verdict | None:
            placed = self.place((region,))
            return rule.level_of(placed[0], (height, width)) if placed else None

        if said is Verdict.NG:
            severe = {one.region.box_px for one in defects if one.rule == rule.name and one.level is Verdict.NG}
            likeliest = sorted(candidates, key=lambda one: -one.region.score)
            found = (one for one in likeliest if {placed.box_px for placed in self.place((one.region,))} & severe)
            return any(level(one.region) is Verdict.NG and is_settled(one, level, margin) for one in found)
        return len(self.rules) == 1 and all(is_settled(one, level, margin) for one in candidates)


class Asked(NamedTuple):
    """What is to be run beside: the pixels (H, W), None for all; the regions that hang on it; how far the network sees."""

    places: Mask | None
    near: Regions
    sight_px: int = 0

    @classmethod
    def of(cls, near: Regions, sight_px: int | None, shape: tuple[int, int]) -> Asked:
        """All that is seen from there, in a frame of that shape; all of the frame, where that is most of it or nobody knows."""
        places = None if sight_px is None else around(near, sight_px + SLACK_PX, shape)
        if places is not None and np.count_nonzero(places) > MOST * places.size:
            places = None
        return cls(places, near, sight_px or 0)

    @property
    def price(self) -> float:
        """As a share of a whole run."""
        return 1.0 if self.places is None else np.count_nonzero(self.places) / self.places.size

    def wider(self, theirs: Regions) -> tuple[Asked, bool]:
        """What is to be run as near regions of that answer reach beyond where it is right; itself, and True, where none does."""
        if self.places is None:
            return self, True
        boxes = [one.box_px for one in self.near]
        height, width = self.places.shape
        right = around(self.near, SLACK_PX, (height, width))
        beyond = tuple(
            one for one in theirs if _meets(one, boxes) and not right[one.box_px[1] : one.box_px[3], one.box_px[0] : one.box_px[2]].all()
        )
        return (Asked.of((*self.near, *beyond), self.sight_px, (height, width)), False) if beyond else (self, True)

    def settled(self, shown: Regions, theirs: Regions) -> Regions:
        """The regions of an answer once those of the run beside stand for the near ones; topmost first."""
        if self.places is None:
            return theirs
        boxes = [one.box_px for one in self.near]
        kept = [one for one in shown if not _meets(one, boxes)] + [one for one in theirs if _meets(one, boxes)]
        return tuple(sorted(kept, key=lambda one: (one.box_px[1], one.box_px[0], one.box_px)))


class CloseCalls:
    """One camera's."""

    def __init__(self, settings: SettleSettings) -> None:
        self.settings = settings
        self.reset()

    @property
    def is_on(self) -> bool:
        """Whether anything is asked of a frame."""
        return self.settings.enabled

    def is_plain(self, told: tuple[Candidate, ...], shown: Regions, judging: Judging) -> bool:
        """Whether nothing is close whatever else there might be: to find candidates is as dear as to find what is shown."""
        is_new = self._said is not None and judging(shown)[0] is not self._said
        return not is_new and judging.is_plain(told, shown, max(self.settings.margin, self.settings.whole_margin))

    def reset(self) -> None:
        """As if nothing had been said."""
        self.outcome: Outcome | None = None  # of this frame
        self._said: Verdict | None = None
        self._shown: Regions = ()
        self._taken: Mask | None = None  # what was taken anew last, while nothing moves there
        self._runs = BURST
        self._ts: float | None = None

    def nearer(self, candidates: tuple[Candidate, ...], shown: Regions, judging: Judging, allowed: Mask) -> Mask | None:
        """The pixels to take anew before the frame is judged; None for none. Call it once a frame that did not run whole."""
        if not self.settings.enabled or not self.settings.margin or judging.is_deferred or not (candidates or self._shown):
            return None
        near = judging.near(candidates, shown, self.settings.margin)
        if self._said is not None and judging(shown)[0] is not self._said:
            near = (*near, *self._shown, *shown)
        if not near:
            return None
        taken = around(near, self.settings.reach_px, allowed.shape) & allowed
        if np.count_nonzero(taken) > MOST * taken.size or self._is_fresh(taken, judging.change.live):
            return None
        self.outcome, self._taken = "nearer", taken
        return taken

    def _is_fresh(self, taken: Mask, live: Mask) -> bool:
        """Whether these pixels were taken anew before, and nothing has moved there since."""
        if self._taken is not None and (live & self._taken).any():
            self._taken = None
        return self._taken is not None and not (taken & ~self._taken).any()

    def asks(self, candidates: tuple[Candidate, ...], shown: Regions, judging: Judging, sight_px: int | None) -> Asked | None:
        """What should be run beside before the verdict of what is shown stands; None for nothing.

        `sight_px`: how far the network sees, None where nobody knows or nothing ran beside before.
        """
        settings = self.settings
        if not settings.enabled or not settings.whole_margin or judging.is_deferred or not candidates:
            return None
        near = judging.near(candidates, shown, settings.whole_margin)
        if not near:
            return None
        boxes = [one.box_px for one in near]
        near = (*near, *(one.region for one in candidates if one.region not in near and _meets(one.region, boxes)))
        height, width = judging.frame.image.shape[:2]
        return Asked.of(near, sight_px, (height, width))

    def may(self, asked: Asked, frame: Frame, is_late: bool) -> bool:
        """Whether that is run: not where there is no time for it (`is_late`), nor beyond what is allowed; a part always has its run."""
        self._earn(frame.ts)
        if is_late or (frame.part_id is None and self._runs < asked.price):
            self.outcome = "left"
            return False
        self.outcome = "whole" if asked.places is None else "beside"
        self._runs -= asked.price if frame.part_id is None else 0.0
        return True

    def note(self, said: Verdict, shown: Regions) -> None:
        """What was said of the frame in the end, and the regions in the network's picture."""
        self._said, self._shown = said, shown

    def _earn(self, ts: float) -> None:
        past_s = 0.0 if self._ts is None else max(0.0, ts - self._ts)
        self._runs = min(BURST, self._runs + past_s * self.settings.whole_per_s)
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


def _meets(one: Region, boxes: Iterable[Box]) -> bool:
    """Whether a region lies at one of the boxes, or a little aside."""
    x1, y1, x2, y2 = one.box_px
    left, top, right, low = x1 - SLACK_PX, y1 - SLACK_PX, x2 + SLACK_PX, y2 + SLACK_PX
    return any(box[0] < right and left < box[2] and box[1] < low and top < box[3] for box in boxes)
