"""Teach a TurboViT to name what crops of a surface show. In: TeachSettings, a Surface. Out: the network, its curve. Keeps checkpoints.

Batch n is the same for the same seed, so a run can be stopped and taken up again. A GPU is used where torch finds one. START READING
HERE: `teach`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from edgevision.errors import InputError
from edgevision.records import Settings
from edgevision.study.train.lessons import LESSONS, Batch, Lesson
from edgevision.study.train.surfaces import JUDGED_CROPS, Surface, judged_crops, learnt_batch
from edgevision.study.train.turbovit import TrainedTurboViT
from edgevision.study.waiting import counting_bar

JUDGED_AT_ONCE = 30
WARM_STEPS = 40  # at most; a fifth of a short lesson


class TeachSettings(Settings):
    """How a TurboViT is taught."""

    seed: int = Field(default=0, ge=0, le=1_000_000, description="The same seed, steps and machine give the same network.")
    lesson: str = Field(default="labels", description="labels, predictor, distilled or measured.")
    minutes: float | None = Field(default=None, gt=0, description="Stop after this time, wherever the steps are.")
    steps: int = Field(default=600, ge=1, le=10_000_000, description="Training steps in all.")
    batch: int = Field(default=16, ge=1, le=4096, description="Crops in a step.")
    rate: float = Field(default=2e-3, gt=0, le=1, description="Highest learning rate; it rises at first and falls along a cosine.")
    px: int = Field(default=256, ge=32, le=4096, description="Side of the picture that the network is given.")
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
        """Written beside, then renamed: a run that is killed leaves the last one whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}
        state |= {"step": self.step, "seconds": self.seconds, "curve": self.curve}
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        """Raises InputError for a file of another network."""
        try:
            state: dict[str, Any] = torch.load(path, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (OSError, RuntimeError, KeyError, EOFError, ValueError, UnpicklingError) as error:
            raise InputError(f"{path}: not a checkpoint of this network ({type(error).__name__}); delete it to begin anew") from error
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
    run = Taught(network, torch.optim.AdamW(_trained(network, lesson), lr=settings.rate, weight_decay=0.02))
    checkpoint = folder / "checkpoint.pt" if folder is not None else None
    if checkpoint is not None and checkpoint.exists():
        run.load(checkpoint)
    losses: list[float] = []
    with counting_bar() as bar:
        task = bar.add_task(f"{settings.lesson} on {surface.name}", total=settings.steps, completed=run.step)
        for loss in _steps(run, teacher, surface, settings):
            losses.append(loss)
            bar.update(task, completed=run.step)
            if checkpoint is not None and (run.step % settings.judge_every == 0 or _done(settings, run) >= 1):
                right = accuracy(network, surface, settings.px, each=1)
                run.curve.append((run.step, run.seconds, float(np.mean(losses)), right))
                losses.clear()
                run.save(checkpoint)
    network.eval()
    return run


def _trained(network: TrainedTurboViT, lesson: Lesson) -> list[torch.nn.Parameter]:
    """What the lesson trains; the rest is held still."""
    for parts, is_trained in ((network.learned, lesson.trains_network), (network.attention, lesson.trains_attention)):
        for parameter in parts.parameters():
            parameter.requires_grad_(is_trained)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _steps(run: Taught, teacher: TrainedTurboViT | None, surface: Surface, settings: TeachSettings) -> Iterator[float]:
    """Train, one step at a time; yields the loss."""
    began, before, device = time.monotonic(), run.seconds, next(run.network.parameters()).device
    lesson, warm = LESSONS[settings.lesson], min(WARM_STEPS, settings.steps // 5 + 1)
    while (done := _done(settings, run)) < 1.0:
        for group in run.optimiser.param_groups:
            group["lr"] = settings.rate * min(1.0, (run.step + 1) / warm) * (0.5 + 0.5 * float(np.cos(np.pi * done))) + 1e-6
        rng = np.random.default_rng((settings.seed, run.step))
        images, labels = learnt_batch(surface, settings.px, settings.batch, rng)
        batch = Batch(as_input(images, surface).to(device), torch.from_numpy(labels).to(device))
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = lesson.loss(run.network, teacher, batch)
        run.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(run.network.parameters(), 1.0)
        run.optimiser.step()
        run.step += 1
        run.seconds = before + time.monotonic() - began
        yield float(loss.detach())


def _done(settings: TeachSettings, run: Taught) -> float:
    """How much of the run is behind: 1 and more is all."""
    by_time = 0.0 if settings.minutes is None else run.seconds / (60 * settings.minutes)
    return max(run.step / settings.steps, by_time)


def as_input(images: NDArray[np.uint8], surface: Surface) -> torch.Tensor:
    """Gray (n, H, W) 0..255 -> (n, 3, H, W) as the network takes it: (value / 255 - mean) / std."""
    gray = (torch.from_numpy(images)[:, None].float() / 255 - surface.mean) / surface.std
    return gray.expand(-1, 3, -1, -1)


def answers(network: TrainedTurboViT, images: NDArray[np.uint8], surface: Surface) -> NDArray[np.float32]:
    """Logits (n, labels) in f32."""
    device, is_training = next(network.parameters()).device, network.training
    network.eval()
    with torch.no_grad():
        starts = range(0, len(images), JUDGED_AT_ONCE)
        parts = [network(as_input(images[i : i + JUDGED_AT_ONCE], surface).to(device)).cpu() for i in starts]
    network.train(is_training)
    return np.asarray(torch.cat(parts).float().numpy())


def accuracy(network: TrainedTurboViT, surface: Surface, px: int, *, each: int = JUDGED_CROPS) -> float:
    """The share of the judged crops, `each` of a picture, that are named rightly."""
    images, labels = judged_crops(surface, px, each=each)
    return float((answers(network, images, surface).argmax(1) == labels).mean())
