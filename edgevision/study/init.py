"""`edgevision init`: the file to start from, or all of a recipe. In: a recipe's name, a folder. Out: files in that folder. Keeps nothing.

Without a recipe it is configs/one-camera.yaml as line.yaml, and beside it reference.yaml, where every key stands with its default. With
one, it is the recipe's sample.yaml as line.yaml, reference.yaml, its network and files, and the pictures that its sample maker draws: the
module `study/parts/<sample>.py` has a function

    pictures(rng) -> Iterator[tuple[str, Image]]      a path below the folder, such as sample/board-01.png or template.png, and the picture

which draws the same for the same generator, so that the recipe's golden.jsonl holds. Nothing is ever overwritten.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgevision.daemon.build import share_folder
from edgevision.errors import InputError, Unavailable
from edgevision.records import Image
from edgevision.study.recipe import GOLDEN, SAMPLE, Recipe, find_recipe
from edgevision.study.waiting import counting_bar

LINE, REFERENCE, PICTURES = "line.yaml", "reference.yaml", "sample"
SEED = 0


def init(folder: Path | None, recipe: str | None, is_quiet: bool = False) -> dict[str, Any]:
    """Write the files; the result has `text` with what to do next.

    Raises InputError for an unknown recipe (with the nearest name), a folder that is not empty or cannot be made, a file that is there.
    """
    if recipe is None:
        return _plain(folder or Path())
    found = find_recipe(recipe)
    target = folder or Path(found.card.name)
    _make_empty(target)
    written = [_copied(found.folder / name, target / to) for name, to in _files(found)]
    written.append(_copied(share_folder("configs") / REFERENCE, target / REFERENCE))
    with counting_bar(is_quiet) as bar:
        line = bar.add_task("drawing pictures", total=None)
        for name, image in sample_pictures(found):
            written.append(_drawn(image, target / name))
            bar.advance(line)
    return {"recipe": found.card.name, "folder": str(target), "files": [str(path) for path in written], "text": _next(found, target)}


def sample_pictures(recipe: Recipe) -> Iterator[tuple[str, Image]]:
    """What the recipe's sample maker draws: (path below the folder, picture), the same each time."""
    maker = import_module(f"edgevision.study.parts.{recipe.card.sample}")
    yield from maker.pictures(np.random.default_rng(SEED))


def _files(recipe: Recipe) -> Iterator[tuple[str, str]]:
    yield SAMPLE, LINE
    yield recipe.card.network, recipe.card.network
    if recipe.card.network.endswith(".xml"):
        weights = str(Path(recipe.card.network).with_suffix(".bin"))
        yield weights, weights
    if (recipe.folder / GOLDEN).is_file():
        yield GOLDEN, GOLDEN
    for name in recipe.card.files:
        yield name, name


def _plain(folder: Path) -> dict[str, Any]:
    """The one file without a recipe."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}; name a folder that can be made") from error
    path = _copied(share_folder("configs") / "one-camera.yaml", folder / LINE)
    written = [path]
    if not (folder / REFERENCE).exists():
        written.append(_copied(share_folder("configs") / REFERENCE, folder / REFERENCE))
    shown = shlex.quote(str(path))
    text = [
        f"{path}: written; change what is marked >>>, then",
        f"  edgevision check --probe {shown}",
        f"  edgevision run {shown}",
        f"every key with its default: {folder / REFERENCE}; a recipe to begin with: edgevision init --recipe NAME",
    ]
    return {"recipe": None, "folder": str(folder), "files": [str(each) for each in written], "text": "\n".join(text)}


def _make_empty(folder: Path) -> None:
    """Make the folder. Raises InputError for one that holds anything, or cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}; name a folder that can be made") from error
    if held:
        raise InputError(f"{folder}: is not empty ({held[0]}); nothing is overwritten: name another folder, or empty it")


def _copied(source: Path, target: Path) -> Path:
    """A copy that replaces nothing."""
    try:
        with target.open("xb") as file, source.open("rb") as original:
            shutil.copyfileobj(original, file)
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise InputError(f"{target}: is there already; nothing is overwritten: name another folder, or move it away") from error
    except OSError as error:
        raise Unavailable(f"{target}: {error.strerror}; make room, or name a folder that may be written") from error
    return target


def _drawn(image: Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), image):
        raise Unavailable(f"{path}: cannot be written; make room, or name a folder that may be written")
    return path


def _next(recipe: Recipe, folder: Path) -> str:
    line, pictures = (shlex.quote(str(folder / name)) for name in (LINE, PICTURES))
    count = len(list((folder / PICTURES).iterdir())) if (folder / PICTURES).is_dir() else 0
    lines = [
        f"{folder}: recipe {recipe.card.name} ({recipe.card.title}) with {count} generated pictures; next:",
        f"  edgevision check {line}",
        f"  edgevision replay {pictures} --config {line}"
        + (f" --expect {shlex.quote(str(folder / GOLDEN))}" if _has_golden(folder) else ""),
        f"  edgevision run {line}                 # beside it: mosquitto_sub -v -t 'edgevision/#'",
        f"then change what is marked >>> in it for your own camera; every other key, with its default: {folder / REFERENCE}",
    ]
    return "\n".join(lines)


def _has_golden(folder: Path) -> bool:
    return (folder / GOLDEN).is_file()
