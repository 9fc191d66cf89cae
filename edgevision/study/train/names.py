"""`edgevision train --names`: a head that is asked by name learns on a network that stays as it is; a name is added from a few examples.

In: NamesTask. Out: the head's file and figures. Keeps nothing. Crops go through the network once; what is learnt then is small, and takes
seconds. A name that is added is not taught but placed among what the head remembers of the others' crops (`networks/likeness.py`): their
answers do not move, they only meet one more in the softmax.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from edgevision.errors import InputError
from edgevision.networks.attention.phi import block_means
from edgevision.networks.names import NamedHead, Remembered, read_names, rows_of, write_names
from edgevision.networks.turbovit import NORM_EPSILON
from edgevision.networks.turbovit_weights import read_turbovit
from edgevision.study.train.classify import as_input
from edgevision.study.train.surfaces import Picture, Surface, judged_crops, learnt_batch, load_surface
from edgevision.study.train.turbovit import TrainedTurboViT, load_weights

BUCKETS, TEXT, DIM = 256, 16, 32
EACH, OF_EXAMPLE, AT_ONCE = 3, 12, 32  # crops of a picture that is learnt from, and of one that a name is added by
STEPS, RATE, DECAY = 400, 3e-3, 0.02
MEASUREMENTS = 16
TAUGHT = ("letters", "ask", "read", "key", "value", "offsets")


@dataclass(frozen=True, slots=True)
class NamesTask:
    """`network`: trained weights. `head`: one to add `name` to, by `examples` pictures drawn of it; None: all names are taught."""

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

    @property
    def means(self) -> Any:
        """(crop, channel)."""
        return self.x.mean(1).numpy()


class TaughtHead(nn.Module):  # type: ignore[misc]
    """`networks/names.py` as torch sees it: names asked over tokens."""

    def __init__(self, head: NamedHead) -> None:
        super().__init__()
        for name in TAUGHT:
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
    found = read_turbovit(task.network)
    surface = as_known(load_surface(task.data, task.without), found.metadata)
    network = load_weights(TrainedTurboViT(found.spec), found.weights).eval()
    if task.head is None:
        return _teach(task, surface, network, found.sha256)
    if task.name is None:
        raise InputError("--names FILE adds a name: say which with --add")
    head = read_names(task.head)
    if head.network != found.sha256:
        raise InputError(f"{task.head}: was taught on the network {head.network[:12]}, {task.network} is {found.sha256[:12]}; name it")
    return _add(task, surface, network, head, task.name)


def as_known(surface: Surface, metadata: Mapping[str, str]) -> Surface:
    """The surface, its gray values seen as the network sees them: by the mean and deviation in its file, as in a camera."""
    mean, std = (json.loads(metadata[name])[0] if name in metadata else getattr(surface, name) for name in ("mean", "std"))
    return replace(surface, mean=float(mean), std=float(std))


def _teach(task: NamesTask, surface: Surface, network: TrainedTurboViT, sha256: str) -> dict[str, Any]:
    px = network.spec.trained_px
    crops, parts = cut(surface.learnt, surface, px, EACH, task.seed)
    learnt = tokens_of(network, surface, crops)
    side = int(learnt.x.shape[1] ** 0.5)
    head = replace(begun(surface.labels, learnt.x.shape[2], (side, side), task.seed), network=sha256)
    memory = Remembered(learnt.means.astype(np.float16), learnt.labels.numpy(), parts)
    taught = replace(fitted(head, learnt, seed=task.seed), memory=memory)
    path = task.out / f"{surface.name}-names.npz"
    write_names(path, taught)
    judged = tokens_of(network, surface, judged_crops(surface, px))
    return {"names": str(path), "labels": surface.labels, "parameters": _size(taught), "accuracy": accuracy_of(taught, judged)}


def _add(task: NamesTask, surface: Surface, network: TrainedTurboViT, head: NamedHead, name: str) -> dict[str, Any]:
    if name not in surface.labels or set(head.names) - set(surface.labels):
        raise InputError(f"--add {name}: {task.data} shows {', '.join(surface.labels)}; the head knows {', '.join(head.names)}")
    by_letters = head.added(name)
    order = [surface.labels.index(one) for one in by_letters.names]
    px, old = network.spec.trained_px, len(head.names)
    shown, parts = cut(_examples(surface, order[-1], task), surface, px, OF_EXAMPLE, task.seed)
    means = tokens_of(network, surface, shown).means
    began = time.perf_counter()
    placed = head.placed(name, means, parts)
    seconds = time.perf_counter() - began
    path = task.out / f"{surface.name}-names-{len(order)}.npz"
    write_names(path, placed)
    judged = replace_labels(tokens_of(network, surface, judged_crops(surface, px)), order)
    return {
        "names": str(path),
        "labels": list(placed.names),
        "examples": task.examples,
        "seconds": round(seconds, 3),
        "memory_bytes": placed.memory.means.nbytes,
        "old_before": accuracy_of(head, judged.of(list(range(old)))),
        "by_letters_alone": split(by_letters, judged, old),
        "by_examples": split(placed, judged, old),
    }


def replace_labels(tokens: Tokens, order: list[int]) -> Tokens:
    """Labels as the head counts its names, -1 for what it does not know."""
    place = torch.full((max(max(order), int(tokens.labels.max())) + 1,), -1)
    place[torch.tensor(order)] = torch.arange(len(order))
    return Tokens(tokens.x, place[tokens.labels])


def _examples(surface: Surface, label: int, task: NamesTask) -> tuple[Picture, ...]:
    pictures = [p for p in surface.learnt if p.label == label]
    if len(pictures) < task.examples:
        raise InputError(f"--examples is {task.examples}; there are {len(pictures)} pictures of {task.name} to learn from")
    drawn = np.random.default_rng((task.seed, 13)).permutation(len(pictures))[: task.examples]
    return tuple(pictures[number] for number in sorted(drawn))


def cut(pictures: tuple[Picture, ...], surface: Surface, px: int, each: int, seed: int) -> tuple[tuple[Any, Any], Any]:
    """Crops and their labels, `each` of every picture; and which picture (crop,) each was cut from."""
    rng = np.random.default_rng((seed, 11))
    made = [learnt_batch(replace(surface, learnt=(one,)), px, each, rng) for one in pictures]
    crops = np.concatenate([crops for crops, _ in made]), np.concatenate([labels for _, labels in made])
    return crops, np.repeat(np.arange(len(pictures)), each)


def begun(names: tuple[str, ...], channels: int, size: tuple[int, int], seed: int) -> NamedHead:
    """A head that has learned nothing yet, the same for the same seed."""
    random = np.random.default_rng(seed)

    def drawn(*shape: int) -> Any:
        return (random.standard_normal(shape) * shape[0] ** -0.5).astype(np.float32)

    letters = random.standard_normal((BUCKETS, TEXT)).astype(np.float32)
    parts = {"ask": drawn(TEXT, DIM), "read": drawn(TEXT, DIM), "key": drawn(channels, DIM), "value": drawn(channels, DIM)}
    offsets, liked = (np.zeros((len(names), width), np.float32) for width in (2 * DIM + 1, channels + 1))
    margins = np.full(len(names), np.nan, np.float32)
    own: dict[str, Any] = {"offsets": offsets, "liked": liked, "margins": margins}
    nothing = Remembered(np.zeros((0, channels), np.float16), np.zeros(0, np.int64), np.zeros(0, np.int64))
    measurements = min(MEASUREMENTS, size[0] * size[1])
    return NamedHead(names, letters, **parts, **own, measurements=measurements, size=size, network="", memory=nothing)


def tokens_of(network: TrainedTurboViT, surface: Surface, crops: tuple[Any, Any]) -> Tokens:
    """What the network makes of crops and their labels, as a head sees it."""
    images, labels = crops
    with torch.no_grad():
        made = [network.run(as_input(images[first : first + AT_ONCE], surface))[1] for first in range(0, len(images), AT_ONCE)]
    x = torch.cat(made).flatten(1, 2).float()
    return Tokens(functional.layer_norm(x, x.shape[-1:], eps=NORM_EPSILON), torch.from_numpy(np.asarray(labels)))


def fitted(head: NamedHead, learnt: Tokens, seed: int, steps: int = STEPS) -> NamedHead:
    """The head with all weights taught."""
    model = TaughtHead(head)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (0.5 + 0.5 * float(np.cos(np.pi * step / steps)))
        chosen = torch.randint(len(learnt.labels), (64,), generator=generator)
        loss = functional.cross_entropy(model(learnt.x[chosen]), learnt.labels[chosen], label_smoothing=0.02)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return replace(head, **model.weights())


def accuracy_of(head: NamedHead, judged: Tokens) -> float:
    """The share of the crops that are named rightly."""
    with torch.no_grad():
        taught = TaughtHead(head)(judged.x).double().numpy()
    found = head.scores(taught, judged.means).argmax(axis=1)
    return round(float((found == judged.labels.numpy()).mean()), 4)


def split(head: NamedHead, judged: Tokens, old: int) -> dict[str, float]:
    """The share named rightly: of the first `old` names, of the one after them, of all."""
    known = list(range(old))
    parts = {"old": known, "new": [old], "all": [*known, old]}
    return {part: accuracy_of(head, judged.of(labels)) for part, labels in parts.items()}


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
