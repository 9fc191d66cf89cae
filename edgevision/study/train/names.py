"""`edgevision train --names`: a head that is asked by name learns on a network that stays as it is; a name is added from a few examples.

In: NamesTask. Out: the head's file and figures. Keeps nothing. Crops go through the network once; what is learnt then is small, and takes
seconds. Adding a name teaches its own offsets alone: the answers of the other names do not move, they only meet one more in the softmax.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from edgevision.errors import InputError
from edgevision.networks.attention.phi import block_means
from edgevision.networks.names import NamedHead, read_names, rows_of, write_names
from edgevision.networks.turbovit import NORM_EPSILON
from edgevision.networks.turbovit_weights import read_turbovit
from edgevision.study.train.classify import as_input
from edgevision.study.train.surfaces import Surface, judged_crops, learnt_batch, load_surface
from edgevision.study.train.turbovit import TrainedTurboViT, load_weights

BUCKETS, TEXT, DIM = 256, 16, 32
CROPS, AT_ONCE = 640, 32  # learnt from
STEPS, RATE, DECAY = 400, 3e-3, 0.02
MEASUREMENTS = 16


@dataclass(frozen=True, slots=True)
class NamesTask:
    """`network`: trained weights. `head`: one to add `name` to, from `examples` crops of it; None: all names of the network are taught."""

    data: Path
    network: Path
    out: Path
    head: Path | None = None
    name: str | None = None
    examples: int = 10
    without: str | None = None
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Tokens:
    """Last tokens (crop, token, channel), normed, and labels (crop,) by the surface's names."""

    x: torch.Tensor
    labels: torch.Tensor

    def of(self, labels: list[int]) -> Tokens:
        """Only crops of these."""
        chosen = torch.isin(self.labels, torch.tensor(labels))
        return Tokens(self.x[chosen], self.labels[chosen])


