"""`edgevision train`: the default network learns the synthetic line. In: TrainSettings. Out: an ONNX file and its card. Keeps checkpoints.

One process trains, others draw lines ahead; line n is the same for the same seed, so a run can be stopped and taken up again.
START READING HERE: `train`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch.nn import functional

from edgevision.networks.unet import UNetSpec
from edgevision.records import Settings
from edgevision.study.train.checkpoint import keep, restore
from edgevision.study.train.deliver import assess, deliver
from edgevision.study.train.network import TrainedUNet, normalised
from edgevision.study.train.samples import Crops, crops_of_line

FIRST_LINES = 5  # in memory before the first step; the pool fills up as the run goes on


class TrainSettings(Settings):
    """How the default network is trained."""

    seed: int = Field(default=0, ge=0, le=1_000_000, description="The same seed, steps and machine give the same network.")
    steps: int = Field(default=20_000, ge=1, le=10_000_000, description="Training steps in all.")
    minutes: float | None = Field(default=None, gt=0, description="Stop after this time, wherever the steps are.")
    batch: int = Field(default=24, ge=1, le=512, description="Crops in a step.")
    rate: float = Field(
        default=3e-3, gt=0, le=1, description="Highest learning rate; it rises over the first steps and falls along a cosine."
    )
    pool_lines: int = Field(default=30, ge=1, le=2_000, description="Lines whose crops are in memory at a time.")
    steps_a_line: int = Field(default=60, ge=1, le=100_000, description="Steps before the oldest line makes room for a new one.")
    workers: int = Field(default=1, ge=0, le=64, description="Processes that draw lines ahead; 0 draws them in this one.")
    threads: int = Field(default=1, ge=1, le=64, description="Threads of the training itself.")
    checkpoint_every: int = Field(default=1_000, ge=1, description="Steps between checkpoints.")


@dataclass(slots=True)
class _Run:
    """A training under way: what a checkpoint holds."""

    network: TrainedUNet
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        keep(path, self.network, self.optimiser, step=self.step, seconds=self.seconds)

    def load(self, path: Path) -> None:
        state = restore(path, self.network, self.optimiser)
        self.step, self.seconds = int(state["step"]), float(state["seconds"])


class _Pool:
    """The crops in memory: a ring of lines, a new one drawn ahead by the workers."""

    def __init__(self, settings: TrainSettings, first_line: int) -> None:
        self._settings = settings
        self._next = first_line
        context = get_context("spawn")
        self._workers = ProcessPoolExecutor(settings.workers, mp_context=context, initializer=_be_quiet) if settings.workers else None
        self._ahead: deque[Future[Crops]] = deque()
        self.lines: deque[Crops] = deque(maxlen=settings.pool_lines)
        self._interest: deque[NDArray[np.float64]] = deque(maxlen=settings.pool_lines)
        self._drawn: list[tuple[NDArray[np.float64], int]] = []

    def add(self) -> None:
        """Take the next line in; waits for it."""
        if self._workers is None:
            line = crops_of_line(self._next, self._settings.seed)
            self._next += 1
        else:
            while len(self._ahead) <= 2 * self._settings.workers:
                self._ahead.append(self._workers.submit(crops_of_line, self._next, self._settings.seed))
                self._next += 1
            line = self._ahead.popleft().result()
        self.lines.append(line)
        self._interest.append(np.ones(len(line.images)))

    def learn(self, losses: NDArray[np.float64]) -> None:
        """Remember how hard each crop of the last batch was: the hard ones come up more often."""
        for (interest, index), loss in zip(self._drawn, losses, strict=True):
            interest[index] = min(max(float(loss), 0.02), 3.0)

    def batch(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Normalised images, targets and weights of a random batch, each crop mirrored and turned at random."""
        turned: list[tuple[NDArray[np.uint8], ...]] = []
        self._drawn = []
        for number in range(self._settings.batch):
            place = int(rng.integers(len(self.lines)))
            line, interest = self.lines[place], self._interest[place]
            chances = interest / interest.sum() if number % 2 else None
            index, turns, flip = int(rng.choice(len(interest), p=chances)), int(rng.integers(4)), -1 if rng.integers(2) else 1
            self._drawn.append((interest, index))
            planes = (line.images[index][..., ::-1], line.targets[index].transpose(1, 2, 0), line.weights[index][..., None])
            turned.append(tuple(np.rot90(p[:, ::flip], turns) for p in planes))
        images, targets, weights = (torch.from_numpy(np.stack(s)).permute(0, 3, 1, 2).float() for s in zip(*turned, strict=True))
        gain = torch.from_numpy(rng.uniform(0.93, 1.07, (self._settings.batch, 1, 1, 1)).astype(np.float32))
        offset = torch.from_numpy(rng.uniform(-5, 5, (self._settings.batch, 1, 1, 1)).astype(np.float32))
        return normalised(images * gain + offset), targets, weights

    def close(self) -> None:
        """Send the workers home."""
        if self._workers is not None:
            self._workers.shutdown(wait=True, cancel_futures=True)


