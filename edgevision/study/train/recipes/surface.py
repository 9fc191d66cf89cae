"""`edgevision train --recipe surface`: a network that marks what is wrong with a surface. START READING HERE.

In: nothing (it learns generated surfaces: the network that ships), a folder in one of the recipe's layouts, or a few good and bad pictures
without marks. Out: an ONNX file, its card, the curve of its training. Keeps a checkpoint in the folder, from which a stopped run goes on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgevision import __version__
from edgevision.errors import InputError
from edgevision.networks.reach import REACH_STRIDE
from edgevision.networks.unet import macs, parameters
from edgevision.study.parts.surface import LABELS as MADE_LABELS
from edgevision.study.sets import Case
from edgevision.study.train.export import write_onnx
from edgevision.study.train.network import MEAN, STD, TrainedUNet, folded
from edgevision.study.train.recipes.begin import new_network, take_over
from edgevision.study.train.recipes.fit import BatchLoss, FitSettings, Fitted, fit
from edgevision.study.train.recipes.lessons import Lesson, Lessons, MadeLessons, batch_images, marked_loss
from edgevision.study.train.recipes.pictures import PictureLessons, labels_of, lesson_of, shrink_of
from edgevision.study.train.recipes.variation import Variation

MADE_PX, MADE_BATCH = 160, 12
VIEW_PX, VIEW_BATCH = 224, 8
THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Learnt:
    """A network that has learnt, what it tells apart, how much smaller it sees pictures, and how its training went."""

    network: TrainedUNet
    labels: tuple[str, ...]
    shrink: int
    fitted: Fitted
    threshold: float = THRESHOLD


def learn_made(out: Path, settings: FitSettings, *, is_shown: bool = True) -> Learnt:
    """Learn generated surfaces from nothing."""
    torch.manual_seed(settings.seed)
    network = new_network(MADE_LABELS)
    lessons = MadeLessons(MADE_PX, settings.seed, Variation(turn_deg=20, is_quartered=True))
    fitted = fit(network, settings, out / "training", of_lessons(lessons, MADE_BATCH, len(MADE_LABELS)), is_shown=is_shown)
    return Learnt(network, MADE_LABELS, 1, fitted)


def learn_pictures(
    cases: Sequence[Case], layout: str, out: Path, settings: FitSettings, begin: Path | None = None, *, is_shown: bool = True
) -> Learnt:
    """Learn marked pictures; `begin`: the file to go on from. Raises InputError where there is nothing to learn."""
    if not any(case.is_bad for case in cases):
        raise InputError(f"none of the {len(cases)} pictures shows a defect; give some that do, or learn with --good and --bad")
    labels, shrink = labels_of(layout), shrink_of(cases)
    pictures = [lesson_of(case, layout, shrink) for case in cases]
    lessons = PictureLessons(pictures, VIEW_PX, variation_for(layout))
    network = begun(labels, begin, lessons, settings.seed)
    fitted = fit(network, settings, out / "training", of_lessons(lessons, VIEW_BATCH, len(labels)), is_shown=is_shown)
    return Learnt(network, labels, shrink, fitted)


def variation_for(layout: str) -> Variation:
    """How views of such pictures may differ: what lies on a stand may lie in any way, what was ground keeps its direction."""
    return Variation(turn_deg=25, is_quartered=True) if layout in ("cookie", "plain") else Variation()


def begun(labels: tuple[str, ...], begin: Path | None, lessons: Lessons, seed: int) -> TrainedUNet:
    """A new network, with the weights of `begin` as far as they fit."""
    torch.manual_seed(seed)
    network = new_network(labels)
    if begin is not None:
        first = lessons.draw(np.random.default_rng((seed, 2)), 16)
        take_over(network, begin, batch_images(np.stack([lesson.image for lesson in first])))
    return network


def of_lessons(lessons: Lessons, batch: int, labels: int) -> BatchLoss:
    """The loss of a batch of marked lessons."""

    def loss(network: nn.Module, rng: np.random.Generator) -> torch.Tensor:
        drawn: list[Lesson] = lessons.draw(rng, batch)
        return marked_loss(network, drawn, labels)

    return loss


def write(learnt: Learnt, out: Path, size_px: tuple[int, int], more: dict[str, str]) -> Path:
    """The network as `surface.onnx` in the folder; for frames of any size, unless it sees them smaller than they are."""
    facts = {
        "labels": json.dumps(list(learnt.labels)),
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
        "channel_order": "RGB",
        "threshold": str(learnt.threshold),
        "steps": str(learnt.fitted.steps),
        "version": __version__,
        **({"stride": "2"} if learnt.shrink == 1 else {}),
        **more,
    }
    shape = tuple(-(-side // learnt.shrink // REACH_STRIDE) * REACH_STRIDE for side in size_px)
    path = out / "surface.onnx"
    write_onnx(path, learnt.network.steps, folded(learnt.network), (shape[0], shape[1]), facts)
    return path


def figures(learnt: Learnt, size_px: tuple[int, int]) -> dict[str, Any]:
    """What a card says of the network's size and training."""
    work = sum(macs(learnt.network.steps, *size_px).values()) / 1e9
    return {
        "weights": parameters(learnt.network.steps),
        "gmac": round(work, 3),
        "steps": learnt.fitted.steps,
        "minutes": round(learnt.fitted.seconds / 60, 1),
    }
