"""NEU-DET: steel strips, images/CLASS_NUMBER.jpg, 200 x 200, gray, with boxes in annotations/CLASS_NUMBER.xml. In: a folder. Out: Cases.

Nobody tells which pictures were cut from one strip: ten numbers that follow each other are a group, so that most neighbours stay together.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from edgevision.errors import InputError
from edgevision.study.sets import Case, Labelled, natural

FORM = "images/CLASS_NUMBER.jpg, each with boxes in annotations/CLASS_NUMBER.xml"
IOU = 0.5
IS_ORDERED = False
CLASSES = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
TOGETHER = 10


def fits(folder: Path) -> bool:
    """Whether it holds pictures named after a class and a folder of annotations."""
    pictures = (path.stem.rpartition("_")[0] for path in (folder / "images").glob("*.jpg"))
    return (folder / "annotations").is_dir() and any(name in CLASSES for name in pictures)


def read(folder: Path) -> tuple[Case, ...]:
    """Class after class, by number. Raises InputError for names and annotations that are missing or make no sense."""
    return tuple(_case(path, folder) for path in sorted((folder / "images").glob("*.jpg"), key=lambda path: natural(path.name)))


def _case(path: Path, folder: Path) -> Case:
    found = re.fullmatch(r"(.+)_(\d+)", path.stem)
    if found is None or found[1] not in CLASSES:
        raise InputError(f"{path}: its name must be CLASS_NUMBER with a class of {', '.join(CLASSES)}; rename it, or take it out")
    boxes = _boxes(folder / "annotations" / f"{path.stem}.xml")
    return Case(path.stem, f"{found[1]}-{(int(found[2]) - 1) // TOGETHER:02d}", path, bool(boxes), boxes=boxes, scene=path.stem)


def _boxes(path: Path) -> tuple[Labelled, ...]:
    remedy = "it must be a Pascal VOC annotation"
    try:
        objects = list(ElementTree.parse(path).iter("object"))
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__}); {remedy}") from error
    return tuple(_labelled(path, found, remedy) for found in objects)


def _labelled(path: Path, found: ElementTree.Element, remedy: str) -> Labelled:
    label = (found.findtext("name") or "").strip()
    try:
        x1, y1, x2, y2 = (int(float(found.findtext(f"bndbox/{side}", ""))) for side in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError as error:
        raise InputError(f"{path}: a {label or 'nameless'} object has no whole box; {remedy}") from error
    if label not in CLASSES or not (x1 < x2 and y1 < y2):
        raise InputError(f"{path}: holds {label!r} at {x1}, {y1}, {x2}, {y2}; names must be of {', '.join(CLASSES)}, boxes have an area")
    return Labelled(label, (x1 - 1, y1 - 1, x2, y2))  # the annotations count from 1, both ends inside
