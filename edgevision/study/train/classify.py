"""Teach a TurboViT to name what crops of a surface show. In: TeachSettings, a Surface. Out: the network, its curve. Keeps checkpoints.

Batch n is the same for the same seed, so a run can be stopped and taken up again. A GPU is used where torch finds one. START READING
HERE: `teach`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from edgevision.errors import InputError
from edgevision.records import Settings
from edgevision.study.train.checkpoint import keep, restore
from edgevision.study.train.lessons import LESSONS, Batch, Lesson
from edgevision.study.train.surfaces import JUDGED_CROPS, Surface, judged_crops, learnt_batch
from edgevision.study.train.turbovit import IMAGE, TrainedTurboViT
from edgevision.study.waiting import counting_bar

JUDGED_AT_ONCE = 30
DECAY = 0.02  # of weights
WARM_STEPS = 40  # at most; a fifth of a short lesson


class TeachSettings(Settings):
    """How a TurboViT is taught."""

    seed: int = Field(default=0, ge=0, le=1_000_000, description="The same seed, steps and machine give the same network.")
    lesson: str = Field(default="labels", description="labels, predictor, distilled, measured or nested.")
    minutes: float | None = Field(default=None, gt=0, description="Stop after this time, wherever the steps are.")
    steps: int = Field(default=600, ge=1, le=10_000_000, description="Training steps in all.")
    batch: int = Field(default=16, ge=1, le=4096, description="Crops in a step.")
    rate: float = Field(default=2e-3, gt=0, le=1, description="Highest learning rate; it rises at first and falls along a cosine.")
    px: int = Field(default=256, ge=32, le=4096, description="Side of the picture that the network is given.")
    start: str = Field(default=IMAGE, description="What this layer gives is learnt from: all before it stays as it is.")
    pool: int = Field(default=0, ge=0, le=1_000_000, description="Crops drawn once and run up to `start` once; 0: always new.")
    threads: int = Field(default=1, ge=1, le=256, description="Threads of the training itself.")
    judge_every: int = Field(default=50, ge=1, description="Steps between points of the curve; a checkpoint is written at each.")


@dataclass(slots=True)
class Taught:
    """A run under way: what a checkpoint holds.

    `curve`: step, seconds, mean loss since the last point, accuracy on one crop of each judged picture.
    """

    network: TrainedTurboViT
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    curve: list[tuple[int, float, float, float]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Raises OSError."""
        keep(path, self.network, self.optimiser, step=self.step, seconds=self.seconds, curve=self.curve)

    def load(self, path: Path) -> None:
        """Raises InputError for a file of another network."""
        state = restore(path, self.network, self.optimiser)
        self.step, self.seconds, self.curve = int(state["step"]), float(state["seconds"]), list(state["curve"])


def teach(
    network: TrainedTurboViT, surface: Surface, settings: TeachSettings, folder: Path | None, teacher: TrainedTurboViT | None = None
) -> Taught:
    """Teach in `folder`, from its checkpoint where there is one; gives what was taught. Without a folder nothing is kept."""
    if settings.lesson not in LESSONS:
        raise InputError(f"lesson is '{settings.lesson}'; it must be one of {', '.join(LESSONS)}")
    lesson, device = LESSONS[settings.lesson], torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    network.to(device).train()
    teacher = teacher.to(device).eval() if teacher is not None else None
    run = Taught(network, torch.optim.AdamW(_trained(network, lesson, settings.start), lr=settings.rate))
    checkpoint = folder / "checkpoint.pt" if folder is not None else None
    if checkpoint is not None and checkpoint.exists():
        run.load(checkpoint)
    losses: list[float] = []
    exam = Exam.of(network, surface, settings.px, settings.start, each=1) if checkpoint is not None else None
    with counting_bar() as bar:
        task = bar.add_task(f"{settings.lesson} on {surface.name}", total=settings.steps, completed=run.step)
        for loss in _steps(run, teacher, surface, settings):
            losses.append(loss)
            bar.update(task, completed=run.step)
            if checkpoint is not None and exam is not None and (run.step % settings.judge_every == 0 or _done(settings, run) >= 1):
                run.curve.append((run.step, run.seconds, float(np.mean(losses)), exam.accuracy(network)))
                losses.clear()
                run.save(checkpoint)
    network.eval()
    return run


def _trained(network: TrainedTurboViT, lesson: Lesson, start: str) -> list[dict[str, Any]]:
    """What the lesson trains, the network's weights and the attention's own, each with its pace; the rest is held still."""
    own = network.trained_after(start) if lesson.trains_network else []
    learnt = list(network.attention.parameters()) if lesson.trains_attention else []
    network.requires_grad_(False)
    for parameter in (*own, *learnt):
        parameter.requires_grad_(True)
    decays = 0.0 if lesson.pace < 1 else DECAY
    groups = [{"params": own, "pace": 1.0, "weight_decay": DECAY}, {"params": learnt, "pace": lesson.pace, "weight_decay": decays}]
    return [group for group in groups if group["params"]]


