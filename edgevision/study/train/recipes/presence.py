"""`edgevision train --recipe presence`: a network that is shown a part beside its template, and marks what is gone. In: nothing: it learns
from generated stations, so that a user need not train it at all, but only teach it one picture. Out: an ONNX file, its card. Keeps a
checkpoint in the folder, from which a run that was stopped goes on.

In service it is given a patchwork: the template, and the picture's own pixels, brought into the template's light, where they differ. Most
lessons are made so, with the product's own change detector; the others are the plain picture.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgevision import __version__
from edgevision.compare.background import ChangeDetector
from edgevision.compare.settings import ChangeSettings
from edgevision.errors import BadFrame
from edgevision.networks.unet import UNetSpec, layers, macs, parameters
from edgevision.study.parts.presence import LABELS, Sample, make
from edgevision.study.train.export import write_onnx
from edgevision.study.train.network import TrainedUNet, folded
from edgevision.study.train.recipes.fit import BatchLoss, FitSettings, Fitted, fit
from edgevision.study.train.segmentation import loss_of

Bytes = NDArray[np.uint8]
MEAN, STD = (0.5, 0.5, 0.0), (0.5, 0.5, 0.5)
SPEC = UNetSpec(widths=(12, 24, 48), deep=4, labels=LABELS)
MADE_PX, VIEW_PX, BATCH = (224, 288), 160, 12
SIZE_PX = (480, 640)  # that the file is written for; it takes any multiple of 8
THRESHOLD = 0.5
POOL, FIRST, A_BATCH = 320, 32, 2
PATCHED = 0.75  # of the lessons: as the selective engine leaves the picture
NEAR = 0.7  # of the views of a part that is not whole: of a place where something is gone
COMPARE = ChangeSettings(pixel_threshold=12.0, vibration_px=1.0, settle_frames=0, steady_px=0)


@dataclass(frozen=True, slots=True)
class Pair:
    """`beside` (H, W, 3): picture, template and how far they are apart; `marks` (H, W)."""

    beside: Bytes
    marks: Bytes


class Pairs:
    """Generated parts beside their templates: a pool that is renewed, a little in every batch."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._pool: deque[Pair] = deque(maxlen=POOL)

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Bytes, Bytes]:
        """Views (n, px, px, 3) and their marks (n, px, px)."""
        for _ in range(A_BATCH if self._pool else FIRST):
            drawn = np.random.default_rng((self._seed, 11, int(rng.integers(2**62))))
            self._pool.append(pair_of(make(drawn, MADE_PX), drawn))
        views = [_view(self._pool[int(rng.integers(len(self._pool)))], rng) for _ in range(count)]
        images, marks = zip(*views, strict=True)
        return np.stack(images), np.stack(marks)


def learn(out: Path, settings: FitSettings, *, is_shown: bool = True) -> dict[str, Any]:
    """Train and write `presence.onnx` into the folder; gives what its card says."""
    torch.manual_seed(settings.seed)
    network = TrainedUNet(SPEC).to(memory_format=torch.channels_last)
    fitted = fit(network, settings, out / "training", _of(Pairs(settings.seed)), is_shown=is_shown)
    return write(network, fitted, out, settings.seed)


def pair_of(sample: Sample, rng: np.random.Generator) -> Pair:
    """A sample as the network will see it."""
    image = patchwork(sample.image, sample.template) if rng.random() < PATCHED else sample.image
    gray, template = (np.asarray(cv2.cvtColor(one, cv2.COLOR_BGR2GRAY), np.uint8) for one in (image, sample.template))
    return Pair(np.dstack([gray, template, cv2.absdiff(gray, template)]), sample.marks)


def patchwork(image: Bytes, template: Bytes) -> Bytes:
    """The template, and the picture's own pixels, in its light, where they differ; the picture where nothing can be compared."""
    detector = ChangeDetector(COMPARE)
    try:
        first = detector.measure(template)
        detector.commit(first, first.live)
        change = detector.measure(image)
    except BadFrame:
        return image
    return np.where(change.live[..., None], change.corrected, template)


def write(network: TrainedUNet, fitted: Fitted, out: Path, seed: int) -> dict[str, Any]:
    """The network as `presence.onnx`; gives what its card says."""
    facts = {
        "labels": json.dumps(list(LABELS)),
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
        "channel_order": "bgr",
        "threshold": str(THRESHOLD),
        "stride": "2",
        "seed": str(seed),
        "steps": str(fitted.steps),
        "learnt_from": json.dumps(["generated"]),
        "version": __version__,
    }
    path = out / "presence.onnx"
    write_onnx(path, network.steps, folded(network), SIZE_PX, facts)
    return {
        "network": str(path),
        "weights": parameters(layers(SPEC)),
        "gmac": round(sum(macs(layers(SPEC), *SIZE_PX).values()) / 1e9, 3),
        "steps": fitted.steps,
        "minutes": round(fitted.seconds / 60, 1),
        "curve": fitted.curve,
    }


def _view(pair: Pair, rng: np.random.Generator) -> tuple[Bytes, Bytes]:
    """A square of it, mirrored and turned by quarters at random."""
    height, width = pair.marks.shape
    top, left = int(rng.integers(height - VIEW_PX + 1)), int(rng.integers(width - VIEW_PX + 1))
    places = np.flatnonzero(pair.marks)
    if places.size and rng.random() < NEAR:
        row, column = divmod(int(places[int(rng.integers(places.size))]), width)
        top = int(np.clip(row - rng.integers(VIEW_PX), 0, height - VIEW_PX))
        left = int(np.clip(column - rng.integers(VIEW_PX), 0, width - VIEW_PX))
    turns, flip = int(rng.integers(4)), -1 if rng.integers(2) else 1
    place = (slice(top, top + VIEW_PX), slice(left, left + VIEW_PX))
    image, marks = (np.rot90(one[place][:, ::flip], turns) for one in (pair.beside, pair.marks))
    return np.ascontiguousarray(image), np.ascontiguousarray(marks)


def _of(pairs: Pairs) -> BatchLoss:
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)

    def loss(network: nn.Module, rng: np.random.Generator) -> torch.Tensor:
        images, marks = (torch.from_numpy(one) for one in pairs.draw(rng, BATCH))
        planes = ((images.permute(0, 3, 1, 2).float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
        targets = nn.functional.avg_pool2d(marks[:, None].float(), 2)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(planes)
        return loss_of(logits.float(), targets, torch.ones_like(targets))[0]

    return loss
