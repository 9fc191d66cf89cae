"""What a surface network learns from, batch by batch. In: pictures with marks, made or photographed. Out: tensors. Keeps the pictures.

A target is the share of each label in a network pixel, 2 x 2 of the picture's; what lies beyond the picture does not count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from edgevision.study.parts.surface import make
from edgevision.study.train.network import normalised
from edgevision.study.train.recipes.variation import OUTSIDE, REPEATED, Bytes, Variation, lit, viewed

MADE_POOL, MADE_FIRST, MADE_A_BATCH = 360, 48, 2
MADE_PX = 208
HARD, FOCAL, DICE_PX = 1.5, 20.0, 20.0  # how much less what is right counts; weight of the focal part; pixels that steady Dice
TOP, LOWEST = 0.002, -20.0  # of a picture's pixels, by which the whole is judged; a logit that is not to be looked at
ANYWHERE = 0.6  # weight of whether anything is wrong in a view
KIND = 0.3  # weight of which of the labels a wrong pixel has


@dataclass(frozen=True, slots=True)
class Lesson:
    """A picture (H, W, 3) BGR and its marks (H, W): 0, or 1 + the label's place. `is_marked` False: bad, but nobody marked where."""

    image: Bytes
    marks: Bytes
    is_bad: bool
    is_marked: bool = True


class Lessons(Protocol):
    """Where lessons come from."""

    def draw(self, rng: np.random.Generator, count: int) -> list[Lesson]:
        """So many lessons, as views of their pictures, all of one size."""


class Made(Protocol):
    """What a sample maker gives."""

    @property
    def image(self) -> Bytes:
        """(H, W, 3) BGR."""

    @property
    def marks(self) -> Bytes:
        """(H, W): 0, or 1 + the label's place."""


Maker = Callable[[np.random.Generator, tuple[int, int]], Made]


class MadeLessons:
    """Generated surfaces, or what else `maker` makes: a pool that is renewed, a little in every batch."""

    def __init__(self, px: int, seed: int, variation: Variation, maker: Maker = make) -> None:
        self._px, self._seed, self._variation, self._make = px, seed, variation, maker
        self._pool: deque[Lesson] = deque(maxlen=MADE_POOL)
        self._made = 0

    def draw(self, rng: np.random.Generator, count: int) -> list[Lesson]:
        """Views of surfaces from the pool; two new ones come in."""
        for _ in range(MADE_A_BATCH if self._pool else MADE_FIRST):
            self._add(rng)
        drawn = [self._pool[int(rng.integers(len(self._pool)))] for _ in range(count)]
        return [view_of(lesson, self._px, rng, self._variation) for lesson in drawn]

    def _add(self, rng: np.random.Generator) -> None:
        sample = self._make(np.random.default_rng((self._seed, 7, int(rng.integers(2**62)))), (MADE_PX, MADE_PX))
        self._pool.append(Lesson(sample.image, sample.marks, bool(sample.marks.any())))


def view_of(lesson: Lesson, px: int, rng: np.random.Generator, variation: Variation) -> Lesson:
    """A view of a lesson's picture, mostly of a place where something is wrong, in another light."""
    wrong = (lesson.marks > 0) & (lesson.marks < REPEATED)
    places = np.flatnonzero(wrong) if lesson.is_bad and lesson.is_marked and rng.random() < 0.75 else np.zeros(0, np.intp)
    aim = None
    if places.size:
        labels = lesson.marks.reshape(-1)[places]
        label = rng.choice(np.unique(labels))
        row, column = divmod(int(rng.choice(places[labels == label])), lesson.marks.shape[1])
        aim = (row, column)
    image, marks = viewed(lesson.image, lesson.marks, (px, px), rng, variation, aim)
    return Lesson(lit(image, rng, variation), marks, lesson.is_bad, lesson.is_marked)


def tensors(lessons: Sequence[Lesson], labels: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Normalised images (n, 3, H, W), targets (n, labels, H/2, W/2) and weights (n, 1, H/2, W/2), 0 where nothing is known."""
    images = torch.from_numpy(np.stack([lesson.image[..., ::-1] for lesson in lessons])).permute(0, 3, 1, 2).float()
    marks = torch.from_numpy(np.stack([lesson.marks for lesson in lessons])).long()
    known = (marks < REPEATED).float()
    label = torch.where(marks < REPEATED, marks, 0)
    one_hot = nn.functional.one_hot(label, labels + 1)[..., 1:].permute(0, 3, 1, 2).float()
    return normalised(images), nn.functional.avg_pool2d(one_hot, 2), (nn.functional.avg_pool2d(known[:, None], 2) > 0.99).float()


def predicted(network: nn.Module, images: torch.Tensor, lessons: Sequence[Lesson]) -> torch.Tensor:
    """Logits in float32, the convolutions in bfloat16; what lies beyond a lesson's picture is not there for the network."""
    marks = np.stack([lesson.marks for lesson in lessons])
    seen = torch.from_numpy((marks != OUTSIDE).astype(np.float32))[:, None] if (marks == OUTSIDE).any() else None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(images.contiguous(memory_format=torch.channels_last), seen)
    return logits.float()


def marked_loss(network: nn.Module, lessons: Sequence[Lesson], labels: int) -> torch.Tensor:
    """The loss of a batch whose defects are marked: by label, of anything being wrong at a pixel, and anywhere in a view; and of which."""
    images, targets, weights = tensors(lessons, labels)
    logits = predicted(network, images, lessons)
    anything, wrong = logits.amax(dim=1, keepdim=True), targets.sum(dim=1, keepdim=True).clamp(max=1)
    anywhere = functional.binary_cross_entropy_with_logits(highest(anything, weights), wrong.flatten(1).amax(dim=1).ceil())
    told = pixel_loss(logits, targets, weights) + pixel_loss(anything, wrong, weights)
    return told + ANYWHERE * anywhere + KIND * kind_loss(logits, targets * weights)


def kind_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross entropy between the labels where one is, each label alike, however small: a hole is not a short crack."""
    entropy = -(functional.log_softmax(logits, dim=1) * targets).sum(dim=(0, 2, 3))
    pixels = targets.sum(dim=(0, 2, 3))
    return (entropy / pixels.clamp(min=1)).sum() / (pixels > 0).sum().clamp(min=1)


def pixel_loss(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Focal cross entropy (what is already right counts little), plus Dice over each label in the batch."""
    chances = torch.sigmoid(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    focal = (entropy * (targets - chances.detach()).abs() ** HARD * weights).sum(dim=(0, 2, 3)) / weights.sum().clamp(min=1)
    both = (chances * targets * weights).sum(dim=(0, 2, 3))
    either = ((chances + targets) * weights).sum(dim=(0, 2, 3))
    return FOCAL * focal.sum() + (1 - (2 * both + DICE_PX) / (either + DICE_PX)).mean()


def highest(logits: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(n,) the mean of the highest `TOP` of each picture's known pixels, of (n, 1, h, w)."""
    known = logits.masked_fill(weights == 0, LOWEST).flatten(1)
    return known.topk(max(8, int(TOP * known.shape[1])), dim=1).values.mean(dim=1)


def batch_images(images: NDArray[np.uint8]) -> torch.Tensor:
    """(n, H, W, 3) BGR -> what the network takes."""
    return normalised(torch.from_numpy(np.ascontiguousarray(images[..., ::-1])).permute(0, 3, 1, 2).float())
