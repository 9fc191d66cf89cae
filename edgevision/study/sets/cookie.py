"""Cookies on a fixed stand: images/normal-N.jpg and images/anomaly-N.jpg, masks/anomaly-N.png, colour. In: a folder. Out: Cases.

A mask is black where the cookie is whole; any other colour is the defect. Each picture shows another cookie, or one cookie otherwise
broken: ten numbers that follow each other are a group.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import cast

from edgevision.capture.picture import read_picture
from edgevision.errors import BadFrame, InputError
from edgevision.records import Mask
from edgevision.study.sets import MOST_BYTES, Case, natural

FORM = "images/normal-N.jpg and images/anomaly-N.jpg, masks/anomaly-N.png"
IOU = 0.5
IS_ORDERED = False
TOGETHER = 10
_NAME = r"(normal|anomaly)-(\d+)"


def fits(folder: Path) -> bool:
    """Whether one of its images is named so."""
    return any(re.fullmatch(_NAME, path.stem) for path in (folder / "images").glob("*.jpg"))


def read(folder: Path) -> tuple[Case, ...]:
    """Normal ones first. Raises InputError for another name, or an anomaly without mask."""
    paths = sorted((folder / "images").glob("*.jpg"), key=lambda path: natural(path.name))
    return tuple(sorted((_case(path, folder) for path in paths), key=lambda case: case.is_bad))


def _case(path: Path, folder: Path) -> Case:
    found = re.fullmatch(_NAME, path.stem)
    if found is None:
        raise InputError(f"{path}: its name must be normal-NUMBER or anomaly-NUMBER; rename it, or take it out")
    is_bad, drawn = found[1] == "anomaly", folder / "masks" / f"{path.stem}.png"
    if is_bad and not drawn.exists():
        raise InputError(f"{path}: has no mask {drawn}; draw it (black where nothing is wrong), or rename the picture to normal-N")
    mask = partial(_coloured, drawn) if is_bad else None
    return Case(path.stem, f"{found[1]}-{(int(found[2]) - 1) // TOGETHER:02d}", path, is_bad, mask=mask, scene=path.stem)


def _coloured(path: Path, size_px: tuple[int, int]) -> Mask:
    """What is not black is defect."""
    drawn = read_picture(path, "auto", MOST_BYTES)
    if drawn.shape[:2] != size_px:
        raise BadFrame(f"{path}: is {drawn.shape[1]}x{drawn.shape[0]}, its picture {size_px[1]}x{size_px[0]}; draw it anew")
    return cast(Mask, drawn.reshape(*size_px, -1).max(axis=2) > 0)
