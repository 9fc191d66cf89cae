"""The verbs that learn: `train`, `search`. In: the command line's grammar. Out: the same with these verbs in it."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgevision.errors import InputError, Unavailable
from edgevision.network_verbs import names, share, some_share, whole_number

AddVerb = Callable[[Any, str, Callable[[argparse.Namespace], int] | None, str], argparse.ArgumentParser]
RECIPE_STEPS = 2_000
ATTENTIONS = ("dense", "sparsifiner", "csat", "hybrid")
_TRAIN = "train a network: a recipe's, the default one on the synthetic line, or a TurboViT on crops of a surface (extra `train`)"


def add_learn_verbs(verbs: Any, add: AddVerb) -> None:
    """Add them to `verbs` with `add(verbs, name, function, text)`."""
    train = add(verbs, "train", _train, _TRAIN)
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the network and its card go")
    train.add_argument("--seed", type=int, default=0, metavar="S", help="of data and weights (default 0)")
    train.add_argument("--minutes", type=_positive, metavar="N", help="how long to train (default 25; with --data: all steps)")
    train.add_argument("--data", type=Path, metavar="DIR", help="pictures of a surface, as NEU-DET or the magnetic tiles lie: a TurboViT")
    train.add_argument("--recipe", metavar="NAME", help="train this recipe's network: on --data, or on generated pictures")
    train.add_argument(
        "--groups", type=names, default=(), metavar="A,B", help="with --recipe: learn from these boards, tiles, spindles only"
    )
    train.add_argument("--good", type=Path, metavar="DIR", help="with --recipe surface: a few good pictures, in place of --data")
    train.add_argument("--bad", type=Path, metavar="DIR", help="with them: a few bad ones, in which nobody marked anything")
    train.add_argument("--begin", type=Path, metavar="FILE", help="with --recipe: weights to go on from")
    train.add_argument("--network", type=Path, metavar="FILE", help="a .yaml that `search` wrote, or .npz weights to go on from")
    train.add_argument("--start", metavar="LAYER", help="of weights gone on from: teach only what lies behind this layer")
    train.add_argument("--attention", choices=ATTENTIONS, default="dense", help="of the global stages (default dense)")
    train.add_argument("--keep", type=_kept, default=0.1, metavar="K", help="share of the keys that a query looks at (default 0.1)")
    train.add_argument("--measurements", type=whole_number, default=64, metavar="M", help="of csat, at most (default 64)")
    train.add_argument("--steps", type=whole_number, metavar="N", help="training steps in all (default 900; a recipe 2000)")
    train.add_argument("--rate", type=some_share, metavar="R", help="with --data: highest learning rate (default 2e-3)")
    train.add_argument("--threads", type=whole_number, default=1, metavar="N", help="with --data: that it may use (default 1)")
    named = "teach a head that is asked by name on the .npz of --network; with a FILE that this wrote: add a name to it"
    train.add_argument("--names", nargs="?", const="", metavar="FILE", help=named)
    train.add_argument("--add", metavar="LABEL", help="with --names FILE: the name that is added")
    train.add_argument("--examples", type=whole_number, default=10, metavar="N", help="with --add: pictures of it (default 10)")
    train.add_argument("--without", metavar="LABEL", help="with --data: leave this class out, to add it by its name later")
    train.add_argument("--json", action="store_true", help="with --data: print one JSON object")
    _add_search(verbs, add)


def _add_search(verbs: Any, add: AddVerb) -> None:
    search = add(verbs, "search", _search, "find TurboViTs for this PC within hard limits (extras `train`, `bench`)")
    search.add_argument("--data", type=Path, required=True, metavar="DIR", help="pictures of a surface, on which networks are tried")
    search.add_argument("--out", type=Path, required=True, metavar="DIR", help="what was found; a search that was stopped goes on from it")
    search.add_argument("--latency-ms", type=_positive, metavar="MS", help="no network that takes longer for a picture on this PC")
    search.add_argument("--memory-mb", type=_positive, metavar="MB", help="nor one of more weights and Memory")
    search.add_argument("--parameters-m", type=_positive, metavar="M", help="nor one of more parameters, in millions")
    search.add_argument("--px", type=whole_number, default=224, metavar="PX", help="side of the picture (default 224)")
    search.add_argument("--threads", type=whole_number, default=1, metavar="N", help="that it may use (default 1)")
    search.add_argument("--engine", choices=("ours", "openvino"), default="ours", help="in which latency is measured (default ours)")
    search.add_argument("--networks", type=whole_number, default=24, metavar="N", help="how many are trained (default 24)")
    search.add_argument("--steps", type=whole_number, default=80, metavar="N", help="of each short training (default 80)")
    search.add_argument("--train-px", type=whole_number, default=64, metavar="PX", help="side of the pictures trained on (default 64)")
    search.add_argument("--seed", type=int, default=0, metavar="S", help="of proposals and trainings (default 0)")
    search.add_argument("--ray", metavar="ADDRESS", help="train on the machines of this Ray cluster (`local`: on this PC's cores)")
    search.add_argument("--json", action="store_true", help="print one JSON object")


def _train(arguments: argparse.Namespace) -> int:
    out = writable_folder(arguments.out)
    _need_torch()
    if arguments.add is not None and not arguments.names:
        raise InputError(f"--add {arguments.add}: name the head that it is added to with --names FILE")
    if arguments.recipe is not None:
        return _train_recipe(arguments, out)
    _refuse_without_recipe(arguments)
    if arguments.data is None:
        return _train_default(arguments, out)
    if arguments.names is not None:
        return _train_names(arguments, out)
    from edgevision.study.train.course import CourseTask, run
    from edgevision.study.train.token_attention import Choice

    task = CourseTask(
        data=arguments.data,
        out=out,
        network=arguments.network,
        choice=Choice(arguments.attention, arguments.keep, arguments.measurements),
        start=arguments.start,
        seed=arguments.seed,
        steps=arguments.steps or 900,
        minutes=arguments.minutes,
        threads=arguments.threads,
        without=arguments.without,
        rate=arguments.rate,
    )
    report = run(task)
    if arguments.json:
        print(json.dumps(report))
    else:
        print(f"{report['network']}: {report['accuracy']:.1%} of {report['judged_crops']} crops named rightly")
    return 0


def _train_names(arguments: argparse.Namespace, out: Path) -> int:
    from edgevision.study.train.names import NamesTask, run, told

    if arguments.network is None:
        raise InputError("--names needs the network whose tokens are looked at; give its .npz with --network")
    task = NamesTask(
        data=arguments.data,
        network=arguments.network,
        out=out,
        head=Path(arguments.names) if arguments.names else None,
        name=arguments.add,
        examples=arguments.examples,
        without=arguments.without,
        seed=arguments.seed,
        threads=arguments.threads,
    )
    report = run(task)
    print(json.dumps(report) if arguments.json else told(report))
    return 0


def _train_recipe(arguments: argparse.Namespace, out: Path) -> int:
    from edgevision.study.train.recipes.command import RecipeTask, train_recipe
    from edgevision.study.train.recipes.fit import FitSettings

    if arguments.network is not None or arguments.attention != "dense" or arguments.start is not None:
        raise InputError("--network, --attention and --start are for training a TurboViT; leave them or --recipe out")
    if arguments.names is not None or arguments.without is not None:
        raise InputError("--names and --without are for training a TurboViT; leave them or --recipe out")
    asked = (arguments.data, arguments.good, arguments.bad, arguments.groups, arguments.begin)
    steps = arguments.steps or (1_000_000 if arguments.minutes else RECIPE_STEPS)
    settings = FitSettings(seed=arguments.seed, steps=steps, minutes=arguments.minutes, threads=arguments.threads)
    report = train_recipe(RecipeTask(arguments.recipe, out, *asked), settings, is_shown=not arguments.json)
    text = report.pop("text")
    print(json.dumps(report) if arguments.json else text)
    return 0


def _refuse_without_recipe(arguments: argparse.Namespace) -> None:
    given = [name for name in ("groups", "good", "bad", "begin") if getattr(arguments, name)]
    if given:
        raise InputError(f"--{given[0]} is for training a recipe; name it with --recipe")


def _need_torch() -> None:
    if find_spec("torch") is None:
        raise Unavailable("training needs torch: pip install 'edgevision[train]'")


def _train_default(arguments: argparse.Namespace, out: Path) -> int:
    from edgevision.study.train.segmentation import TrainSettings, train_default

    if arguments.network is not None or arguments.attention != "dense":
        raise InputError("--network and --attention are for training on surfaces; give their folder with --data")
    train_default(out / "default.onnx", TrainSettings(seed=arguments.seed, minutes=arguments.minutes or 25.0))
    return 0


def _search(arguments: argparse.Namespace) -> int:
    from edgevision.study.search_run import SearchRun, run_search

    out = writable_folder(arguments.out)
    _need_torch()
    task = SearchRun(
        data=arguments.data,
        out=out,
        limits=(arguments.latency_ms, arguments.memory_mb, arguments.parameters_m),
        px=arguments.px,
        threads=arguments.threads,
        engine=arguments.engine,
        networks=arguments.networks,
        steps=arguments.steps,
        train_px=arguments.train_px,
        seed=arguments.seed,
        ray=arguments.ray,
    )
    report = run_search(task, is_quiet=arguments.json)
    text = report.pop("text")
    print(json.dumps(report) if arguments.json else text)
    return 0


def _kept(text: str) -> float:
    """A share above 0, for argparse."""
    if share(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is given; a query looks at something; it must be above 0 and at most 1, such as 0.05")
    return share(text)


def _positive(text: str) -> float:
    """A number above 0, for argparse."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is given; it must be above 0")
    return number


def writable_folder(path: Path) -> Path:
    """The folder, made if it is not there. Raises InputError when nothing can be written in it, before any work is done for it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a folder that can be made, with --out") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise InputError(f"{path}: may not be written; name another folder with --out, or change its rights")
    return path
