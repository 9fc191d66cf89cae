"""Few-shot: a surface network from some good pictures and a few bad ones, in none of which anybody marked anything. In: the pictures.
Out: a network with one label, `defect`. Keeps the pictures. For parts that lie before something else; a surface that fills its pictures is
learnt by `likeness.py`.

Three lessons are mixed. Good pictures with nothing wrong. Good pictures in which a defect is drawn, and so marked. And bad pictures as a
whole: somewhere in them the answer must be high, the highest few of their pixels. Where the few pictures are too few, the
weights that it begins with know what defects look like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from edgevision.errors import InputError
from edgevision.networks.reach import ReachSpec
from edgevision.study.parts.surface_defects import LABELS as MADE_LABELS
from edgevision.study.sets import Case
from edgevision.study.train.recipes.fit import FitSettings, fit
from edgevision.study.train.recipes.learn import Learnt, begun, variation_for
from edgevision.study.train.recipes.lessons import Lesson, highest, marked_loss, predicted, tensors, view_of
from edgevision.study.train.recipes.pictures import coloured, drawn_on, shrink_of
from edgevision.study.train.recipes.variation import OUTSIDE, Bytes, Variation, lit

LABELS = ("defect",)
LEAST_GOOD, LEAST_BAD = 5, 2
VIEWS, WHOLE = 6, 2  # of a batch: views of good pictures, and whole pictures of each kind
VIEW_PX = 160
DRAWN_SHARE = 0.65  # of the views
WHOLE_WEIGHT = 0.5


class FewLessons:
    """Views of good pictures, most of them with a drawn defect; and whole pictures, good and bad."""

    def __init__(self, good: Sequence[Bytes], bad: Sequence[Bytes], variation: Variation) -> None:
        self._good, self._bad, self._variation = good, bad, variation
        self._whole = variation.model_copy(update={"scale": (0.92, 1.08), "turn_deg": min(variation.turn_deg, 5.0)})

    def draw(self, rng: np.random.Generator, count: int) -> list[Lesson]:
        """Views of good pictures, two in three with defects drawn in."""
        return [self._view(rng) for _ in range(count)]

    def _view(self, rng: np.random.Generator) -> Lesson:
        image = self._good[int(rng.integers(len(self._good)))]
        if rng.random() < DRAWN_SHARE:
            lesson = drawn_on(image, rng, dict.fromkeys(MADE_LABELS, 1))
        else:
            lesson = Lesson(image, np.zeros(image.shape[:2], np.uint8), False)
        return view_of(lesson, VIEW_PX, rng, self._variation)

    def whole(self, rng: np.random.Generator) -> list[Lesson]:
        """Some good and some bad pictures as a whole, filled up to one size; OUTSIDE around them."""
        chosen = [
            (images[int(rng.integers(len(images)))], is_bad)
            for images, is_bad in ((self._good, False), (self._bad, True))
            for _ in range(WHOLE)
        ]
        size = tuple(-(-max(image.shape[axis] for image, _ in chosen) // 16) * 16 for axis in (0, 1))
        return [self._filled(image, (size[0], size[1]), is_bad, rng) for image, is_bad in chosen]

    def _filled(self, image: Bytes, size: tuple[int, int], is_bad: bool, rng: np.random.Generator) -> Lesson:
        flips = tuple(slice(None, None, -1 if rng.integers(2) else 1) for _ in range(2))
        seen = lit(np.ascontiguousarray(image[flips]), rng, self._whole)
        room = (size[0] - image.shape[0], size[1] - image.shape[1])
        filled = cv2.copyMakeBorder(seen, 0, room[0], 0, room[1], cv2.BORDER_REPLICATE)
        marks = np.full(size, OUTSIDE, np.uint8)
        marks[: image.shape[0], : image.shape[1]] = 0
        return Lesson(np.asarray(filled, np.uint8), marks, is_bad, not is_bad)


def whole_loss(network: nn.Module, lessons: Sequence[Lesson]) -> torch.Tensor:
    """Of pictures as a whole: what is highest in them must be high in bad ones, low in good ones."""
    images, _, weights = tensors(lessons, len(LABELS))
    logits = predicted(network, images, lessons)
    aims = torch.tensor([float(lesson.is_bad) for lesson in lessons])
    return functional.binary_cross_entropy_with_logits(highest(logits, weights), aims)


def learn_few(
    good: Sequence[Case], bad: Sequence[Case], out: Path, settings: FitSettings, begin: Path | None, *, is_shown: bool = True
) -> Learnt:
    """Learn from good and bad pictures without marks. Raises InputError for too few of them, with how many are needed."""
    check_enough(good, bad)
    shrink = shrink_of([*good, *bad])
    pictures = [[_smaller(case, shrink) for case in cases] for cases in (good, bad)]
    lessons = FewLessons(pictures[0], pictures[1], variation_for("few"))
    network = begun(ReachSpec(labels=LABELS), begin, lessons, settings.seed)

    def loss(model: nn.Module, rng: np.random.Generator) -> torch.Tensor:
        return marked_loss(model, lessons.draw(rng, VIEWS), len(LABELS)) + WHOLE_WEIGHT * whole_loss(model, lessons.whole(rng))

    fitted = fit(network, settings, out / "training", loss, is_shown=is_shown)
    return replace(Learnt(network, LABELS, shrink, fitted), threshold=0.5)


def check_enough(good: Sequence[Case], bad: Sequence[Case]) -> None:
    """Raises InputError for too few pictures to learn from, with how many are needed."""
    if len(good) < LEAST_GOOD or len(bad) < LEAST_BAD:
        raise InputError(
            f"{len(good)} good and {len(bad)} bad pictures; at least {LEAST_GOOD} and {LEAST_BAD} are needed, 20 and 5 are better"
        )


def _smaller(case: Case, shrink: int) -> Bytes:
    image = coloured(case.image())
    if shrink == 1:
        return image
    size = (image.shape[1] // shrink, image.shape[0] // shrink)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
