"""Few-shot, drawn several times: some good and bad pictures of a set without their marks, judged on groups of which none was learnt.

python benchmarks/few_shot.py --data ../shared/data/magnetic-tile --good 20 --bad 5 --draws 5 --steps 600 --out draws

A draw learns from half of the set's groups at most (tiles, runs of cookies), one picture of a group before a second one. What a draw has
made is kept in its folder: a run that was stopped goes on. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgevision.study.evaluate import EvaluateTask, evaluate
from edgevision.study.sets import Case, open_set
from edgevision.study.train.recipes.fit import FitSettings
from edgevision.study.train.recipes.surface import SETS, SurfaceTask, train

KEYS = ("image_auroc", "bad", "bad_found", "good", "good_alarmed", "frames")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--good", type=int, default=20)
    parser.add_argument("--bad", type=int, default=5)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="number of the first draw, its seed")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--begin", type=Path, help="the network to go on from; left out, the one that ships")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    _, cases = open_set(arguments.data, SETS)
    found = []
    for number in range(arguments.first, arguments.first + arguments.draws):
        out = arguments.out / f"draw-{number}"
        learnt = drawn(cases, (arguments.good, arguments.bad), np.random.default_rng(number))
        for case in learnt:
            link(case, out / ("bad" if case.is_bad else "good"))
        settings = FitSettings(seed=number, steps=arguments.steps)
        task = SurfaceTask(out, good=out / "good", bad=out / "bad", begin=arguments.begin, settings=settings)
        train(task, is_shown=False)
        groups = tuple({case.group for case in cases} - {case.group for case in learnt})
        report = evaluate(EvaluateTask("surface", arguments.data, out / "surface.onnx", groups=groups, has_memory=False), is_quiet=True)
        found.append(report["image_auroc"])
        print(json.dumps({"draw": number, "learnt": len(learnt), **{key: report[key] for key in KEYS}}), flush=True)
    print(json.dumps({"image_auroc": float(np.mean(found)), "least": min(found)}))


def drawn(cases: Sequence[Case], wanted: tuple[int, int], rng: np.random.Generator) -> list[Case]:
    """So many good and bad Cases, from at most half of the groups that have such."""
    chosen = []
    for is_bad, count in zip((False, True), wanted, strict=True):
        some = [case for case in cases if case.is_bad == is_bad]
        groups = list(rng.permutation(sorted({case.group for case in some})))
        ranks: list[tuple[int, int, Case]] = []
        for place, group in enumerate(groups[: (len(groups) + 1) // 2]):
            of_group = [case for case in some if case.group == group]
            ranks += [(turn, place, of_group[int(index)]) for turn, index in enumerate(rng.permutation(len(of_group)))]
        chosen += [case for _, _, case in sorted(ranks, key=lambda rank: rank[:2])[:count]]
    return chosen


def link(case: Case, folder: Path) -> None:
    """The Case's picture under a name of its own in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{case.group}-{case.picture.name}"
    if not path.exists():
        path.symlink_to(case.picture.resolve())


if __name__ == "__main__":
    main()
