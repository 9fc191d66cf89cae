"""`edgevision train --recipe pcb`: a detector learns to compare boards with templates. In: a set, or none. Out: an ONNX file, its card.

Without a set it learns from generated boards alone; so does what ships. With one it learns from all groups, or from those that are named,
and is judged on the others. What it knows is an average over the last steps. Keeps checkpoints: a run that was stopped goes on.
START READING HERE: `run`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from edgevision.errors import InputError
from edgevision.networks.detector import STRIDE, DetectorSpec, layers
from edgevision.records import Settings
from edgevision.study.parts.pcb import LABELS
from edgevision.study.train.network import TrainedLayers
from edgevision.study.train.recipes.boxes import Targets, loss_of, targets_of
from edgevision.study.train.recipes.pcb_views import CROP_PX, Board, Pool

MEAN, STD = (0.5, 0.5, 0.0), (0.5, 0.5, 0.5)
FIRST_EDGE_CELLS = 2.3  # of a cell's box before it has learnt anything: usual boxes are 36 px across
AVERAGED = 0.998
WARM_STEPS = 150
RENEW_EVERY = 6


class PcbTrainSettings(Settings):
    """How the network of recipe `pcb` is trained."""

    seed: int = Field(0, ge=0, le=1_000_000, description="The same seed, steps and machine give the same network.")
    steps: int = Field(6_000, ge=1, le=10_000_000, description="Training steps in all.")
    minutes: float | None = Field(None, gt=0, description="Stop after this time, wherever the steps are.")
    batch: int = Field(32, ge=1, le=512, description="Crops in a step.")
    rate: float = Field(4e-3, gt=0, le=1, description="Highest learning rate; it rises over the first steps and falls along a cosine.")
    threads: int = Field(1, ge=1, le=64, description="Threads of the training.")
    checkpoint_every: int = Field(250, ge=1, description="Steps between checkpoints.")


class TrainedDetector(TrainedLayers):
    """A detector of a spec."""

    def __init__(self, spec: DetectorSpec) -> None:
        super().__init__(layers(spec))
        self.spec = spec
        edges = self.convolutions["conv_boxes"]
        torch.nn.init.normal_(edges.weight, std=0.01)
        torch.nn.init.constant_(edges.bias, FIRST_EDGE_CELLS)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 3, H, W), normalised -> logits (n, labels, H/8, W/8) and a box's edges (n, 4, H/8, W/8) in pixels."""
        values = self.run(image)
        return values["scores"].float(), STRIDE * values["boxes"].float()


@dataclass(slots=True)
class Run:
    """A training under way: what a checkpoint holds. `average` has the network's names."""

    network: TrainedDetector
    optimiser: torch.optim.Optimizer
    average: dict[str, torch.Tensor]
    step: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write all of it, whole or not at all."""
        state = {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(), "average": self.average}
        torch.save({**state, "step": self.step, "seconds": self.seconds, "losses": self.losses}, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint. Raises InputError for one that is none."""
        try:
            state: dict[str, Any] = torch.load(path, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (OSError, RuntimeError, KeyError, EOFError, ValueError, UnpicklingError) as error:
            raise InputError(f"{path}: not a checkpoint of this network ({type(error).__name__}); delete it to begin anew") from error
        self.average, self.step, self.seconds, self.losses = (state[key] for key in ("average", "step", "seconds", "losses"))

    def averaged(self) -> TrainedDetector:
        """The network as it is on average over the last steps, to be used."""
        network = TrainedDetector(self.network.spec)
        network.load_state_dict(self.average)
        network.eval()
        return network


def train(
    settings: PcbTrainSettings,
    real: Sequence[Board],
    folder: Path,
    spec: DetectorSpec | None = None,
    show: Callable[..., None] | None = None,
) -> Run:
    """Train in `folder`, from its checkpoint where there is one. `show` is called with the share done, the step and the loss."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    network = TrainedDetector(spec or DetectorSpec(LABELS)).to(memory_format=torch.channels_last)
    run = Run(network, torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=2e-3), {})
    if checkpoint.exists():
        run.load(checkpoint)
    network.train()
    for share, loss in _steps(settings, run, real):
        if show is not None:
            show(share, run.step, loss)
        if run.step % settings.checkpoint_every == 0:
            run.save(checkpoint)
    run.save(checkpoint)
    return run


def _steps(settings: PcbTrainSettings, run: Run, real: Sequence[Board]) -> Iterator[tuple[float, float]]:
    """Train, one step at a time; yields the share done and the loss."""
    if _share(settings, run) >= 1.0:
        return
    pool = Pool(real, settings.seed + run.step)
    began, before, mean = time.monotonic(), run.seconds, 0.0
    while (share := _share(settings, run)) < 1.0:
        for group in run.optimiser.param_groups:
            group["lr"] = settings.rate * min(1.0, (run.step + 1) / WARM_STEPS) * (0.5 + 0.5 * float(np.cos(np.pi * share))) + 1e-6
        if run.step % RENEW_EVERY == 0:
            pool.renew()
        images, targets = batch(pool, np.random.default_rng((settings.seed, 1, run.step)), settings.batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores, edges = run.network(images)
        loss = loss_of(scores, edges, *targets)
        run.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(run.network.parameters(), 5.0)
        run.optimiser.step()
        run.step += 1
        _average(run)
        run.seconds = before + time.monotonic() - began
        mean = float(loss.detach()) if mean == 0.0 else 0.98 * mean + 0.02 * float(loss.detach())
        if run.step % 50 == 0:
            run.losses.append((run.step, mean))
        yield share, mean


def _share(settings: PcbTrainSettings, run: Run) -> float:
    """How much of the run is done: 1 and more is all."""
    by_time = 0.0 if settings.minutes is None else run.seconds / (60 * settings.minutes)
    return max(run.step / settings.steps, by_time)


def _average(run: Run) -> None:
    """Take the network as it is now into its average; a short one at first."""
    kept = min(AVERAGED, (1 + run.step) / (10 + run.step))
    now = run.network.state_dict()
    if not run.average:
        run.average = {name: value.clone() for name, value in now.items()}
    for name, value in now.items():
        if value.dtype.is_floating_point:
            run.average[name].mul_(kept).add_(value.detach(), alpha=1 - kept)
        else:
            run.average[name].copy_(value)


def batch(pool: Pool, rng: np.random.Generator, count: int) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Normalised images of random crops; and labels, weights and edges of their cells."""
    images, targets = [], []
    for _ in range(count):
        picture, boxes, edges = pool.crop(rng)
        images.append(picture)
        targets.append(targets_of(boxes, ~edges, len(LABELS), CROP_PX // STRIDE))
    labels, weights, edges = (torch.from_numpy(np.stack(of)) for of in zip(*targets, strict=True))
    return normalised(np.stack(images)), (labels, weights, edges)


def normalised(images: NDArray[np.uint8]) -> torch.Tensor:
    """(n, H, W, 3) 0..255 -> what the network takes, (n, 3, H, W)."""
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    return ((torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


__all__ = ["PcbTrainSettings", "Run", "Targets", "TrainedDetector", "batch", "normalised", "train"]
