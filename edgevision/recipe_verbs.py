"""The verbs that begin with a recipe and say how good it is: `init`, `evaluate`. In: the grammar. Out: the same with these in it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from edgevision.network_verbs import AddVerb, names, whole_number


def add_recipe_verbs(verbs: Any, add: AddVerb) -> None:
    """Add them to `verbs` with `add(verbs, name, function, text)`."""
    init = add(verbs, "init", _init, "write a commented configuration to start from, or all of a recipe")
    init.add_argument("folder", type=Path, nargs="?", metavar="DIR", help="where it goes (default: here; with --recipe ./NAME)")
    names_of = "pcb, presence, surface, wear, or a recipe's folder"
    init.add_argument("--recipe", metavar="NAME", help=f"also its network and generated pictures: {names_of}")
    init.add_argument("--json", action="store_true", help="print one JSON object")
    evaluate = add(verbs, "evaluate", _evaluate, "say how good and how fast a recipe is on pictures whose truth is known")
    evaluate.add_argument("recipe", metavar="RECIPE", help="a name, such as wear, or a recipe's folder")
    evaluate.add_argument("data", type=Path, metavar="DATA", help="a folder in a layout that the recipe takes, or with good/ and bad/")
    evaluate.add_argument("--weights", type=Path, metavar="FILE", help="another network, as `train --recipe` wrote it")
    evaluate.add_argument("--groups", type=names, default=(), metavar="A,B", help="only these boards, tiles or spindles (default: all)")
    evaluate.add_argument("--frames", type=whole_number, metavar="N", help="at most so many pictures (default: all)")
    evaluate.add_argument("--out", type=Path, metavar="FILE.html", help="write a page with hits, misses and false alarms")
    evaluate.add_argument("--lights", action="store_true", help="also in half and double light, light from one side and tinted light")
    evaluate.add_argument("--no-memory", action="store_true", help="leave memory_mb out, which takes a process of its own")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")


def _init(arguments: argparse.Namespace) -> int:
    from edgevision.study.init import init

    return _told(init(arguments.folder, arguments.recipe, is_quiet=arguments.json), arguments)


def _evaluate(arguments: argparse.Namespace) -> int:
    from edgevision.study.evaluate import EvaluateTask, evaluate

    task = EvaluateTask(
        recipe=arguments.recipe,
        data=arguments.data,
        weights=arguments.weights,
        groups=arguments.groups,
        frames=arguments.frames,
        out=arguments.out,
        has_memory=not arguments.no_memory,
        has_lights=arguments.lights,
    )
    return _told(evaluate(task, is_quiet=arguments.json), arguments)


def _told(report: dict[str, Any], arguments: argparse.Namespace) -> int:
    text = report.pop("text")
    print(json.dumps(report) if arguments.json else text)
    return 0
