"""`edgevision train --data`: a TurboViT learns to name what crops of a surface show. In: CourseTask. Out: weights, a card, a curve. Keeps
checkpoints beside them: a run that was stopped goes on.

A dense network learns from labels, first on pictures of half the side, at a quarter of the work. Any other attention begins with a dense
network, which is its teacher: what the attention learns for itself comes first, then the network gets used to it. START READING
HERE: `run`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from edgevision import __version__
from edgevision.errors import InputError
from edgevision.networks.turbovit import TurboViTSpec, macs, parameters
from edgevision.networks.turbovit_weights import read_turbovit, write_turbovit
from edgevision.study.search_report import read_spec
from edgevision.study.train.classify import Taught, TeachSettings, accuracy, teach
from edgevision.study.train.curve import draw_curve
from edgevision.study.train.surfaces import JUDGED_CROPS, Surface, load_surface
from edgevision.study.train.token_attention import Choice, attentions
from edgevision.study.train.turbovit import IMAGE, TrainedTurboViT, load_weights, weights_of

POINTS = 6  # of a lesson's curve, at least
POOL = 1280  # crops at most that are drawn and run up to the start of a lesson once
_HEAD = ("head.classes.weight", "head.classes.bias")  # anew for other labels
SMALL = TurboViTSpec(
    depths=(1, 1, 4, 1), dims=(16, 32, 64, 128), heads=(1, 1, 2, 4), hidden=(32, 64, 256, 512), labels=("",), trained_px=256, block=2
)


@dataclass(frozen=True, slots=True)
class CourseTask:
    """What is asked for. `network`: a YAML of `edgevision search`, weights to go on from, or None for a small network.

    `start`: of weights gone on from, all up to this layer stays as it is; None: all is taught anew, or, where a teacher is there, what
    lies behind the last layer that attends in units as the teacher does. `without`: a class that is left out. `rate`: of the first lesson,
    at most, the others in proportion; None: as `_SHARES` has them.
    """

    data: Path
    out: Path
    network: Path | None = None
    choice: Choice = field(default_factory=Choice)
    seed: int = 0
    start: str | None = None
    steps: int = 900
    minutes: float | None = None
    threads: int = 1
    without: str | None = None
    rate: float | None = None


def run(task: CourseTask) -> dict[str, Any]:
    """Train as the task says; gives what was written and how good it is. Raises InputError before the work for what will not do."""
    surface = load_surface(task.data, task.without)
    network, teacher = _networks(task, surface)
    curve: list[tuple[str, Taught]] = []
    for name, settings in _lessons(task, network):
        folder = task.out / "training" / f"{surface.name}-{task.choice.kind}-{name}"
        curve.append((name, teach(network, surface, settings, folder, teacher)))
    load_weights(network, {name: value.astype(np.float16).astype(np.float32) for name, value in weights_of(network).items()})  # the file's
    report = _report(task, network, surface, curve)
    path = task.out / f"{surface.name}-{task.choice.kind}.npz"
    write_turbovit(path, network.spec, weights_of(network), _metadata(task, surface, report), is_half=True)
    draw_curve(curve, path.with_suffix(".png"), f"{surface.name}, {task.choice.kind} attention")
    path.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return {"network": str(path), **report}


def _networks(task: CourseTask, surface: Surface) -> tuple[TrainedTurboViT, TrainedTurboViT | None]:
    """The network to be taught, and its dense teacher where it attends otherwise."""
    torch.manual_seed(task.seed)
    if task.network is None or task.network.suffix in (".yaml", ".yml"):
        if task.choice.kind != "dense":
            raise InputError(f"--attention {task.choice.kind} begins with a trained dense network; give its .npz with --network")
        spec = SMALL if task.network is None else read_spec(task.network)
        return TrainedTurboViT(replace(spec, labels=surface.labels)), None
    found = read_turbovit(task.network)
    dense = replace(found.spec, kinds=tuple("unit" if kind == "unit" else "dense" for kind in found.spec.kinds), labels=surface.labels)
    if task.choice.kind == "dense":
        is_other = found.spec.labels != surface.labels
        return load_weights(TrainedTurboViT(dense), {k: v for k, v in found.weights.items() if not (is_other and k in _HEAD)}), None
    if found.spec.labels != surface.labels:
        raise InputError(f"{task.network}: names {', '.join(found.spec.labels)}; {task.data} shows {', '.join(surface.labels)}")
    teacher = load_weights(TrainedTurboViT(dense), found.weights)
    spec = replace(found.spec, kinds=tuple("unit" if kind == "unit" else task.choice.kind for kind in found.spec.kinds))
    return load_weights(TrainedTurboViT(spec, attentions(spec, task.choice)), found.weights), teacher


def _lessons(task: CourseTask, network: TrainedTurboViT) -> Iterator[tuple[str, TeachSettings]]:
    """One after another: the name of its folder, and its settings."""
    px, start = network.spec.trained_px, task.start
    if start is None and task.choice.kind != "dense":
        start = last_common(network)
    if start is not None and start not in (names := [step.name for step in network.steps]):
        raise InputError(f"--start {start}: no such layer; they are {', '.join(name for name in names if name.endswith('.mlp_out'))}")
    pool = 0 if start is None else min(POOL, 16 * task.steps)
    base = TeachSettings(seed=task.seed, px=px, start=start or IMAGE, pool=pool, threads=task.threads)
    shares = _SHARES[task.choice.kind] if start is None or task.choice.kind != "dense" else _ON_TOP
    pace = 1.0 if task.rate is None else task.rate / next(iter(shares.values()))[2]
    for name, (lesson, share, rate, is_half) in shares.items():
        changes: dict[str, Any] = {"lesson": lesson, "rate": pace * rate, "steps": max(1, round(share * task.steps))}
        changes["judge_every"] = max(1, min(base.judge_every, changes["steps"] // POINTS))
        changes["minutes"] = None if task.minutes is None else share * task.minutes
        if is_half:
            changes |= {"px": px // 2, "batch": 2 * base.batch}
        yield name, base.model_copy(update=changes)


def last_common(network: TrainedTurboViT) -> str:
    """The layer whose output all networks share that attend otherwise behind it: the last before attention beyond units."""
    names = [step.name for step in network.steps]
    first = next(place for place, step in enumerate(network.steps) if step.op == "attention" and step.kind != "unit")
    return [name for name in names[:first] if name.endswith(".mlp_out")][-1]


# share of the steps, highest rate, whether on pictures of half the side
_SHARES: Mapping[str, Mapping[str, tuple[str, float, float, bool]]] = MappingProxyType({
    "dense": {"half": ("labels", 0.7, 2e-3, True), "whole": ("labels", 0.3, 1e-3, False)},
    "sparsifiner": {"predictor": ("predictor", 0.3, 3e-3, False), "distilled": ("distilled", 0.7, 1e-3, False)},
    "csat": {"measured": ("measured", 0.1, 3e-3, False), "nested": ("nested", 0.9, 1e-3, False)},
    "hybrid": {"distilled": ("distilled", 1.0, 1e-3, False)},
})  # fmt: skip


_ON_TOP: Mapping[str, tuple[str, float, float, bool]] = MappingProxyType({"behind": ("labels", 1.0, 2e-3, False)})


def _report(task: CourseTask, network: TrainedTurboViT, surface: Surface, curve: list[tuple[str, Taught]]) -> dict[str, Any]:
    return {
        "data": surface.name,
        "attention": task.choice.kind,
        "accuracy": accuracy(network, surface, network.spec.trained_px),
        "judged_crops": len(surface.judged) * JUDGED_CROPS,
        "parameters": parameters(network.spec),
        "macs": sum(macs(network.steps, network.spec.trained_px, network.spec.trained_px).values()),
        "px": network.spec.trained_px,
        "lessons": [{"name": name, "steps": taught.step, "seconds": taught.seconds, "curve": taught.curve} for name, taught in curve],
    }


def _metadata(task: CourseTask, surface: Surface, report: Mapping[str, Any]) -> dict[str, str]:
    return {
        "mean": json.dumps([surface.mean] * 3),
        "std": json.dumps([surface.std] * 3),
        "channel_order": "RGB",
        "labels": json.dumps(list(surface.labels)),
        "data": surface.name,
        "accuracy": f"{report['accuracy']:.4f}",
        "seed": str(task.seed),
        "steps": str(task.steps),
        "version": __version__,
    }
