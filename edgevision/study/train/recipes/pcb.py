"""`edgevision train --recipe pcb`: a detector learns to compare boards with templates. In: Cases of a set, or none. Out: an ONNX file.

Without Cases it learns from generated boards alone; so does what ships. With some, it learns from them, from more defects drawn on them,
and from generated boards beside them; it goes on from the weights that ship, which takes few steps. Keeps a checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgevision import __version__
from edgevision.errors import InputError
from edgevision.networks.detector import STRIDE, DetectorSpec, layers
from edgevision.networks.unet import macs, parameters
from edgevision.study.parts.pcb import LABELS, SIZE_PX
from edgevision.study.recipe import find_recipe
from edgevision.study.sets import Case
from edgevision.study.train.export import write_onnx
from edgevision.study.train.network import TrainedLayers, folded
from edgevision.study.train.recipes.begin import take_over
from edgevision.study.train.recipes.boxes import loss_of, targets_of
from edgevision.study.train.recipes.fit import BatchLoss, FitSettings, Fitted, fit
from edgevision.study.train.recipes.pcb_views import CROP_PX, Board, Pool, beside, board_of, generated

MEAN, STD = (0.5, 0.5, 0.0), (0.5, 0.5, 0.5)  # of board, template and difference as 0..1: no difference is 0
SPEC = DetectorSpec(LABELS)
BATCH = 32
FIRST_REACH_CELLS = 2.3  # of a cell's box before it has learnt anything: usual boxes are 36 px across
RENEW_EVERY = 6  # steps before another board is drawn
THRESHOLD = 0.5
FRESH_RATE, BEGUN_RATE, AVERAGE = 4e-3, 2e-3, 0.998
SHOWN = 32  # pictures for quantising


@dataclass(frozen=True, slots=True)
class PcbTask:
    """What is to be learnt: `cases` of a set, () for generated boards alone.

    `begin`: weights to go on from; left out, with cases those that ship, else none.
    """

    out: Path
    cases: Sequence[Case] = ()
    begin: Path | None = None


class TrainedDetector(TrainedLayers):
    """A detector of a spec."""

    def __init__(self, spec: DetectorSpec = SPEC) -> None:
        super().__init__(layers(spec))
        self.spec = spec
        reaches = self.convolutions["conv_boxes"]
        nn.init.normal_(reaches.weight, std=0.01)
        nn.init.constant_(reaches.bias, FIRST_REACH_CELLS)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 3, H, W), normalised -> logits (n, labels, H/8, W/8) and how far boxes reach (n, 4, H/8, W/8), in pixels."""
        values = self.run(image)
        return values["scores"].float(), STRIDE * values["boxes"].float()


def learn(task: PcbTask, settings: FitSettings, *, is_shown: bool = True) -> dict[str, Any]:
    """Train and write `pcb.onnx` into the folder; gives what its card says. Raises InputError where there is nothing to learn.

    Beside it, in `shown/`, lie pictures as the network is shown them, by which `edgevision quantize` may measure it.
    """
    real = [boarded(case) for case in task.cases]
    begin = task.begin or (find_recipe("pcb").network if real else None)
    settings = settings.model_copy(update={"rate": FRESH_RATE if begin is None else BEGUN_RATE, "average": AVERAGE})
    network, fitted = taught(real, begin, settings, task.out / "training", is_shown=is_shown)
    draw_shown(real, task.out / "shown", settings.seed)
    return _write(network, fitted, task, settings)


def draw_shown(real: Sequence[Board], folder: Path, seed: int) -> None:
    """Some boards beside their templates, as PNGs of three channels; generated ones where there are no `real` ones."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng((seed, 3))
    for number in range(SHOWN):
        board = real[int(rng.integers(len(real)))] if real else generated(rng)
        cv2.imwrite(str(folder / f"{number:02d}.png"), beside(board.used, board.template))


def taught(
    real: Sequence[Board], begin: Path | None, settings: FitSettings, folder: Path, *, is_shown: bool = True
) -> tuple[TrainedDetector, Fitted]:
    """The network, ready to be used, that learnt from these boards, or from generated ones where there are none."""
    torch.manual_seed(settings.seed)
    network = TrainedDetector().to(memory_format=torch.channels_last)
    pool = Pool(real, settings.seed)
    if begin is not None:
        take_over(network, begin, batch(pool, np.random.default_rng((settings.seed, 2)))[0])
        network.convolutions["conv_boxes"].weight.data /= STRIDE
        network.convolutions["conv_boxes"].bias.data /= STRIDE
    return network, fit(network, settings, folder, _of(pool), is_shown=is_shown)


def boarded(case: Case) -> Board:
    """A Case, to be learnt from. Raises InputError for one without template or boxes."""
    template = case.template_image()
    if template is None or case.boxes is None:
        raise InputError(f"{case.picture}: has no template, or no boxes; recipe pcb learns from boards beside their templates")
    return board_of(_gray(case.image()), _gray(template), case.boxes)


def batch(pool: Pool, rng: np.random.Generator) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Normalised images of random crops; and labels, weights and reaches of their cells."""
    images, targets = [], []
    for _ in range(BATCH):
        picture, boxes, edges = pool.crop(rng)
        images.append(picture)
        targets.append(targets_of(boxes, ~edges, len(LABELS), CROP_PX // STRIDE))
    labels, weights, reaches = (torch.from_numpy(np.stack(of)) for of in zip(*targets, strict=True))
    return normalised(np.stack(images)), (labels, weights, reaches)


def normalised(images: NDArray[np.uint8]) -> torch.Tensor:
    """(n, H, W, 3) 0..255 -> what the network takes, (n, 3, H, W)."""
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    return ((planes / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def _of(pool: Pool) -> BatchLoss:
    count = 0

    def loss(network: nn.Module, rng: np.random.Generator) -> torch.Tensor:
        nonlocal count
        count += 1
        if count % RENEW_EVERY == 0:
            pool.renew(rng)
        images, targets = batch(pool, rng)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores, reaches = network(images)
        return loss_of(scores, reaches, *targets)

    return loss


def _gray(image: NDArray[Any]) -> NDArray[np.uint8]:
    if image.dtype != np.uint8:
        raise InputError(f"a picture is {image.dtype}; recipe pcb learns from 8-bit pictures")
    return np.asarray(image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def _write(network: TrainedDetector, fitted: Fitted, task: PcbTask, settings: FitSettings) -> dict[str, Any]:
    learnt_from = sorted({case.group for case in task.cases})
    facts = {
        "labels": json.dumps(list(LABELS)),
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
        "channel_order": "bgr",
        "threshold": str(THRESHOLD),
        "stride": str(STRIDE),
        "seed": str(settings.seed),
        "steps": str(fitted.steps),
        "learnt_from": json.dumps(learnt_from or ["generated"]),
        "version": __version__,
    }
    weights = dict(folded(network))
    weights["boxes"] = weights["boxes"][0] * STRIDE, weights["boxes"][1] * STRIDE  # in pixels
    path = task.out / "pcb.onnx"
    write_onnx(path, network.steps, weights, SIZE_PX, facts)
    return {
        "network": str(path),
        "learnt_from": learnt_from,
        "weights": parameters(network.steps),
        "gmac": round(sum(macs(network.steps, *SIZE_PX).values()) / 1e9, 3),
        "steps": fitted.steps,
        "minutes": round(fitted.seconds / 60, 1),
        "curve": fitted.curve,
    }
