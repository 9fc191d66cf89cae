"""The surface network for what is told by boxes: each pixel of its coarse map says how far a box about it reaches, and of what it is.

In: pictures with boxes. Out: a network, a loss, an ONNX file. Keeps the pictures. A box is learnt by the pixels about its middle, the
smaller box where two claim one; a label's aim is how well the box fits by now, so that of two boxes the better one is the likelier.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from edgevision.errors import InputError
from edgevision.networks.reach import ReachSpec, box_layers
from edgevision.study.sets import Case
from edgevision.study.train.export import write_onnx
from edgevision.study.train.network import Weights, folded
from edgevision.study.train.recipes.begin import ReachNetwork, take_over
from edgevision.study.train.recipes.fit import FitSettings, Fitted, fit
from edgevision.study.train.recipes.lessons import batch_images
from edgevision.study.train.recipes.pictures import coloured
from edgevision.study.train.recipes.variation import Bytes, Variation, lit

BOX_STRIDE = 8
PX, BATCH = 208, 12  # the side of what is learnt: 13 times 16, for pictures of 200
VARIATION = Variation(gain=2.3, ramp=0.4, noise=4.0, blur_px=0.8, scale=(0.8, 1.35), own_light="colour")
MIDDLE = 0.3  # of a box's side, about its middle: pixels there learn it
SHOWN_LEAST = 0.4  # of a box's area: less of it in a view is no box
SEGMENT = MappingProxyType({"kind": "boxes", "boxes": {"layout": "grid"}})


class TrainedBoxes(nn.Module):  # type: ignore[misc]
    """Gives sides (n, 4, h, w), in pixels of the coarse map, and logits of labels (n, labels, h, w)."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        super().__init__()
        self.spec = ReachSpec(labels=labels)
        self.all_steps = box_layers(self.spec)
        self.trunk = ReachNetwork(self.spec, self.all_steps[:-2])
        self.sides = nn.Conv2d(self.spec.widths[3], 4, 1)
        self.labels = nn.Conv2d(self.spec.widths[3], len(labels), 1)
        nn.init.constant_(self.sides.bias, 4.0)
        nn.init.constant_(self.labels.bias, -4.0)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 3, H, W), normalised."""
        head = self.trunk(image)
        return torch.relu(self.sides(head)), self.labels(head)

    def weights(self) -> Weights:
        """Of every convolution, normalisation folded in."""
        own = {name: (conv.weight, conv.bias) for name, conv in (("sides", self.sides), ("labels", self.labels))}
        return {**folded(self.trunk), **{name: (w.detach().numpy().copy(), b.detach().numpy().copy()) for name, (w, b) in own.items()}}


@dataclass(frozen=True, slots=True)
class Boxed:
    """A picture (H, W, 3), its boxes (n, 4) x1 y1 x2 y2 and the place of each one's label."""

    image: Bytes
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]


def boxed(case: Case, labels: tuple[str, ...], px: int) -> Boxed:
    """The Case's picture in the corner of a square of `px`, its last row and column repeated, or shrunk into it where it is larger."""
    image = coloured(case.image())
    scale = min(1.0, px / max(image.shape[:2]))
    if scale < 1:
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    room = (px - image.shape[0], px - image.shape[1])
    filled = np.asarray(cv2.copyMakeBorder(image, 0, room[0], 0, room[1], cv2.BORDER_REPLICATE), np.uint8)
    boxes = np.array([one.box_px for one in case.boxes or ()], np.float32).reshape(-1, 4) * np.float32(scale)
    return Boxed(filled, boxes, np.array([labels.index(one.label) for one in case.boxes or ()], np.int64))


