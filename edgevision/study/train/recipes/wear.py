"""`edgevision train --recipe wear`: a network that marks pitting. In: nothing (it learns generated screws: the network that ships), or a
folder in one of the recipe's layouts. Out: an ONNX file, its card, the curve of its training. Keeps a checkpoint in the folder.

Photographed screws are learnt together with generated ones, so that a few spindles do not become all that the network knows. Pitting of
one picture is set into others only where their surface is like the one it broke out of: in grease nothing breaks out. Of the places that
the network to go on from marks although nobody else does, views are learnt as well.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
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
from edgevision.study.train.recipes.variation import Variation, lit, viewed

SPEC = UNetSpec(widths=(16, 32, 64), deep=4, labels=LABELS)
VIEW_PX, BATCH = 160, 12
MADE_SHARE = 0.4  # of a batch, beside photographs
MISTAKEN_SHARE = 0.25  # of the photographs' views: of places that the network to go on from marks without cause
MISTAKEN = 0.4  # its probability from which on it marks a place,
FAR_PX = 16  # which lies at least so far from what is marked by hand
TRIES = 24  # places looked at before pitting is set into another picture
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
    """Generated and photographed ones in each batch, and of these some of what was mistaken."""

    def __init__(self, made: Lessons, photographed: Lessons | None, mistaken: MistakenLessons | None = None) -> None:
        self._made, self._photographed, self._mistaken = made, photographed, mistaken

    def draw(self, rng: np.random.Generator, count: int) -> list[Lesson]:
        """So many lessons."""
        if self._photographed is None:
            return self._made.draw(rng, count)
        drawn = self._made.draw(rng, round(MADE_SHARE * count))
        if self._mistaken is not None and self._mistaken.count:
            drawn += self._mistaken.draw(rng, round(MISTAKEN_SHARE * (count - len(drawn))))
        return drawn + self._photographed.draw(rng, count - len(drawn))


class MistakenLessons:
    """Views of the places in pictures that a network marks although nobody else does. `count`: how many those are."""

    def __init__(self, network: nn.Module, pictures: Sequence[Lesson]) -> None:
        self._pictures = list(pictures)
        self._places: list[tuple[int, int, int]] = []  # picture, row, column
        network.eval()
        for number, lesson in enumerate(self._pictures):
            with torch.no_grad():
                seen = torch.sigmoid(network(batch_images(lesson.image[None]).contiguous(memory_format=torch.channels_last)))[0, 0].numpy()
            marked = cv2.dilate((lesson.marks > 0).astype(np.uint8), np.ones((2 * FAR_PX + 1, 2 * FAR_PX + 1), np.uint8))
            wrong = ((seen > MISTAKEN) & (marked[::2, ::2] == 0)).astype(np.uint8)
            count, _, _, middles = cv2.connectedComponentsWithStats(wrong)
            self._places += [(number, round(2 * y), round(2 * x)) for x, y in middles[1:count].tolist()]

    @property
    def count(self) -> int:
        """Places."""
        return len(self._places)

    def draw(self, rng: np.random.Generator, count: int) -> list[Lesson]:
        """So many views, each of one of the places."""
        return [self._one(rng) for _ in range(count)]

    def _one(self, rng: np.random.Generator) -> Lesson:
        number, row, column = self._places[int(rng.integers(len(self._places)))]
        lesson = self._pictures[number]
        image, marks = viewed(lesson.image, lesson.marks, (VIEW_PX, VIEW_PX), rng, VARIATION, (row, column))
        return Lesson(lit(image, rng, VARIATION), marks, lesson.is_bad)


def learn(task: WearTask, settings: FitSettings, *, is_shown: bool = True) -> dict[str, Any]:
    """Train and write `wear.onnx` into the folder; gives what its card says. Raises InputError where there is nothing to learn."""
    if task.cases and not any(case.is_bad for case in task.cases):
        raise InputError(f"none of the {len(task.cases)} pictures shows pitting; give some that do")
    pictures = [lesson_of(case, "bsdata", 1) for case in task.cases]
    photographed = PictureLessons(pictures, VIEW_PX, VARIATION, tries=TRIES) if pictures else None
    made = MadeLessons(VIEW_PX, settings.seed, VARIATION, make)
    torch.manual_seed(settings.seed)
    network = TrainedUNet(SPEC).to(memory_format=torch.channels_last)
    mistaken = None
    if task.begin is not None:
        first = MixedLessons(made, photographed).draw(np.random.default_rng((settings.seed, 2)), 16)
        take_over(network, task.begin, batch_images(np.stack([lesson.image for lesson in first])))
        mistaken = MistakenLessons(network, pictures)
    lessons = MixedLessons(made, photographed, mistaken)
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
