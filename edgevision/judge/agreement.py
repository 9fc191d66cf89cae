"""Do two answers to one frame show the same defects? In: the defects and all regions of both. Out: what differs, in words. Keeps nothing.

A defect counts as shown by the other answer where that marks anything at all at its place: two answers that differ a little may lie on
either side of a threshold, but one that does not see the place lies far below. A defect near its own limit is a *close call*: noise of the
camera that the change map rightly leaves may tip what a network thinks of it. How near is what `recompute.settle.margin` says that
whatever is left may move a verdict's numbers by; one margin, be it to look closer or to doubt an audit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from edgevision.records import Box, Defect, Region, Verdict

REACH_PX = 4


class Unlike(NamedTuple):
    """What only one of two answers shows, in words; whether that is a close call."""

    words: str
    is_close: bool


def unlike(
    one: tuple[str, Iterable[Defect], Iterable[Region]], other: tuple[str, Iterable[Defect], Iterable[Region]], margin: float
) -> Unlike | None:
    """The worst defect of level NG that only one of two answers shows; each is (its name, its defects, all its regions). None: alike.

    One whose score's odds are above its limit's by no more than the `margin`, a logarithm, is a close call.
    """
    first, second = (_Side(name, tuple(defects), tuple(regions)) for name, defects, regions in (one, other))
    lone = [(defect, mine, yours) for mine, yours in ((first, second), (second, first)) for defect in mine.alone(yours)]
    if not lone:
        return None
    defect, mine, yours = max(lone, key=lambda found: found[0].region.score)
    score, limit = defect.region.score, defect.threshold
    words = f"{mine.name} shows {defect.region.label} {score:.2f} at {list(defect.region.box_px)}, {yours.name} nothing there"
    return Unlike(words, score * (1.0 - limit) <= math.exp(margin) * limit * (1.0 - score))


class _Side:
    """One answer."""

    def __init__(self, name: str, defects: tuple[Defect, ...], regions: tuple[Region, ...]) -> None:
        self.name, self.defects, self.regions = name, defects, regions

    def alone(self, other: _Side) -> list[Defect]:
        """The defects of level NG where the other answer marks nothing."""
        severe = (defect for defect in self.defects if defect.level is Verdict.NG)
        return [defect for defect in severe if not any(_meet(defect.region.box_px, region.box_px) for region in other.regions)]


def _meet(one: Box, other: Box) -> bool:
    """Do two boxes overlap, or nearly."""
    return one[0] < other[2] + REACH_PX and other[0] < one[2] + REACH_PX and one[1] < other[3] + REACH_PX and other[1] < one[3] + REACH_PX
