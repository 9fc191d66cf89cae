"""What a TurboViT is taught, and by whom: labels, a dense teacher, or dense attention layer by layer. In: networks, a batch. Out: a loss.

`labels`      cross entropy against what the crop shows: all weights
`predictor`   METHODS 2, stage 1: 0.01 x the squared error of predicted against dense attention; the predictors alone, the rest stays
`distilled`   METHODS 2, stage 2: cross entropy + 0.5 KL(teacher || student) + 0.5 squared error of the last tokens: all but the predictors
`measured`    METHODS 1: squared error of compressed against dense attention, for one m drawn anew each step: the measurements Phi alone
`nested`      as `distilled`, Phi too, for one m drawn anew each step
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch.nn import functional

from edgevision.study.train.turbovit import IMAGE, TrainedTurboViT

SMOOTHING = 0.05  # of the labels
TEACHER_WEIGHT = 0.5
TOKEN_WEIGHT = 0.5
PHI_PACE = 0.03


@dataclass(frozen=True, slots=True)
class Batch:
    """Images (n, 3, H, W), normalised, or what layer `start` made of them; labels (n,)."""

    x: torch.Tensor
    labels: torch.Tensor
    start: str = IMAGE


@dataclass(frozen=True, slots=True)
class Lesson:
    """`loss` of (student, teacher, batch); what it trains: the attention's own weights, the network's, or both.

    `pace`: of the attention's own weights, against the rate. Phi's are many and small, most of a row 0: at the rate of the others they
    would be noise after a few steps.
    """

    loss: Callable[[TrainedTurboViT, TrainedTurboViT | None, Batch], torch.Tensor]
    trains_network: bool
    trains_attention: bool
    pace: float = 1.0


def by_labels(student: TrainedTurboViT, teacher: TrainedTurboViT | None, batch: Batch) -> torch.Tensor:
    """Cross entropy, labels smoothed a little."""
    return functional.cross_entropy(student.run(batch.x, batch.start)[0].float(), batch.labels, label_smoothing=SMOOTHING)


def by_teacher(student: TrainedTurboViT, teacher: TrainedTurboViT | None, batch: Batch) -> torch.Tensor:
    """Stage 2 of Sparsifiner; also how any other sparse attention is made good."""
    if teacher is None:
        return by_labels(student, teacher, batch)
    logits, tokens = (x.float() for x in student.run(batch.x, batch.start))
    with torch.no_grad():
        wanted, wanted_tokens = (x.float() for x in teacher.run(batch.x, batch.start))
    told = functional.cross_entropy(logits, batch.labels, label_smoothing=SMOOTHING)
    spread = functional.kl_div(logits.log_softmax(-1), wanted.log_softmax(-1), log_target=True, reduction="batchmean")
    return told + TEACHER_WEIGHT * spread + TOKEN_WEIGHT * functional.mse_loss(tokens, wanted_tokens)


def by_attention(student: TrainedTurboViT, teacher: TrainedTurboViT | None, batch: Batch) -> torch.Tensor:
    """How far each attention layer that learns is from dense attention on the same tokens, summed."""
    for module in student.attention.values():
        module.compares = True
    student.run(batch.x, batch.start)
    errors = []
    for module in student.attention.values():
        module.compares = False
        errors.append(module.error)
    return torch.stack(errors).sum()


LESSONS = MappingProxyType({
    "labels": Lesson(by_labels, True, False),
    "predictor": Lesson(by_attention, False, True),
    "distilled": Lesson(by_teacher, True, False),
    "measured": Lesson(by_attention, False, True, PHI_PACE),
    "nested": Lesson(by_teacher, True, True, PHI_PACE),
})  # fmt: skip