def view_of_boxed(picture: Boxed, rng: np.random.Generator, variation: Variation) -> Boxed:
    """Mirrored, scaled, shifted and lit at random, of the same size."""
    px = picture.image.shape[0]
    zoom = np.exp(rng.uniform(*np.log(variation.scale))) * np.exp(np.array([1, -1]) * rng.uniform(-0.1, 0.1))
    flips = 1 - 2 * rng.integers(0, 2, 2)
    linear = flips * zoom
    middle = px / 2 + rng.uniform(-0.5, 0.5, 2) * np.abs(zoom - 1) * px + rng.normal(0, 0.04, 2) * px
    matrix = np.array([[linear[0], 0, middle[0] - linear[0] * px / 2], [0, linear[1], middle[1] - linear[1] * px / 2]])
    image = cv2.warpAffine(picture.image, matrix, (px, px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    ends = picture.boxes.reshape(-1, 2, 2) * linear + matrix[:, 2]
    whole = np.concatenate([ends.min(axis=1), ends.max(axis=1)], axis=1)
    inside = np.clip(whole, 0, px)
    shown = _area(inside) >= SHOWN_LEAST * _area(whole)
    return Boxed(lit(np.asarray(image, np.uint8), rng, variation), inside[shown].astype(np.float32), picture.labels[shown])


def _area(boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def aims(picture: Boxed) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each pixel of the coarse map: the label's place or -1 (h, w), and the box (4, h, w) in pixels of that map."""
    side = picture.image.shape[0] // BOX_STRIDE
    label, box = np.full((side, side), -1, np.int64), np.zeros((4, side, side), np.float32)
    middles = np.arange(side, dtype=np.float32) + 0.5
    for number in np.argsort(-_area(picture.boxes)):
        x1, y1, x2, y2 = picture.boxes[number] / BOX_STRIDE
        reach = [max(0.75, MIDDLE * size) for size in (x2 - x1, y2 - y1)]
        near_x = (np.abs(middles - (x1 + x2) / 2) <= reach[0]) & (middles > x1) & (middles < x2)
        near_y = (np.abs(middles - (y1 + y2) / 2) <= reach[1]) & (middles > y1) & (middles < y2)
        near = near_y[:, None] & near_x[None]
        label[near] = picture.labels[number]
        box[:, near] = np.array([[x1], [y1], [x2], [y2]], np.float32)
    return label, box


def box_loss(network: nn.Module, views: Sequence[Boxed]) -> torch.Tensor:
    """How wrong boxes and labels are, for each pixel that should know a box."""
    label, box = (torch.from_numpy(np.stack(one)) for one in zip(*map(aims, views), strict=True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sides, logits = network(batch_images(np.stack([view.image for view in views])).contiguous(memory_format=torch.channels_last))
    sides, logits = sides.float(), logits.float()
    known = label >= 0
    fits = _fit(corners_of(sides).permute(0, 2, 3, 1)[known], box.permute(0, 2, 3, 1)[known])
    aim = torch.zeros_like(logits)
    where = known.nonzero()
    aim[where[:, 0], label[known], where[:, 1], where[:, 2]] = fits[0].detach().clamp(min=0.05)
    chances = torch.sigmoid(logits)
    entropy = functional.binary_cross_entropy_with_logits(logits, aim, reduction="none")
    count = known.sum().clamp(min=1)
    return (entropy * (aim - chances.detach()).abs() ** 1.5).sum() / count * 2 + (1 - fits[1]).sum() / count


def corners_of(sides: torch.Tensor) -> torch.Tensor:
    """(n, 4, h, w): from how far a box reaches to its corners, in pixels of the map."""
    y, x = (torch.arange(size, dtype=torch.float32) + 0.5 for size in sides.shape[2:])
    middles = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))])
    return torch.cat([middles - sides[:, :2], middles + sides[:, 2:]], dim=1)


def _fit(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Intersection over union of boxes (n, 4) two by two, and the same less what lies between them (generalised)."""
    low, high = torch.maximum(one[:, :2], other[:, :2]), torch.minimum(one[:, 2:], other[:, 2:])
    both = (high - low).clamp(min=0).prod(dim=1)
    either = sum((box[:, 2:] - box[:, :2]).clamp(min=0).prod(dim=1) for box in (one, other)) - both
    around = (torch.maximum(one[:, 2:], other[:, 2:]) - torch.minimum(one[:, :2], other[:, :2])).prod(dim=1)
    share = both / either.clamp(min=1e-6)
    return share, share - (around - either) / around.clamp(min=1e-6)


def learn_boxes(
    cases: Sequence[Case], labels: tuple[str, ...], out: Path, settings: FitSettings, begin: Path | None = None, *, is_shown: bool = True
) -> tuple[TrainedBoxes, Fitted]:
    """Learn pictures with boxes; `begin`: the file to go on from. Raises InputError where there is nothing to learn."""
    pictures = [boxed(case, labels, PX) for case in cases]
    if not any(len(picture.labels) for picture in pictures):
        raise InputError(f"none of the {len(cases)} pictures has a box; give some that have")
    torch.manual_seed(settings.seed)
    network = TrainedBoxes(labels).to(memory_format=torch.channels_last)

    def drawn(rng: np.random.Generator, count: int) -> list[Boxed]:
        return [view_of_boxed(pictures[int(rng.integers(len(pictures)))], rng, VARIATION) for _ in range(count)]

    if begin is not None:
        first = drawn(np.random.default_rng((settings.seed, 2)), 16)
        take_over(network.trunk, begin, batch_images(np.stack([one.image for one in first])))
    fitted = fit(network, settings, out / "training", lambda model, rng: box_loss(model, drawn(rng, BATCH)), is_shown=is_shown)
    return network, fitted


def write_boxes(network: TrainedBoxes, path: Path, px: int, facts: dict[str, str]) -> None:
    """An ONNX file for pictures of any size: how far boxes reach, in pixels of its input, and probabilities."""
    weights = dict(network.weights())
    weight, bias = weights["sides"]
    weights["sides"] = (weight * np.float32(BOX_STRIDE), bias * np.float32(BOX_STRIDE))
    facts = {**facts, "stride": str(BOX_STRIDE), "segment": json.dumps(dict(SEGMENT)), "own_light": VARIATION.own_light}
    write_onnx(path, network.all_steps, weights, (px, px), facts)
