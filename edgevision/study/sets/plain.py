"""Two folders, good/ and bad/, with the pictures of parts; perhaps masks/ with where the bad ones are bad. START FROM THIS with own parts.

In: a folder. Out: Cases. A picture template.png beside them shows a part without defects, for recipes that compare with one. A mask is
named as its picture (`part7.png` for `bad/part7.jpg`), white where the defect is. A folder within good/ or bad/ is a group: a board, a
batch, a day.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgevision.capture.picture import read_picture
from edgevision.errors import BadFrame, InputError
from edgevision.study.sets import MOST_BYTES, WHITE, Case, mask_file, pictures_in

FORM = "good/ and bad/ with pictures, perhaps masks/ with one PNG a bad picture, and template.png"
IOU = 0.5
IS_ORDERED = False
HEAD_BYTES = 4096
GOOD, BAD, MASKS, TEMPLATE = "good", "bad", "masks", "template.png"


def fits(folder: Path) -> bool:
    """Whether there is a folder good/ or bad/."""
    return (folder / GOOD).is_dir() or (folder / BAD).is_dir()


def read(folder: Path) -> tuple[Case, ...]:
    """Good pictures first. Raises InputError where a folder is missing or empty, a mask belongs to no bad picture or marks
    nothing, or one picture is among the good ones and among the bad ones."""
    cases = (*_cases(folder, GOOD, is_bad=False), *_cases(folder, BAD, is_bad=True))
    named = {case.picture.stem for case in cases if case.is_bad}
    drawn = {path.stem for path in pictures_in(folder / MASKS)} if (folder / MASKS).is_dir() else set()
    if stray := sorted(drawn - named):
        raise InputError(f"{folder / MASKS}: {stray[0]} belongs to no picture in {BAD}/; name a mask as its picture, or remove it")
    both = sorted(named & {case.picture.stem for case in cases if not case.is_bad})
    if drawn and both:
        raise InputError(f"{folder}: {both[0]} is in {GOOD}/ and in {BAD}/; one of them is mislabelled, or rename it")
    refuse_twice(cases)
    for name in sorted(drawn):
        _refuse_blank(folder / MASKS / f"{name}.png")
    return cases


def refuse_twice(cases: tuple[Case, ...]) -> None:
    """Raises InputError for a picture that lies among the good ones and, the same byte for byte, among the bad ones."""
    good = {(case.picture.stat().st_size, case.picture.read_bytes()[:HEAD_BYTES]): case for case in cases if not case.is_bad}
    for case in cases:
        alike = good.get((case.picture.stat().st_size, case.picture.read_bytes()[:HEAD_BYTES])) if case.is_bad else None
        if alike is not None and alike.picture.read_bytes() == case.picture.read_bytes():
            raise InputError(f"{case.picture}: is {alike.name}, byte for byte; it is good or bad: take one of them away")


def _refuse_blank(path: Path) -> None:
    """Raises InputError for a mask that marks nothing, or that cannot be read."""
    try:
        drawn = read_picture(path, "gray", MOST_BYTES)
    except BadFrame as error:
        raise InputError(f"{error}, or take the mask away") from error
    if not (drawn > WHITE).any():
        raise InputError(f"{path}: marks nothing (white is more than {WHITE} of 255); draw where the defect is, or take the mask away")


def _cases(folder: Path, kind: str, is_bad: bool) -> Iterator[Case]:
    """Of the pictures in good/ or bad/ and in the folders below."""
    top = folder / kind
    if not top.is_dir():
        raise InputError(f"{folder}: there is no folder {kind}/; good pictures go into {GOOD}/, bad ones into {BAD}/")
    found = [(top.name if below == top else below.name, path) for below in (top, *_below(top)) for path in pictures_in(below)]
    if not found:
        raise InputError(f"{top}: holds no picture; good pictures go into {GOOD}/, bad ones into {BAD}/")
    for group, path in found:
        mask, template = folder / MASKS / f"{path.stem}.png", folder / TEMPLATE
        has_mask = is_bad and mask.is_file()
        drawn = mask_file(mask) if has_mask else None
        yield Case(str(path.relative_to(folder)), group, path, is_bad, template if template.is_file() else None, mask=drawn)


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
