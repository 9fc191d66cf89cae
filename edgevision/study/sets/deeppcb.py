"""DeepPCB's layout: pairs of a template and a board, with boxes. In: a folder. Out: Cases, each with its template. Keeps nothing.

    group44000/44000/44000011_test.jpg, 44000011_temp.jpg      the board, and the template it must be compared to
    group44000/44000_not/44000011.txt                          a line a defect: x1 y1 x2 y2 type, 1 to 6, with blanks or commas

A group is a folder of boards that look alike. Copper is dark. A pair whose labels say the opposite of what it shows - copper too much where
it is missing - was exchanged, and is refused; so is one whose template is of another board, or whose labels are of another picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.picture import read_picture
from edgevision.errors import BadFrame, InputError
from edgevision.study.sets import MOST_BYTES, Case, Labelled, natural

FORM = "GROUP/ID_test.jpg and ID_temp.jpg, GROUP_not/ID.txt with lines of x1 y1 x2 y2 type"
IOU = 0.33
IS_ORDERED = False
LABELS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
ADDED = frozenset({"short", "spur", "copper"})  # darker than the template; the others are lighter
FAR_LEVELS = 64
OTHER_SHARE = 0.3  # of the pixels, from which on a template is another board's; of the set's own pairs at most 6.4 % differ
LEAST_ALIKE = 3  # labels where nothing differs, before they are taken for another picture's


def fits(folder: Path) -> bool:
    """Whether a folder of labels, or of pairs that have none, lies in it or one below."""
    return next(_label_folders(folder), None) is not None or _unlabelled(folder) is not None


def read(folder: Path) -> tuple[Case, ...]:
    """The Cases, group by group. Raises InputError, one line, for what lacks its label, picture or template, or has senseless labels."""
    bare = _unlabelled(folder)
    if bare is not None:
        raise InputError(f"{bare}: its boards have no labels; write {bare.with_name(bare.name + '_not')}/ID.txt for each, a line a defect")
    cases = []
    for labels in sorted(_label_folders(folder), key=lambda path: natural(str(path))):
        pictures = labels.with_name(labels.name.removesuffix("_not"))
        if not pictures.is_dir():
            raise InputError(f"{labels}: there is no folder {pictures.name} beside it with the pictures; put it there")
        group = labels.parent.name if labels.parent != folder else pictures.name
        boards = sorted(pictures.glob("*_test.jpg"), key=lambda path: natural(path.name))
        named = {board.name.removesuffix("_test.jpg") for board in boards}
        for path in sorted(labels.glob("*.txt")):
            if path.stem not in named:
                raise InputError(f"{path}: there is no picture {pictures / path.stem}_test.jpg for it; add it, or take the labels away")
        cases += [_case(board, labels / f"{board.name.removesuffix('_test.jpg')}.txt", group) for board in boards]
    for case in cases:
        _refuse_wrong_pair(case)
    return tuple(cases)


def _label_folders(folder: Path) -> Iterator[Path]:
    for pattern in ("*_not", "*/*_not"):
        yield from (path for path in folder.glob(pattern) if path.is_dir() and next(path.glob("*.txt"), None) is not None)


def _unlabelled(folder: Path) -> Path | None:
    """The first folder of boards and templates that has no folder with labels beside it."""
    for pattern in ("*_test.jpg", "*/*_test.jpg", "*/*/*_test.jpg"):
        for board in folder.glob(pattern):
            own = board.parent
            is_pair = board.with_name(board.name.replace("_test.jpg", "_temp.jpg")).is_file()
            if is_pair and next(own.with_name(f"{own.name}_not").glob("*.txt"), None) is None:
                return own
    return None


def _case(board: Path, labels: Path, group: str) -> Case:
    template = board.with_name(board.name.replace("_test.jpg", "_temp.jpg"))
    if not template.is_file():
        raise InputError(f"{board}: there is no template {template.name} beside it; add it, or take the picture away")
    if not labels.is_file():
        raise InputError(f"{board}: has no labels; write {labels}, empty where nothing is wrong, or take the picture away")
    boxes = tuple(_labelled(labels, number, line) for number, line in enumerate(_lines(labels), 1) if line.strip())
    return Case(board.name.removesuffix("_test.jpg"), group, board, is_bad=bool(boxes), template=template, boxes=boxes, colour="gray")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({type(error).__name__}); a line is x1 y1 x2 y2 type") from error


def _labelled(path: Path, number: int, line: str) -> Labelled:
    place = f"{path}:{number}"
    try:
        x1, y1, x2, y2, kind = (int(part) for part in line.replace(",", " ").split())
    except ValueError as error:
        raise InputError(f"{place}: is {line.strip()[:60]!r}; it must be five whole numbers, x1 y1 x2 y2 type") from error
    if not 1 <= kind <= len(LABELS):
        known = ", ".join(f"{number} {label}" for number, label in enumerate(LABELS, 1))
        raise InputError(f"{place}: type is {kind}; it must be one of {known}")
    if not (0 <= x1 < x2 and 0 <= y1 < y2):
        raise InputError(f"{place}: the box is {x1} {y1} {x2} {y2}; it must be x1 y1 x2 y2 with 0 <= x1 < x2 and 0 <= y1 < y2")
    return Labelled(LABELS[kind - 1], (x1, y1, x2, y2))


def _refuse_wrong_pair(case: Case) -> None:
    """Raises InputError where the template is of another board, or most labels say the opposite of what is to be seen, or lie elsewhere."""
    if case.template is None:
        return
    try:
        board, template = (read_picture(path, "gray", MOST_BYTES).astype(np.int16) for path in (case.picture, case.template))
    except BadFrame as error:
        raise InputError(f"{error}; take the pair away, or put a picture that can be read in its place") from error
    if board.shape != template.shape:
        shapes = f"{board.shape[1]}x{board.shape[0]}, its template {template.shape[1]}x{template.shape[0]}"
        raise InputError(f"{case.picture}: is {shapes}; a pair is of one size")
    share = float(np.mean(np.abs(board - template) > FAR_LEVELS))
    if share > OTHER_SHARE:
        said = f"{share:.0%} of it differ from {case.template.name}, {OTHER_SHARE:.0%} are the most"
        raise InputError(f"{case.picture}: {said}; that is the template of another board: put the right one in its place")
    _refuse_labels(case, board - template)


def _refuse_labels(case: Case, difference: NDArray[np.int16]) -> None:
    """Raises InputError for labels that do not say what `difference`, board less template, shows."""
    opposite = alike = 0
    labelled = case.boxes or ()
    height, width = difference.shape
    for label, (x1, y1, x2, y2) in labelled:
        if x2 > width or y2 > height:
            size = f"{width}x{height}"
            raise InputError(f"{case.picture}: is {size}, but a box of {label} reaches to {x2} {y2}; mend the labels of {case.name}")
        far = difference[y1:y2, x1:x2]
        darker, lighter = (cv2.erode((side > FAR_LEVELS).astype(np.uint8), np.ones((2, 2), np.uint8)).sum() for side in (-far, far))
        opposite += int(lighter > 2 * darker) if label in ADDED else int(darker > 2 * lighter)
        alike += int(darker + lighter == 0)
    if 2 * opposite > len(labelled):
        said = f"{opposite} of its {len(labelled)} labels say the opposite of what it shows (copper too much where it is missing)"
        raise InputError(f"{case.picture}: {said}; were the board and its template exchanged? Name them _test and _temp the other way")
    if alike >= LEAST_ALIKE and 2 * alike > len(labelled):
        said = f"at {alike} of its {len(labelled)} labels it is as its template"
        raise InputError(f"{case.picture}: {said}; are they of another picture? Put those of {case.name} in their place")
