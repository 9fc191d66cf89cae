"""BSData: the same place of ball screws photographed over weeks while it wears, pitting drawn as labelme polygons. In: a folder.

Out: Cases, spindle by spindle, in the order of time; those that were cut out wider are brought into the view of the others. A picture
without a polygon shows no pitting that anybody saw; the names carry the time (`01_200905041126_277500_315_crop_2.jpg`: 2020-09-05 04:11).
Published by T. Schlagenhauf and others, KIT, CC BY-SA 4.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgevision.errors import InputError
from edgevision.records import Image, Mask
from edgevision.study.sets import Case, Labelled, pictures_in

FORM = "a folder a spindle, JPEGs named by time, a labelme .json beside each that shows pitting"
IOU = 0.5
IS_ORDERED = True
LABEL = "pitting"
NARROW_PX, WIDE_PX = (460, 1130), (645, 1540)  # (height, width) of the two ways in which the pictures were cut out
WIDE_TO_NARROW = ((0.741, 0.0, -14.7), (0.0, 0.741, -2.2))  # as measured between the last narrow and the first wide one of each spindle
_NAME = re.compile(r"\d+_(\d{12})_.+")


def fits(folder: Path) -> bool:
    """Whether there are folders with pictures named by time."""
    return bool(_spindles(folder))


def read(folder: Path) -> tuple[Case, ...]:
    """Raises InputError for a label file that cannot be read, has no picture or polygons of another kind, or where nothing is labelled."""
    cases: list[Case] = []
    for spindle in _spindles(folder):
        pictures = sorted((path for path in pictures_in(spindle) if _NAME.fullmatch(path.stem)), key=_time_of)
        stray = sorted({path.stem for path in spindle.glob("*.json")} - {path.stem for path in pictures})
        if stray:
            raise InputError(f"{spindle / stray[0]}.json: its picture is missing; put it beside, or remove the label")
        cases += [_case(spindle.name, path) for path in pictures]
    if not any(case.is_bad for case in cases):
        raise InputError(f"{folder}: {len(cases)} pictures and no labelme .json beside any; nothing says what is to be found: label some")
    return tuple(cases)


def _spindles(folder: Path) -> list[Path]:
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [path for path in below if any(_NAME.fullmatch(one.stem) for one in pictures_in(path))]


def _time_of(path: Path) -> str:
    found = _NAME.fullmatch(path.stem)
    return found[1] if found else path.stem


def _case(spindle: str, path: Path) -> Case:
    name, label = f"{spindle}/{path.name}", path.with_suffix(".json")
    polygons, size_px = _polygons(label) if label.is_file() else ([], (0, 0))
    boxes = tuple(
        Labelled(LABEL, (int(p[:, 0].min()), int(p[:, 1].min()), int(p[:, 0].max()) + 1, int(p[:, 1].max()) + 1)) for p in polygons
    )
    return Case(name, spindle, path, bool(polygons), boxes=boxes, mask=_drawn(polygons, size_px), brought=as_narrow)


def as_narrow(image: Image) -> Image:
    """A picture that was cut out wide, as if it had been cut out narrow; any other as it is."""
    if image.shape[:2] != WIDE_PX:
        return image
    matrix = np.array(WIDE_TO_NARROW, np.float64)
    soft = cv2.GaussianBlur(image, (0, 0), 0.5)
    brought: Image = np.asarray(cv2.warpAffine(soft, matrix, NARROW_PX[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
    return brought


def _polygons(path: Path) -> tuple[list[np.ndarray[Any, Any]], tuple[int, int]]:
    """Corners (N, 2) of each, and the (height, width) that they were drawn on."""
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        polygons = [np.asarray(shape["points"], np.float64).reshape(-1, 2) for shape in found["shapes"]]
        labels = {str(shape["label"]).lower() for shape in found["shapes"]}
        size_px = int(found["imageHeight"]), int(found["imageWidth"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no labelme file ({type(error).__name__}: {error}); draw it again with labelme") from error
    if labels - {LABEL}:
        raise InputError(f"{path}: is labelled {', '.join(sorted(labels - {LABEL}))}; the one label of this set is Pitting; rename it")
    short = next((polygon for polygon in polygons if len(polygon) < 3), None)
    if short is not None:
        raise InputError(f"{path}: has a polygon of {len(short)} corners; it must have 3 or more; draw it again")
    if size_px == WIDE_PX:
        matrix = np.array(WIDE_TO_NARROW)
        return [polygon @ matrix[:, :2].T + matrix[:, 2] for polygon in polygons], NARROW_PX
    return polygons, size_px


def _drawn(polygons: list[np.ndarray[Any, Any]], size_px: tuple[int, int]) -> Callable[[tuple[int, int]], Mask]:
    return partial(_fill, polygons, size_px)


def _fill(polygons: list[np.ndarray[Any, Any]], drawn_px: tuple[int, int], size_px: tuple[int, int]) -> Mask:
    """The polygons on a picture of (height, width), which may be another than they were drawn on."""
    mask = np.zeros(size_px, np.uint8)
    for polygon in polygons:
        scale = (size_px[1] / drawn_px[1], size_px[0] / drawn_px[0])
        cv2.fillPoly(mask, [np.rint(polygon * scale).astype(np.int32)], 1)
    return mask.astype(bool)
