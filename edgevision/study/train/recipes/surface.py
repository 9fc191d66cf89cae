"""`edgevision train --recipe surface`: a network that marks what is wrong with a surface. START READING HERE.

In: nothing (it learns generated surfaces: the network that ships), a folder in one of the recipe's layouts, or a few good and bad pictures
without marks. Out: `surface.onnx` in a folder, its card and the curve of its training. Keeps a checkpoint there, from which a run that was
stopped goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from edgevision import __version__
from edgevision.daemon.build import share_folder
from edgevision.errors import InputError
from edgevision.networks.reach import REACH_STRIDE, shrunk
from edgevision.networks.unet import macs, parameters
from edgevision.study.sets import Case, neu_det, open_set, pictures_in
from edgevision.study.sets.plain import refuse_twice
from edgevision.study.train.export import write_onnx
from edgevision.study.train.network import MEAN, STD, folded
from edgevision.study.train.recipes.begin import midway
from edgevision.study.train.recipes.few import LABELS as FEW_LABELS
from edgevision.study.train.recipes.few import check_enough, learn_few
from edgevision.study.train.recipes.fit import FitSettings, Fitted
from edgevision.study.train.recipes.learn import Learnt, learn_made, learn_pictures
from edgevision.study.train.recipes.likeness import learn_likeness
from edgevision.study.train.recipes.likeness_file import macs_of, write_likeness
from edgevision.study.train.recipes.pictures import coloured
from edgevision.study.train.recipes.surface_boxes import PX, TrainedBoxes, learn_boxes, write_boxes

SETS = ("magnetic_tile", "neu_det", "cookie", "plain")
MADE_SIZE_PX = (384, 512)
EDGE, EDGE_LIKE = 12, 0.5  # a picture's edge is a twelfth of it on each side; how far its colours may lie off the middle's, as a logarithm
TERMS = MappingProxyType({
    "": "pictures that the project generates (`edgevision/study/parts/surface.py`)",
    "magnetic_tile": "magnetic tiles (Huang et al., welcomed to be used; cite \"Saliency of magnetic tile surface defects\")",
    "neu_det": "NEU-DET (Song and Yan; its source states no terms): local tests only",
    "cookie": "product photos of cookies, CC BY-SA 4.0 (documentation licence)",
    "plain": "pictures of whoever trained it",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class SurfaceTask:
    """What is to be learnt from, for how long, and where the result goes. `groups`: learn from these only, () for all.

    `begin`: the file to go on from; left out, the network that ships, or nothing where it is itself to be learnt.
    """

    out: Path
    data: Path | None = None
    good: Path | None = None
    bad: Path | None = None
    groups: tuple[str, ...] = ()
    begin: Path | None = None
    settings: FitSettings = FitSettings()  # noqa: RUF009


def train(task: SurfaceTask, *, is_shown: bool = True) -> dict[str, Any]:
    """Learn and write; gives what was written. Raises InputError, one line, before any work is done for it."""
    if (task.good is None) != (task.bad is None) or (task.data is not None and task.good is not None):
        raise InputError("--good and --bad are given together, and without --data")
    begin = task.begin or shipped()
    if task.good is not None and task.bad is not None:
        good, bad = (unmarked(folder, is_bad) for folder, is_bad in ((task.good, False), (task.bad, True)))
        refuse_twice((*good, *bad))
        if begin is not None and fills_pictures(good):
            return _delivered_likeness(task, good, bad, begin)
        learnt = learn_few(good, bad, task.out, task.settings, begin, is_shown=is_shown)
        return _delivered(task, learnt, largest([*good, *bad]), "plain", len(good) + len(bad))
    if task.data is None:
        return _delivered(task, learn_made(task.out, task.settings, task.begin, is_shown=is_shown), MADE_SIZE_PX, "", 0)
    layout, cases = open_set(task.data, SETS)
    cases = chosen(cases, task.groups, task.data)
    if layout == "neu_det":
        network, fitted = learn_boxes(cases, neu_det.CLASSES, task.out, task.settings, begin, is_shown=is_shown)
        return _delivered_boxes(task, network, fitted, len(cases))
    learnt = learn_pictures(cases, layout, task.out, task.settings, begin, is_shown=is_shown)
    return _delivered(task, learnt, largest(cases), layout, len(cases), task.begin)


def shipped() -> Path | None:
    """The recipe's own network, learnt from generated pictures; None where it is not there."""
    path = share_folder("plugins") / "recipe_surface" / "network.onnx"
    return path if path.is_file() else None


def unmarked(folder: Path, is_bad: bool) -> tuple[Case, ...]:
    """The pictures of a folder, all good or all bad. Raises InputError where there are none."""
    found = pictures_in(folder) if folder.is_dir() else ()
    if not found:
        raise InputError(f"{folder}: holds no picture; name a folder of {'bad' if is_bad else 'good'} ones")
    return tuple(Case(path.name, path.stem, path, is_bad) for path in found)


def chosen(cases: tuple[Case, ...], groups: tuple[str, ...], folder: Path) -> tuple[Case, ...]:
    """The Cases of these groups. Raises InputError for a group that the set does not have."""
    known = {case.group for case in cases}
    if unknown := sorted(set(groups) - known):
        raise InputError(f"{folder}: has no group {unknown[0]!r}; its groups are {', '.join(sorted(known))}")
    return tuple(case for case in cases if not groups or case.group in groups)


