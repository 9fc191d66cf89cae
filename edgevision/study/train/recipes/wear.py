"""`edgevision train --recipe wear`: a network that marks pitting. In: nothing (it learns generated screws: the network that ships), or a
folder in one of the recipe's layouts. Out: an ONNX file, its card, the curve of its training. Keeps a checkpoint in the folder.

Photographed screws are learnt together with generated ones, so that a few spindles do not become all that the network knows.
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
from edgevision.networks.unet import UNetSpec, layers, macs, parameters
from edgevision.study.parts.wear import LABELS, make
from edgevision.study.sets import Case
from edgevision.study.train.export import write_onnx
from edgevision.study.train.network import MEAN, STD, TrainedUNet, folded
from edgevision.study.train.recipes.begin import take_over
from edgevision.study.train.recipes.fit import BatchLoss, FitSettings, Fitted, fit
from edgevision.study.train.recipes.lessons import Lesson, Lessons, MadeLessons, batch_images, marked_loss
from edgevision.study.train.recipes.pictures import PictureLessons, lesson_of
from edgevision.study.train.recipes.variation import Variation

SPEC = UNetSpec(widths=(16, 32, 64), deep=4, labels=LABELS)
VIEW_PX, BATCH = 160, 12
MADE_SHARE = 0.4  # of a batch, beside photographs
SIZE_PX = (464, 1136)  # that the file is written for; it takes any multiple of 8
THRESHOLD = 0.5
VARIATION = Variation(turn_deg=20, scale=(0.7, 1.4), gain=1.5, ramp=0.3, noise=3.0)


@dataclass(frozen=True, slots=True)
class WearTask:
    """What is to be learnt: `cases` of a set, () for generated screws alone; `begin`: weights to go on from."""

    out: Path
    cases: Sequence[Case] = ()
    begin: Path | None = None


class MixedLessons:
    """Generated and photographed ones in each batch."""

    def __init__(self, made: Lessons, photographed: Lessons | None) -> None:
        self._made, self._photographed = made, photographed

    def draw(self, rng: np.random.Generator, count: int) -> list[Lesson]:
        """So many lessons."""
        made = count if self._photographed is None else round(MADE_SHARE * count)
        drawn = self._made.draw(rng, made)
        return drawn if self._photographed is None else drawn + self._photographed.draw(rng, count - made)


def learn(task: WearTask, settings: FitSettings, *, is_shown: bool = True) -> dict[str, Any]:
    """Train and write `wear.onnx` into the folder; gives what its card says. Raises InputError where there is nothing to learn."""
    if task.cases and not any(case.is_bad for case in task.cases):
        raise InputError(f"none of the {len(task.cases)} pictures shows pitting; give some that do")
    photographed = PictureLessons([lesson_of(case, "bsdata", 1) for case in task.cases], VIEW_PX, VARIATION) if task.cases else None
    lessons = MixedLessons(MadeLessons(VIEW_PX, settings.seed, VARIATION, make), photographed)
    torch.manual_seed(settings.seed)
    network = TrainedUNet(SPEC).to(memory_format=torch.channels_last)
    if task.begin is not None:
        first = lessons.draw(np.random.default_rng((settings.seed, 2)), 16)
        take_over(network, task.begin, batch_images(np.stack([lesson.image for lesson in first])))
    fitted = fit(network, settings, task.out / "training", _of(lessons), is_shown=is_shown)
    return _write(network, fitted, task, settings)


def _of(lessons: MixedLessons) -> BatchLoss:
    def loss(network: nn.Module, rng: np.random.Generator) -> torch.Tensor:
        return marked_loss(network, lessons.draw(rng, BATCH), len(LABELS))

    return loss


def _write(network: TrainedUNet, fitted: Fitted, task: WearTask, settings: FitSettings) -> dict[str, Any]:
    learnt_from = sorted({case.group for case in task.cases})
    facts = {
        "labels": json.dumps(list(LABELS)),
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
        "channel_order": "RGB",
        "threshold": str(THRESHOLD),
        "stride": "2",
        "seed": str(settings.seed),
        "steps": str(fitted.steps),
        "learnt_from": json.dumps(learnt_from or ["generated"]),
        "version": __version__,
    }
    path = task.out / "wear.onnx"
    write_onnx(path, network.steps, folded(network), SIZE_PX, facts)
    return {
        "network": str(path),
        "learnt_from": learnt_from,
        "weights": parameters(layers(SPEC)),
        "gmac": round(sum(macs(layers(SPEC), *SIZE_PX).values()) / 1e9, 3),
        "steps": fitted.steps,
        "minutes": round(fitted.seconds / 60, 1),
        "curve": fitted.curve,
    }
