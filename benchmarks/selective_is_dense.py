"""Verdicts with work left out against those of the whole network, over whole sets, for each recipe.

python benchmarks/selective_is_dense.py pcb --data ../shared/data/deeppcb
python benchmarks/selective_is_dense.py presence --stations 8        # generated stations, as presence_stations.py draws them
python benchmarks/selective_is_dense.py wear                         # without --data: the pictures that `init` draws

Twice: with gate 0 and every threshold of the comparison at 0, where none may differ, and at the recipe's own settings. `whole` is the
network on all of the frame as the camera brings it to its template's light, `raw` the network on the frame just as it was taken; they are
the same but for recipes that show a template. A frame that was not inspected has one verdict only, and is counted beside.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from presence_stations import parts_of

from edgevision.study.evaluate import Line, camera_of
from edgevision.study.exact import Agreement, agreement, drawn, exact, template_of
from edgevision.study.init import sample_pictures
from edgevision.study.recipe import Recipe, find_recipe, recipe_names
from edgevision.study.sets import Case, layout_of, open_set


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=recipe_names())
    parser.add_argument("--data", type=Path, help="a set in one of the recipe's layouts; left out: the recipe's generated pictures")
    parser.add_argument("--weights", type=Path, help="a file instead of the network that ships")
    parser.add_argument("--groups", default="", help="only these, divided by commas")
    parser.add_argument("--frames", type=int, help="at most so many")
    parser.add_argument("--stations", type=int, default=0, help="so many generated stations, for presence")
    parser.add_argument("--seed", type=int, default=880_000, help="of the first of them")
    parser.add_argument("--parts", type=int, default=24)
    parser.add_argument("--light", type=float, default=0.5)
    parser.add_argument("--only", choices=("zero", "shipped"), help="one of the two settings")
    arguments = parser.parse_args()
    recipe = find_recipe(arguments.recipe)
    with tempfile.TemporaryDirectory() as folder:
        cases, is_ordered = cases_of(recipe, arguments, Path(folder))
        camera, settings, registry = camera_of(recipe, arguments.weights)
        for name, one in (("zero", exact(settings)), ("shipped", settings)):
            if arguments.only not in (None, name):
                continue
            line = Line(camera, one, registry, recipe.card.rank_threshold, is_ordered)
            print(json.dumps(told(recipe, name, agreement(cases[: arguments.frames], line))), flush=True)


def cases_of(recipe: Recipe, arguments: argparse.Namespace, folder: Path) -> tuple[tuple[Case, ...], bool]:
    """The Cases asked for, and whether they show one thing over time; drawn ones are written into the folder."""
    if arguments.data is not None:
        layout, cases = open_set(arguments.data, recipe.card.sets)
        groups = tuple(name for name in arguments.groups.split(",") if name)
        return tuple(case for case in cases if not groups or case.group in groups), layout_of(layout).IS_ORDERED
    is_ordered = layout_of(recipe.card.sets[0]).IS_ORDERED
    if not arguments.stations:
        return tuple(drawn(sample_pictures(recipe), folder, template_of(recipe))), is_ordered
    parts_drawn: list[Case] = []
    for number in range(arguments.stations):
        parts = list(parts_of(number, arguments))
        named = [("template.png", parts[0].template), *((f"sample/{k:03d}-{part.fault}.png", part.image) for k, part in enumerate(parts))]
        parts_drawn += drawn(named, folder / str(number))
    return tuple(parts_drawn), is_ordered


def told(recipe: Recipe, settings: str, found: Agreement) -> dict[str, Any]:
    """A row of figures, with the first frames that differ."""
    return {
        "recipe": recipe.card.name,
        "settings": settings,
        "frames": found.frames,
        "not_inspected": found.not_inspected,
        "live_mean": round(found.live, 4),
        "other_than_whole": found.from_whole,
        "other_than_raw": found.from_raw,
        "first": [f"{one.name}: {one.said.value}, whole {one.whole.value}, raw {one.raw.value}" for one in found.differences[:5]],
    }


if __name__ == "__main__":
    main()
