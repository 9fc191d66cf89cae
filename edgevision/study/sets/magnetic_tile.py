"""The magnetic tiles: MT_CLASS/expN_num_NUMBER.jpg, gray, of odd sizes, with a mask beside each as .png. In: a folder. Out: Cases.

A tile was filmed under up to six exposures, and its pictures are named by the number of the film's frame: numbers less than `SAME_TILE`
apart are one tile, whatever defect they are filed under. A tile is a group.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgevision.errors import InputError
from edgevision.study.sets import Case, mask_file

FORM = "MT_CLASS/expN_num_NUMBER.jpg, each with a mask beside it as .png"
IOU = 0.5
IS_ORDERED = False
FREE = "Free"
CLASSES = (FREE, "Blowhole", "Break", "Crack", "Fray", "Uneven")
SAME_TILE = 600  # frames of the film


def fits(folder: Path) -> bool:
    """Whether one of its folders is named after a class and holds a picture."""
    return any(next((folder / f"MT_{name}").glob("*.jpg"), None) for name in CLASSES)


def read(folder: Path) -> tuple[Case, ...]:
    """Tile after tile, as they were filmed. Raises InputError for an unknown class, a name without number, a defect without mask."""
    unknown = sorted(path.name for path in folder.glob("MT_*") if path.is_dir() and path.name.removeprefix("MT_") not in CLASSES)
    if unknown:
        raise InputError(f"{folder / unknown[0]}: no class of this set; it must be MT_ and one of {', '.join(CLASSES)}; rename the folder")
    found = sorted((_number(path), path) for path in folder.glob("MT_*/*.jpg"))
    cases, last, tile = [], 0, 0
    for number, path in found:
        tile += number - last >= SAME_TILE
        last = number
        cases.append(_case(path, f"tile-{tile:03d}"))
    return tuple(sorted(cases, key=lambda case: case.group))


def class_of(case: Case) -> str:
    """The class that a Case is filed under."""
    return case.picture.parent.name.removeprefix("MT_")


def _number(path: Path) -> int:
    found = re.fullmatch(r"exp\d+_num_(\d+)", path.stem)
    if found is None:
        raise InputError(f"{path}: its name must be expN_num_NUMBER, as the tile is told by the number; name it so, or take it out")
    return int(found[1])


def _case(path: Path, tile: str) -> Case:
    is_bad, drawn = path.parent.name != f"MT_{FREE}", path.with_suffix(".png")
    if is_bad and not drawn.exists():
        raise InputError(
            f"{path}: has no mask {drawn.name} beside it; draw it, or move the picture to MT_{FREE} if nothing is wrong with it"
        )
    mask = mask_file(drawn) if drawn.exists() else None
    name = f"{path.parent.name}/{path.stem}"
    return Case(name, tile, path, is_bad, mask=mask, scene=name)