def largest(cases: list[Case] | tuple[Case, ...]) -> tuple[int, int]:
    """(height, width) that holds each of the pictures."""
    sizes = [case.image().shape[:2] for case in cases]
    return max(height for height, _ in sizes), max(width for _, width in sizes)


def facts_of(task: SurfaceTask, labels: tuple[str, ...], fitted: Fitted, layout: str) -> dict[str, str]:
    """What the file says of itself, besides its weights."""
    return {
        "labels": json.dumps(list(labels)),
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
        "channel_order": "RGB",
        "data": TERMS[layout],
        "groups": ", ".join(task.groups) or "all",
        "seed": str(task.settings.seed),
        "steps": str(fitted.steps),
        "version": __version__,
    }


def _delivered(
    task: SurfaceTask, learnt: Learnt, size_px: tuple[int, int], layout: str, pictures: int, begun: Path | None = None
) -> dict[str, Any]:
    """Write a network that marks pixels, for frames of any size. `begun`: a file to whose weights it stays halfway, if it is one such."""
    whole = learnt.network.spec.stride * learnt.shrink
    shape = tuple(-(-side // whole) * whole for side in size_px)
    facts = facts_of(task, learnt.labels, learnt.fitted, layout)
    facts |= {"threshold": str(learnt.threshold), "stride": str(2 * learnt.shrink)}
    path = task.out / "surface.onnx"
    steps = shrunk(learnt.network.steps, learnt.shrink)
    weights = folded(learnt.network) if begun is None else midway(folded(learnt.network), begun)
    write_onnx(path, steps, weights, (shape[0], shape[1]), facts)
    return _carded(task, path, facts, learnt.fitted, pictures, (parameters(steps), sum(macs(steps, shape[0], shape[1]).values())))


def fills_pictures(good: Sequence[Case]) -> bool:
    """Whether the pictures show nothing but the surface, so that places of one can be compared with places of another: the colours along
    their edges are those of their middle."""
    differ = []
    for case in good:
        image = coloured(case.image())
        height, width = image.shape[:2]
        rows, columns = (slice(side // EDGE, side - side // EDGE) for side in (height, width))
        edge, middle = np.ones((height, width), np.bool_), np.zeros((height, width), np.bool_)
        edge[rows, columns] = False
        middle[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
        if edge.any() and middle.any():
            differ.append(float(np.abs(np.log((np.median(image[edge], axis=0) + 5) / (np.median(image[middle], axis=0) + 5))).max()))
    return not differ or float(np.median(differ)) < EDGE_LIKE


def _delivered_likeness(task: SurfaceTask, good: Sequence[Case], bad: Sequence[Case], begin: Path) -> dict[str, Any]:
    """Write a network that compares each place with good ones; nothing is trained for it."""
    began = time.monotonic()
    check_enough(good, bad)
    learnt = learn_likeness([coloured(case.image()) for case in good], [coloured(case.image()) for case in bad], begin)
    fitted = Fitted(0, time.monotonic() - began, ())
    facts = facts_of(task, FEW_LABELS, fitted, "plain") | {"threshold": "0.5", "stride": str(REACH_STRIDE)}
    size_px = tuple(-(-side // REACH_STRIDE) * REACH_STRIDE for side in largest([*good, *bad]))
    path = task.out / "surface.onnx"
    write_likeness(path, begin, learnt, (size_px[0], size_px[1]), facts)
    work = macs_of(size_px[0], size_px[1])
    report = _carded(task, path, facts, fitted, len(good) + len(bad), work)
    return {**report, "way": "each place is compared with good ones, and nothing was trained, as the surface fills its pictures"}


def _delivered_boxes(task: SurfaceTask, network: TrainedBoxes, fitted: Fitted, pictures: int) -> dict[str, Any]:
    facts = facts_of(task, network.spec.labels, fitted, "neu_det")
    path = task.out / "surface.onnx"
    write_boxes(network, path, PX, facts)
    work = sum(macs(network.all_steps, PX, PX).values())
    return _carded(task, path, facts, fitted, pictures, (parameters(network.all_steps), work))


def _carded(task: SurfaceTask, path: Path, facts: dict[str, str], fitted: Fitted, pictures: int, size: tuple[int, int]) -> dict[str, Any]:
    """Write card and curve beside the network; gives the report."""
    report = {"network": str(path), "pictures": pictures, "groups": facts["groups"], "data": facts["data"], "seed": task.settings.seed}
    report |= {"steps": fitted.steps, "minutes": round(fitted.seconds / 60, 1), "weights": size[0], "gmac": round(size[1] / 1e9, 3)}
    rows = "\n".join(f"| {name.replace('_', ' ')} | {value} |" for name, value in report.items() if name != "network")
    text = f"# {path.name}\n\nA surface network (`edgevision/networks/reach.py`), labels {facts['labels']}.\n\n| | |\n|---|---|\n{rows}\n"
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    (task.out / "curve.csv").write_text("".join(["step,loss\n", *(f"{step},{loss}\n" for step, loss in fitted.curve)]), encoding="utf-8")
    return report
