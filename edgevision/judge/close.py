"""Would the verdict be another, had the network's numbers come out a little otherwise?

In: candidates, a way to judge. Out: on which of them the verdict hangs.

A verdict compares numbers with limits. So the same rules, whosever they are, judge the candidates twice more: all of them less likely and
smaller by the margin, and all more likely and larger, with what falls short of the decoder's threshold let in; and four times with all of
them a little aside, for limits that are places. A rule that goes by something else altogether finds nothing close. Keeps nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from edgevision.records import Candidate, Defect, Region, Verdict

ASIDE_PX = 2  # how far a middle moves with what is left out
AREA_SHARE = 0.25  # of the margin in odds, for the logarithm of the area

Regions = tuple[Region, ...]
Judge = Callable[[Regions], tuple[Verdict, tuple[Defect, ...]]]


def hangs_on(candidates: Sequence[Candidate], said: Verdict, judge: Judge, margin: float) -> Regions:
    """The regions on which the verdict that was `said` hangs; () for none: no verdict within the margin, a logarithm of odds, is another.

    All that are judged otherwise within the margin: once one of them is settled, the verdict may hang on the next. Where that is no
    region, all of them.
    """
    others = tuple(_otherwise(candidates, judge, margin))
    if all(verdict is said for verdict, _ in others):
        return ()
    answers = (judge(_shown(candidates, 0.0))[1], *(defects for _, defects in others))
    levels = [{_place(defect.region): defect.level for defect in defects} for defects in answers]
    near = tuple(one.region for one in candidates if len({told.get(_place(one.region)) for told in levels}) > 1)
    return near or tuple(one.region for one in candidates)


def is_settled(one: Candidate, level: Callable[[Region], Verdict | None], margin: float) -> bool:
    """Whether a rule that looks at each region alone finds the same `level` in this one (None: no defect) however `hangs_on` moves it."""
    levels = {level(_moved(one.region, way)) if one.excess + way >= 0 else None for way in (-margin, margin)}
    if one.excess >= 0 and len(levels) == 1:
        levels |= {level(moved) for moved in (one.region, *_aside(one.region))}
    return len(levels) == 1


def _otherwise(candidates: Sequence[Candidate], judge: Judge, margin: float) -> Iterator[tuple[Verdict, tuple[Defect, ...]]]:
    """What the rules say of the candidates moved each way."""
    for way in (-margin, margin):
        yield judge(tuple(_moved(region, way) for region in _shown(candidates, way)))
    shown = _shown(candidates, 0.0)
    if shown:
        for moved in zip(*(_aside(one) for one in shown), strict=True):
            yield judge(moved)


def _shown(candidates: Sequence[Candidate], way: float) -> Regions:
    """Those that are regions of the answer, were all odds moved that way."""
    return tuple(one.region for one in candidates if one.excess + way >= 0)


def _aside(region: Region) -> Iterator[Region]:
    """The region with its middle a little to the right, left, below and above."""
    x, y = region.centroid_px
    for right, down in ((ASIDE_PX, 0), (-ASIDE_PX, 0), (0, ASIDE_PX), (0, -ASIDE_PX)):
        yield Region(region.label, region.score, region.box_px, region.area_px, region.polygon, (x + right, y + down))


def _moved(region: Region, way: float) -> Region:
    """The region with its score's odds moved, and its area with them."""
    score = region.score
    if 0.0 < score < 1.0:
        score = 1.0 / (1.0 + (1.0 - score) / score * math.exp(-way))
    area_px = round(region.area_px * math.exp(AREA_SHARE * way))
    return Region(region.label, score, region.box_px, area_px, region.polygon, region.centroid_px)


def _place(region: Region) -> tuple[object, ...]:
    """What names a region however it was moved."""
    return region.label, region.box_px