class TaughtHead(nn.Module):  # type: ignore[misc]
    """`networks/names.py` as torch sees it: names asked over tokens."""

    def __init__(self, head: NamedHead) -> None:
        super().__init__()
        for name in ("letters", "ask", "read", "key", "value", "offsets"):
            self.register_parameter(name, nn.Parameter(torch.from_numpy(getattr(head, name).copy())))
        self.rows = [torch.tensor(rows_of(name, len(head.letters))) for name in head.names]
        self.register_buffer("phi", torch.from_numpy(block_means(head.measurements, head.size)), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(crop, name) scores of normed tokens (crop, token, channel)."""
        text, dim = torch.stack([self.letters[rows].mean(0) for rows in self.rows]), self.ask.shape[1]
        query, reading = text @ self.ask + self.offsets[:, :dim], text @ self.read + self.offsets[:, dim : 2 * dim]
        measured = self.phi @ x
        shares = ((measured @ self.key) @ query.T * dim**-0.5).softmax(1)  # (crop, measurement, name)
        found = shares.transpose(1, 2) @ (measured @ self.value)
        return (found * reading).sum(-1) + self.offsets[:, -1]

    def weights(self) -> dict[str, Any]:
        """As `NamedHead` has them."""
        return {name: value.detach().numpy().copy() for name, value in self.named_parameters()}


def run(task: NamesTask) -> dict[str, Any]:
    """Teach or add, write the head, say how good it is. Raises InputError before the work for what will not do."""
    torch.set_num_threads(task.threads)
    torch.manual_seed(task.seed)
    surface = load_surface(task.data, task.without)
    found = read_turbovit(task.network)
    network = load_weights(TrainedTurboViT(found.spec), found.weights).eval()
    if task.head is None:
        return _teach(task, surface, network)
    if task.name is None:
        raise InputError("--names FILE adds a name: say which with --add")
    return _add(task, surface, network, read_names(task.head), task.name)


def _teach(task: NamesTask, surface: Surface, network: TrainedTurboViT) -> dict[str, Any]:
    px = network.spec.trained_px
    learnt = _tokens(network, surface, _drawn(surface, px, CROPS, task.seed))
    side = int(learnt.x.shape[1] ** 0.5)
    head = _new(surface.labels, learnt.x.shape[2], (side, side), task.seed)
    taught = _fitted(head, learnt, only_last=False, seed=task.seed)
    path = task.out / f"{surface.name}-names.npz"
    write_names(path, taught)
    judged = _tokens(network, surface, judged_crops(surface, px))
    return {"names": str(path), "labels": surface.labels, "parameters": _size(taught), "accuracy": _accuracy(taught, judged, range(99))}


def _add(task: NamesTask, surface: Surface, network: TrainedTurboViT, head: NamedHead, name: str) -> dict[str, Any]:
    if name not in surface.labels or set(head.names) - set(surface.labels):
        raise InputError(f"--add {name}: {task.data} shows {', '.join(surface.labels)}; the head knows {', '.join(head.names)}")
    order = [surface.labels.index(one) for one in (*head.names, name)]
    if len(order) > len(surface.labels):
        raise InputError(f"--add {name}: the head knows this name already")
    px, new, old = network.spec.trained_px, order[-1], order[:-1]
    judged = _tokens(network, surface, judged_crops(surface, px))
    placed = replace_labels(judged, order)
    before = _accuracy(head, placed.of(list(range(len(old)))), range(len(old)))
    few = replace(surface, learnt=tuple(p for p in surface.learnt if p.label != new) + _first(surface, new, task.examples))
    learnt = replace_labels(_tokens(network, few, _drawn(few, px, CROPS, task.seed)), order)
    by_letters = head.added(name)
    taught = _fitted(by_letters, learnt, only_last=True, seed=task.seed)
    path = task.out / f"{surface.name}-names-{len(order)}.npz"
    write_names(path, taught)
    return {
        "names": str(path),
        "labels": list(taught.names),
        "examples": task.examples,
        "parameters_taught": taught.offsets.shape[1],
        "old_before": before,
        "by_letters_alone": _split(by_letters, placed, len(old)),
        "by_examples": _split(taught, placed, len(old)),
    }


def replace_labels(tokens: Tokens, order: list[int]) -> Tokens:
    """Labels as the head counts its names."""
    place = torch.full((max(order) + 1,), -1)
    place[torch.tensor(order)] = torch.arange(len(order))
    return Tokens(tokens.x, place[tokens.labels])


def _first(surface: Surface, label: int, count: int) -> tuple[Any, ...]:
    pictures = tuple(p for p in surface.learnt if p.label == label)[:count]
    if len(pictures) < count:
        raise InputError(f"--examples is {count}; there are {len(pictures)} pictures of {surface.labels[label]} to learn from")
    return pictures


def _new(names: tuple[str, ...], channels: int, size: tuple[int, int], seed: int) -> NamedHead:
    random = np.random.default_rng(seed)

    def drawn(*shape: int) -> Any:
        return (random.standard_normal(shape) * shape[0] ** -0.5).astype(np.float32)

    letters = random.standard_normal((BUCKETS, TEXT)).astype(np.float32)
    parts = {"ask": drawn(TEXT, DIM), "read": drawn(TEXT, DIM), "key": drawn(channels, DIM), "value": drawn(channels, DIM)}
    offsets = np.zeros((len(names), 2 * DIM + 1), np.float32)
    return NamedHead(names, letters, **parts, offsets=offsets, measurements=min(MEASUREMENTS, size[0] * size[1]), size=size)


def _drawn(surface: Surface, px: int, count: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng((seed, 11))
    return learnt_batch(surface, px, count, rng)


def _tokens(network: TrainedTurboViT, surface: Surface, crops: tuple[Any, Any]) -> Tokens:
    images, labels = crops
    with torch.no_grad():
        made = [network.run(as_input(images[first : first + AT_ONCE], surface))[1] for first in range(0, len(images), AT_ONCE)]
    x = torch.cat(made).flatten(1, 2).float()
    return Tokens(functional.layer_norm(x, x.shape[-1:], eps=NORM_EPSILON), torch.from_numpy(np.asarray(labels)))


def _fitted(head: NamedHead, learnt: Tokens, only_last: bool, seed: int, steps: int = STEPS) -> NamedHead:
    """All weights, or the last name's offsets alone."""
    model = TaughtHead(head)
    if only_last:
        model.requires_grad_(False)
        model.offsets.requires_grad_(True)
    trained = [one for one in model.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0 if only_last else DECAY)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (0.5 + 0.5 * float(np.cos(np.pi * step / steps)))
        chosen = torch.randint(len(learnt.labels), (64,), generator=generator)
        loss = functional.cross_entropy(model(learnt.x[chosen]), learnt.labels[chosen], label_smoothing=0.02)
        optimiser.zero_grad()
        loss.backward()
        if only_last and model.offsets.grad is not None:
            model.offsets.grad[:-1] = 0
        optimiser.step()
    return replace(head, **model.weights())


def _accuracy(head: NamedHead, judged: Tokens, names: range) -> float:
    """The share of the crops that are named rightly, among these names."""
    with torch.no_grad():
        scores = TaughtHead(head)(judged.x)[:, : names.stop]
    return round(float((scores.argmax(1) == judged.labels).float().mean()), 4)


def _split(head: NamedHead, judged: Tokens, old: int) -> dict[str, float]:
    every = range(old + 1)
    return {
        "old": _accuracy(head, judged.of(list(range(old))), every),
        "new": _accuracy(head, judged.of([old]), every),
        "all": _accuracy(head, judged, every),
    }


def _size(head: NamedHead) -> dict[str, int]:
    text = head.letters.size + head.ask.size + head.read.size
    return {"text": text, "tokens": head.key.size + head.value.size, "a_name": head.offsets.shape[1]}


def told(report: dict[str, Any]) -> str:
    """The report in words."""
    if "by_examples" not in report:
        return f"{report['names']}: {report['accuracy']:.1%} of the crops named rightly; {json.dumps(report['parameters'])} numbers"
    by_letters, by_examples = report["by_letters_alone"], report["by_examples"]
    return (
        f"{report['names']}: {report['labels'][-1]} by {report['examples']} examples: {by_examples['new']:.1%} of its crops, "
        f"{by_examples['old']:.1%} of the others (before {report['old_before']:.1%}); by its letters alone {by_letters['new']:.1%}"
    )
