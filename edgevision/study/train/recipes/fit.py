"""The training loop of the recipes. In: a network, a loss of a batch that is drawn from a random generator. Out: the network, with weights
averaged over its last steps. Keeps a checkpoint, from which a run that was stopped goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from pydantic import Field
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from edgevision.records import Settings
from edgevision.study.train.checkpoint import keep, restore

BatchLoss = Callable[[nn.Module, np.random.Generator], torch.Tensor]
WARM_STEPS = 100
CHECKPOINT_EVERY = 200
SHOWN_EVERY = 100  # steps between two lines of the curve


class FitSettings(Settings):
    """How long and how fast a network learns."""

    seed: int = Field(default=0, ge=0, le=1_000_000, description="The same seed, steps and machine give the same network.")
    steps: int = Field(default=100_000, ge=1, le=10_000_000, description="Training steps in all.")
    minutes: float | None = Field(default=None, gt=0, description="Stop after this time, wherever the steps are.")
    rate: float = Field(default=2e-3, gt=0, le=1, description="Highest learning rate; it falls along a cosine.")
    average: float = Field(default=0.997, ge=0, lt=1, description="Share of the averaged weights that a step leaves as they are.")
    threads: int = Field(default=1, ge=1, le=64, description="Threads of the training.")


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a run has come to: steps made, seconds they took, and the loss along the way (step, loss)."""

    steps: int
    seconds: float
    curve: tuple[tuple[int, float], ...]


class _Run:
    """A training under way: what a checkpoint holds."""

    def __init__(self, network: nn.Module, settings: FitSettings) -> None:
        self.network = network
        self.optimiser = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=1e-3)
        self.mean = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.step, self.seconds = 0, 0.0
        self.curve: list[tuple[int, float]] = []

    def save(self, path: Path) -> None:
        keep(path, self.network, self.optimiser, mean=self.mean, step=self.step, seconds=self.seconds, curve=self.curve)

    def load(self, path: Path) -> None:
        state = restore(path, self.network, self.optimiser)
        self.mean, self.step, self.seconds = state["mean"], int(state["step"]), float(state["seconds"])
        self.curve = [(int(step), float(loss)) for step, loss in state["curve"]]

    def average(self, share: float) -> None:
        """Let the averaged weights follow by a step; fast at first."""
        kept = min(share, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                if value.dtype.is_floating_point:
                    self.mean[name].lerp_(value, 1 - kept)
                else:
                    self.mean[name].copy_(value)


def fit(network: nn.Module, settings: FitSettings, folder: Path, loss_of: BatchLoss, *, is_shown: bool = True) -> Fitted:
    """Train the network in place, from the checkpoint in `folder` where there is one. Raises InputError for one of another network."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    torch.set_num_threads(settings.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(settings.seed)
    run = _Run(network, settings)
    if checkpoint.exists():
        run.load(checkpoint)
    network.train()
    columns = (
        TextColumn("training"),
        BarColumn(),
        TextColumn("step {task.fields[step]} loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not is_shown) as progress:
        bar = progress.add_task("train", total=1.0, step=run.step, loss=0.0)
        for share, loss in _steps(settings, run, loss_of):
            progress.update(bar, completed=share, step=run.step, loss=loss)
            if run.step % CHECKPOINT_EVERY == 0:
                run.save(checkpoint)
    run.save(checkpoint)
    network.load_state_dict(run.mean)
    network.eval()
    return Fitted(run.step, run.seconds, tuple(run.curve))


def _steps(settings: FitSettings, run: _Run, loss_of: BatchLoss) -> Iterator[tuple[float, float]]:
    """Train, one step at a time; yields the share done and the smoothed loss."""
    mean = run.curve[-1][1] if run.curve else 0.0
    began, before = time.monotonic(), run.seconds
    while (share := _share(settings, run)) < 1.0:
        for group in run.optimiser.param_groups:
            group["lr"] = settings.rate * min(1.0, (run.step + 1) / WARM_STEPS) * (0.5 + 0.5 * float(np.cos(np.pi * share))) + 1e-6
        loss = loss_of(run.network, np.random.default_rng((settings.seed, 1, run.step)))
        run.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(run.network.parameters(), 5.0)
        run.optimiser.step()
        run.average(settings.average)
        run.step += 1
        run.seconds = before + time.monotonic() - began
        mean = float(loss.detach()) if mean == 0.0 else 0.98 * mean + 0.02 * float(loss.detach())
        if run.step % SHOWN_EVERY == 0:
            run.curve.append((run.step, round(mean, 5)))
        yield share, mean


def _share(settings: FitSettings, run: _Run) -> float:
    """How much of the run is done: 1 and more is all."""
    by_time = 0.0 if settings.minutes is None else run.seconds / (60 * settings.minutes)
    return max(run.step / settings.steps, by_time)