def _be_quiet() -> None:
    """In a worker: one thread."""
    cv2.setNumThreads(1)


def loss_of(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Focal cross entropy (what is already right counts little) plus Dice over each label in the batch; and the first, crop by crop."""
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    right = torch.exp(-entropy)
    hard = (entropy * (1 - right) ** 1.5 * (1 + 2 * target) * weight).sum(dim=(1, 2, 3))
    shown = torch.sigmoid(logits) * weight
    both = (shown * target).sum(dim=(0, 2, 3))
    either = (shown + target * weight).sum(dim=(0, 2, 3))
    focal = hard.sum() / (target * weight).sum().clamp(min=200.0)
    return focal + 0.5 * (1 - (2 * both + 20) / (either + 20)).mean(), hard.detach() / 30.0


def _rate(settings: TrainSettings, step: int, share: float) -> float:
    """The learning rate: up over 200 steps, then down a cosine with the share of the run that is done."""
    return settings.rate * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * float(np.cos(np.pi * min(1.0, share)))) + 1e-6


def _share(settings: TrainSettings, run: _Run) -> float:
    """How much of the run is done: 1 and more is all."""
    by_time = 0.0 if settings.minutes is None else run.seconds / (60 * settings.minutes)
    return max(run.step / settings.steps, by_time)


def _steps(settings: TrainSettings, run: _Run) -> Iterator[tuple[float, float]]:
    """Train, one step at a time; yields the share done and the loss."""
    if _share(settings, run) >= 1.0:
        return
    pool = _Pool(settings, max(0, run.step // settings.steps_a_line))
    try:
        for _ in range(min(FIRST_LINES, settings.pool_lines)):
            pool.add()
        began, before = time.monotonic(), run.seconds
        while True:
            share = _share(settings, run)
            if share >= 1.0:
                return
            if run.step % settings.steps_a_line == settings.steps_a_line - 1:
                pool.add()
            for group in run.optimiser.param_groups:
                group["lr"] = _rate(settings, run.step, share)
            images, targets, weights = pool.batch(np.random.default_rng((settings.seed, 1, run.step)))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = run.network(images.contiguous(memory_format=torch.channels_last))
            loss, hard = loss_of(logits.float(), targets, weights)
            pool.learn(hard.numpy())
            run.optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(run.network.parameters(), 5.0)
            run.optimiser.step()
            run.step += 1
            run.seconds = before + time.monotonic() - began
            yield share, float(loss.detach())
    finally:
        pool.close()


def train(settings: TrainSettings, folder: Path, spec: UNetSpec | None = None, *, is_shown: bool = True) -> tuple[TrainedUNet, int, float]:
    """Train in `folder`, from its checkpoint where there is one; gives the network, the steps made and the seconds they took."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    network = TrainedUNet(spec or UNetSpec()).to(memory_format=torch.channels_last)
    run = _Run(network, torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=1e-3))
    if checkpoint.exists():
        run.load(checkpoint)
    network.train()
    columns = (
        TextColumn("training"),
        BarColumn(),
        TextColumn("step {task.fields[step]} loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    mean = 0.0
    with Progress(*columns, disable=not is_shown) as progress:
        bar = progress.add_task("train", total=1.0, step=run.step, loss=0.0)
        for share, loss in _steps(settings, run):
            mean = loss if mean == 0.0 else 0.98 * mean + 0.02 * loss
            progress.update(bar, completed=share, step=run.step, loss=mean)
            if run.step % settings.checkpoint_every == 0:
                run.save(checkpoint)
    run.save(checkpoint)
    network.eval()
    return network, run.step, run.seconds


def train_default(
    out: Path, settings: TrainSettings | None = None, *, work: Path | None = None, lines: int = 6, is_shown: bool = True
) -> dict[str, Any]:
    """Train, score on `lines` held-out lines of each kind, write `out` and its card; gives what was written and the scores.

    Checkpoints are kept in `work` (default: beside `out`); a run that was stopped goes on from there.
    """
    settings = settings or TrainSettings()
    network, steps, seconds = train(settings, work or out.with_suffix(".training"), is_shown=is_shown)
    report = assess(network, lines)
    deliver(network, out, report, {"seed": settings.seed, "steps": steps, "minutes": seconds / 60})
    return {"network": str(out), "steps": steps, "threshold": report.threshold, "default": report.like_demo, "wide": report.wide}