def _steps(run: Taught, teacher: TrainedTurboViT | None, surface: Surface, settings: TeachSettings) -> Iterator[float]:
    """Train, one step at a time; yields the loss."""
    began, before, device = time.monotonic(), run.seconds, next(run.network.parameters()).device
    lesson, warm = LESSONS[settings.lesson], min(WARM_STEPS, settings.steps // 5 + 1)
    pool = _pool(run.network, surface, settings) if settings.pool else None
    while (done := _done(settings, run)) < 1.0:
        for group in run.optimiser.param_groups:
            group["lr"] = group["pace"] * settings.rate * min(1.0, (run.step + 1) / warm) * (0.5 + 0.5 * float(np.cos(np.pi * done))) + 1e-6
        rng = np.random.default_rng((settings.seed, run.step))
        batch = _drawn(run.network, surface, settings, rng) if pool is None else _picked(pool, settings.batch, rng)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = lesson.loss(run.network, teacher, batch)
        run.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(run.network.parameters(), 1.0)
        run.optimiser.step()
        run.step += 1
        run.seconds = before + time.monotonic() - began
        yield float(loss.detach())


def _drawn(network: TrainedTurboViT, surface: Surface, settings: TeachSettings, rng: np.random.Generator) -> Batch:
    """New crops, run up to where what is learnt begins."""
    device = next(network.parameters()).device
    images, labels = learnt_batch(surface, settings.px, settings.batch, rng)
    x = as_input(images, surface).to(device)
    if settings.start != IMAGE:
        with torch.no_grad():
            x = network.until(x, settings.start)
    return Batch(x, torch.from_numpy(labels).to(device), settings.start)


def _pool(network: TrainedTurboViT, surface: Surface, settings: TeachSettings) -> Batch:
    """All crops of the pool."""
    draws = range(-(-settings.pool // settings.batch))
    parts = [_drawn(network, surface, settings, np.random.default_rng((settings.seed, 7, number))) for number in draws]
    return Batch(torch.cat([part.x for part in parts]), torch.cat([part.labels for part in parts]), settings.start)


def _picked(pool: Batch, count: int, rng: np.random.Generator) -> Batch:
    chosen = torch.from_numpy(rng.choice(len(pool.labels), count, replace=False)).to(pool.labels.device)
    return Batch(pool.x[chosen], pool.labels[chosen], pool.start)


def _done(settings: TeachSettings, run: Taught) -> float:
    """How much of the run is behind: 1 and more is all."""
    by_time = 0.0 if settings.minutes is None else run.seconds / (60 * settings.minutes)
    return max(run.step / settings.steps, by_time)


def as_input(images: NDArray[np.uint8], surface: Surface) -> torch.Tensor:
    """Gray (n, H, W) 0..255 -> (n, 3, H, W) as the network takes it: (value / 255 - mean) / std."""
    gray = (torch.from_numpy(images)[:, None].float() / 255 - surface.mean) / surface.std
    return gray.expand(-1, 3, -1, -1)


@dataclass(frozen=True, slots=True)
class Exam:
    """Judged crops of a surface, run in f32 up to layer `start`: for networks that are the same up to there."""

    batches: tuple[Batch, ...]

    @classmethod
    def of(cls, network: TrainedTurboViT, surface: Surface, px: int, start: str = IMAGE, each: int = JUDGED_CROPS) -> Exam:
        """`each` crops of every judged picture."""
        images, labels = judged_crops(surface, px, each=each)
        device, batches = next(network.parameters()).device, []
        with torch.no_grad():
            for first in range(0, len(images), JUDGED_AT_ONCE):
                x = as_input(images[first : first + JUDGED_AT_ONCE], surface).to(device)
                named = torch.from_numpy(labels[first : first + JUDGED_AT_ONCE])
                batches.append(Batch(x if start == IMAGE else network.until(x, start), named, start))
        return cls(tuple(batches))

    def accuracy(self, network: TrainedTurboViT) -> float:
        """The share of the crops that are named rightly."""
        with torch.no_grad():
            right = [int((network.run(one.x, one.start)[0].argmax(1).cpu() == one.labels).sum()) for one in self.batches]
        return sum(right) / sum(len(one.labels) for one in self.batches)


def accuracy(network: TrainedTurboViT, surface: Surface, px: int, *, each: int = JUDGED_CROPS) -> float:
    """The share of the judged crops, `each` of a picture, that are named rightly."""
    return Exam.of(network, surface, px, each=each).accuracy(network)
