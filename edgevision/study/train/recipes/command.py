"""`edgevision train --recipe NAME`: which training a recipe has. In: what the command line says. Out: a report, from the recipe's module.

A recipe named NAME is trained by the module NAME beside this one. Where it has `learn(task)`, that is called with the cases of the set that
`--data` holds, () without it; one that reads its folders itself (few-shot pictures that nobody marked) has an entry of its own below.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgevision.errors import BadFrame, InputError
from edgevision.study.recipe import Recipe, find_recipe
from edgevision.study.sets import Case, open_set
from edgevision.study.train.recipes.fit import FitSettings

PLACE = "edgevision.study.train.recipes"


@dataclass(frozen=True, slots=True)
class RecipeTask:
    """What is asked for. `groups`: learn from these of the set only; `good` and `bad`: pictures in which nobody marked anything."""

    recipe: str
    out: Path
    data: Path | None = None
    good: Path | None = None
    bad: Path | None = None
    groups: tuple[str, ...] = ()
    begin: Path | None = None


def train_recipe(task: RecipeTask, settings: FitSettings, *, is_shown: bool = True) -> dict[str, Any]:
    """Train the recipe's network; the report has `network`, and `text` for a person. Writes it as report.json beside the network.

    Raises InputError, one line, before any work is done.
    """
    recipe = find_recipe(task.recipe)
    name = recipe.card.name
    if find_spec(f"{PLACE}.{name}") is None:
        raise InputError(f"recipe {name} has no training; use the network that it ships with, or one of your own")
    if name != "surface" and (task.good is not None or task.bad is not None):
        raise InputError(f"--good and --bad are for recipe surface; give {name} marked pictures with --data")
    try:
        report = _surface(task, settings, is_shown=is_shown) if name == "surface" else _marked(task, recipe, settings, is_shown=is_shown)
    except BadFrame as error:
        raise InputError(f"{error}, or take it out of what is learnt from") from error
    (task.out / "report.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    done = report.get("way", f"{report['steps']} steps in {report['minutes']:g} minutes")
    return {**report, "text": f"{report['network']}: {done}"}


def _marked(task: RecipeTask, recipe: Recipe, settings: FitSettings, *, is_shown: bool) -> dict[str, Any]:
    """From the Cases of a set, or from generated pictures alone."""
    module = import_module(f"{PLACE}.{recipe.card.name}")
    if recipe.card.name == "presence":
        if task.data is not None or task.begin is not None:
            raise InputError("recipe presence learns from generated parts alone; leave --data and --begin out, and teach it your template")
        return dict(module.learn(task.out, settings, is_shown=is_shown))
    cases = () if task.data is None else chosen(open_set(task.data, recipe.card.sets)[1], task)
    made = {"wear": "WearTask", "pcb": "PcbTask"}[recipe.card.name]
    return dict(module.learn(getattr(module, made)(task.out, cases, task.begin), settings, is_shown=is_shown))


def _surface(task: RecipeTask, settings: FitSettings, *, is_shown: bool) -> dict[str, Any]:
    module = import_module(f"{PLACE}.surface")
    asked = module.SurfaceTask(task.out, task.data, task.good, task.bad, task.groups, task.begin, settings)
    return dict(module.train(asked, is_shown=is_shown))


def chosen(cases: Sequence[Case], task: RecipeTask) -> tuple[Case, ...]:
    """Those of the groups asked for. Raises InputError for a group that the set does not have."""
    known = tuple(dict.fromkeys(case.group for case in cases))
    unknown = [group for group in task.groups if group not in known]
    if unknown:
        raise InputError(f"{task.data}: has no group {unknown[0]!r}; its groups are {', '.join(known)}")
    return tuple(case for case in cases if not task.groups or case.group in task.groups)
