"""How good an answer is: boxes against boxes, masks against masks, good pictures against bad ones. In: answers, truth. Out: numbers.

Average precision reads every point of the curve (Pascal VOC from 2010 on): answers are taken from the likeliest on; one hits the true box
of its label and picture that it overlaps most, if that is at least `iou` and nobody hit it before; the area lies under the precision made
falling. All measures lie in 0..1. Keeps nothing but what a `MaskTally` has added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevision.records import Box, Mask
from edgevision.study.sets import Labelled

Values = Sequence[float] | NDArray[np.floating]


class Scored(NamedTuple):
    """One box of an answer."""

    label: str
    score: float
    box_px: Box


class Fraction(NamedTuple):
    """F-score with what it is made of, at answers of at least `threshold`."""

    f_score: float
    precision: float
    recall: float
    threshold: float


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - both)


def average_precisions(found: Sequence[Sequence[Scored]], truth: Sequence[Sequence[Labelled]], iou: float) -> dict[str, float]:
    """By label that occurs in the truth; `found` and `truth` picture by picture. Their mean is the mAP."""
    labels = sorted({true.label for picture in truth for true in picture})
    result = {}
    for label in labels:
        hits, _ = _hits(found, truth, iou, label)
        count = sum(true.label == label for picture in truth for true in picture)
        result[label] = area_under(hits, count)
    return result


def f_score_at(found: Sequence[Sequence[Scored]], truth: Sequence[Sequence[Labelled]], iou: float, threshold: float) -> Fraction:
    """Over all labels together, of the answers of at least that score."""
    kept = [[one for one in picture if one.score >= threshold] for picture in found]
    labels = {true.label for picture in truth for true in picture} | {one.label for picture in kept for one in picture}
    hits = sum(int(_hits(kept, truth, iou, label)[0].sum()) for label in labels)
    return _fraction(hits, sum(map(len, kept)), sum(map(len, truth)), threshold)


def best_f_score(found: Sequence[Sequence[Scored]], truth: Sequence[Sequence[Labelled]], iou: float) -> Fraction:
    """At the one threshold for all labels that makes it highest; of equals the highest threshold."""
    labels = {true.label for picture in truth for true in picture} | {one.label for picture in found for one in picture}
    pairs = [_hits(found, truth, iou, label) for label in sorted(labels)]
    hits = np.concatenate([hit for hit, _ in pairs]) if pairs else np.zeros(0, bool)
    scores = np.concatenate([score for _, score in pairs]) if pairs else np.zeros(0)
    order = np.argsort(-scores, kind="stable")
    hits, scores = hits[order], scores[order]
    count = sum(map(len, truth))
    best = Fraction(0.0, 0.0, 0.0, 1.0)
    for place in np.flatnonzero(np.append(scores[1:] != scores[:-1], True)) if len(scores) else ():  # the last of equal scores
        one = _fraction(int(hits[: place + 1].sum()), int(place) + 1, count, float(scores[place]))
        best = one if one.f_score > best.f_score else best
    return best


def area_under(hits: NDArray[np.bool_], count: int) -> float:
    """Under the falling precision over recall; `hits` from the likeliest answer on, `count` true ones."""
    if count == 0 or len(hits) == 0:
        return 0.0
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(falling[hits]) / count)


def auroc(good: Values, bad: Values) -> float | None:
    """The chance that a bad picture scores higher than a good one, a tie counting half; None where there are not both."""
    if len(good) == 0 or len(bad) == 0:
        return None
    below = np.sort(np.asarray(good, np.float64))
    values = np.asarray(bad, np.float64)
    wins = np.searchsorted(below, values, "left") + np.searchsorted(below, values, "right")
    return float(wins.sum() / (2 * len(good) * len(bad)))


@dataclass(slots=True)
class MaskTally:
    """Pixels of masks added up over pictures: `iou` of all of them as one."""

    both: int = 0
    either: int = 0

    def add(self, found: Mask, truth: Mask) -> None:
        """One picture's, of one shape."""
        self.both += int(np.count_nonzero(found & truth))
        self.either += int(np.count_nonzero(found | truth))

    @property
    def iou(self) -> float | None:
        """None where nothing was marked and nothing is true."""
        return self.both / self.either if self.either else None


def _fraction(hits: int, answers: int, count: int, threshold: float) -> Fraction:
    precision = hits / answers if answers else 0.0
    recall = hits / count if count else 0.0
    f_score = 2 * precision * recall / (precision + recall) if hits else 0.0
    return Fraction(f_score, precision, recall, threshold)


def _hits(
    found: Sequence[Sequence[Scored]], truth: Sequence[Sequence[Labelled]], iou: float, label: str
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Of one label, from the likeliest answer on: whether each hits, and its score."""
    answers = [(one.score, picture, one.box_px) for picture, boxes in enumerate(found) for one in boxes if one.label == label]
    answers.sort(key=lambda answer: -answer[0])
    open_boxes = [[true.box_px for true in boxes if true.label == label] for boxes in truth]
    taken = [[False] * len(boxes) for boxes in open_boxes]
    hits = np.zeros(len(answers), np.bool_)
    for place, (_, picture, box) in enumerate(answers):
        overlaps = [overlap(box, true) for true in open_boxes[picture]]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] >= iou and not taken[picture][best]:
            taken[picture][best] = hits[place] = True
    return hits, np.array([score for score, _, _ in answers], np.float64)
