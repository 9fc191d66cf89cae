"""How a surface network learns to mark what is wrong, pixel by pixel. In: generated surfaces, or Cases with masks. Out: `Learnt`.

Keeps a checkpoint in the folder `training` of the output, from which a run that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgevision.errors import InputError
from edgevision.networks.reach import ReachSpec
from edgevision.study.parts.surface import LABELS as MADE_LABELS
from edgevision.study.sets import Case
from edgevision.study.train.recipes.begin import ReachNetwork, new_network, take_over
from edgevision.study.train.recipes.fit import BatchLoss, FitSettings, Fitted, fit
from edgevision.study.train.recipes.lessons import Lesson, Lessons, MadeLessons, batch_images, marked_loss
from edgevision.study.train.recipes.pictures import DRAWN, REGROUND, PictureLessons, labels_of, lesson_of, shrink_of
from edgevision.study.train.recipes.variation import Variation

MADE_PX, MADE_BATCH = 160, 12
VIEW_PX, VIEW_BATCH = 160, 14  # of a picture at the size that the network sees
FINE, FINE_BATCH = ReachSpec(widths=(24, 40, 64, 96), fine=12), 10
THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Learnt:
    """A network that has learnt, what it tells apart, how much smaller it sees pictures, and how its training went."""

    network: ReachNetwork
    labels: tuple[str, ...]
    shrink: int
    fitted: Fitted
    threshold: float = THRESHOLD


def learn_made(out: Path, settings: FitSettings, begin: Path | None = None, *, is_shown: bool = True) -> Learnt:
    """Learn generated surfaces, from nothing or from what the file `begin` knows."""
    lessons = MadeLessons(MADE_PX, settings.seed, Variation(turn_deg=20, is_quartered=True))
    network = begun(ReachSpec(labels=MADE_LABELS), begin, lessons, settings.seed)
    fitted = fit(network, settings, out / "training", of_lessons(lessons, MADE_BATCH, len(MADE_LABELS)), is_shown=is_shown)
    return Learnt(network, MADE_LABELS, 1, fitted)


def learn_pictures(
    cases: Sequence[Case], layout: str, out: Path, settings: FitSettings, begin: Path | None = None, *, is_shown: bool = True
) -> Learnt:
    """Learn marked pictures; `begin`: the file to go on from. Raises InputError where there is nothing to learn."""
    if not any(case.is_bad for case in cases):
        raise InputError(f"none of the {len(cases)} pictures shows a defect; give some that do, or learn with --good and --bad")
    spec, shrink = seen_at(shrink_of(cases), labels_of(layout))
    pictures = [lesson_of(case, layout, shrink, spec.stride) for case in cases]
    px, batch = (2 * VIEW_PX, FINE_BATCH) if spec.fine else (VIEW_PX, VIEW_BATCH)
    lessons = PictureLessons(pictures, px, variation_for(layout), DRAWN.get(layout), sides=REGROUND.get(layout, 0))
    network = begun(spec, begin, lessons, settings.seed)
    fitted = fit(network, settings, out / "training", of_lessons(lessons, batch, len(spec.labels)), is_shown=is_shown)
    return Learnt(network, spec.labels, shrink, fitted)


def seen_at(shrink: int, labels: tuple[str, ...]) -> tuple[ReachSpec, int]:
    """The network for pictures that must be made smaller by `shrink`, and by how much they still are before it: it halves once itself."""
    return (replace(FINE, labels=labels), shrink // 2) if shrink % 2 == 0 else (ReachSpec(labels=labels), shrink)


def variation_for(layout: str) -> Variation:
    """How views of such pictures may differ: what lies on a stand may lie in any way, what was ground keeps its direction."""
    if layout in ("cookie", "plain"):
        return Variation(turn_deg=25, is_quartered=True)
    return Variation(turn_deg=4, bend_px=1.5, scale=(0.6, 1.5))


def begun(spec: ReachSpec, begin: Path | None, lessons: Lessons, seed: int) -> ReachNetwork:
    """A new network, with the weights of `begin` as far as they fit or only are to be widened."""
    torch.manual_seed(seed)
    network = new_network(spec)
    if begin is not None:
        first = lessons.draw(np.random.default_rng((seed, 2)), 16)
        take_over(network, begin, batch_images(np.stack([lesson.image for lesson in first])), spec)
    return network


def of_lessons(lessons: Lessons, batch: int, labels: int) -> BatchLoss:
    """The loss of a batch of marked lessons."""

    def loss(network: nn.Module, rng: np.random.Generator) -> torch.Tensor:
        drawn: list[Lesson] = lessons.draw(rng, batch)
        return marked_loss(network, drawn, labels)

    return loss
