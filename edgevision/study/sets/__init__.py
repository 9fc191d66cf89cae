"""Pictures with their truth, as others lay them out on disk: one file a layout. In: a folder. Out: Cases. Keeps nothing.

A layout is a module here with five names (`Layout`), and a line in LAYOUTS:

    FORM    one sentence: how such a folder lies on disk
    IS_ORDERED  whether a group's pictures show one thing over time (false: each stands for itself)
    IOU     from which intersection over union on a box is found, in the set's own protocol (0.5 where it has none)
    fits    whether a folder looks like one; by the names in it, without opening a picture
    read    the Cases, in the order in which they are to be shown; every group in one piece, in the order of time where there is one

`read` looks at names and labels only, so that everything wrong with them is said before anything runs. Pictures are loaded when a Case
is asked for them, and never kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from edgevision.capture.picture import SUFFIXES, Colour, read_picture
from edgevision.errors import BadFrame, InputError
from edgevision.records import Box, Image, Mask

LAYOUTS = (
    "bsdata",
    "magnetic_tile",
    "neu_det",
    "cookie",
    "deeppcb",
    "plain",  # good/ and bad/ only: the last one, as others may hold such folders, too
)
MOST_BYTES = 200_000_000
LEAST_CASES = 3
WHITE = 127  # of a mask in 8 bits: what is brighter is marked


class Labelled(NamedTuple):
    """One true defect: what and where. The box is exclusive at x2 and y2, in frame pixels."""

    label: str
    box_px: Box


@dataclass(frozen=True, slots=True)
class Case:
    """One picture and what is true of it. `group`: board group, tile, class of steel, spindle; never on both sides of a split.

    `boxes` None: the set has none, () says that nothing is to be found; likewise `mask`, which is called with the picture's (height,
    width) and may go to another process (no lambda). `template`: the picture of a part without defects to which this one must be
    compared; a pipeline is taught it before the Case. `brought`: what brings the picture into the view of its group's other ones.
    `scene`: pictures that one camera saw one after the other, the group where it is None; each one alone has a scene of its own.
    """

    name: str
    group: str
    picture: Path
    is_bad: bool
    template: Path | None = None
    boxes: tuple[Labelled, ...] | None = None
    mask: Callable[[tuple[int, int]], Mask] | None = None
    brought: Callable[[Image], Image] | None = None
    colour: Colour = "auto"
    scene: str | None = None

    def image(self) -> Image:
        """(H, W, 3) BGR or (H, W). Raises BadFrame for a file that cannot be read."""
        image = read_picture(self.picture, self.colour, MOST_BYTES)
        return image if self.brought is None else self.brought(image)

    def template_image(self) -> Image | None:
        """Of the template, where there is one. Raises BadFrame."""
        return None if self.template is None else read_picture(self.template, self.colour, MOST_BYTES)

    def true_mask(self) -> Mask | None:
        """Bool (H, W): where the defects are; None where the set says nothing of it. Raises BadFrame."""
        return None if self.mask is None else self.mask(self.image().shape[:2])


class Layout(Protocol):
    """What a module of this folder holds."""

    FORM: str
    IOU: float
    IS_ORDERED: bool

    def fits(self, folder: Path) -> bool:
        """Whether the folder looks like one."""

    def read(self, folder: Path) -> tuple[Case, ...]:
        """Its Cases. Raises InputError, one line, for labels that are missing or make no sense."""


def layout_of(name: str) -> Layout:
    """The module of that name."""
    return cast(Layout, import_module(f"edgevision.study.sets.{name}"))


def open_set(folder: Path, names: tuple[str, ...], remedy: str = "") -> tuple[str, tuple[Case, ...]]:
    """The layout among `names` that the folder has, and its Cases.

    Raises InputError for a folder that is missing, has none of them (it says which other it has), or too few pictures. `remedy` ends that.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name one that holds pictures with their truth: {forms(names)}")
    for name in names:
        if layout_of(name).fits(folder):
            cases = layout_of(name).read(folder)
            if len(cases) < LEAST_CASES:
                raise InputError(f"{folder}: {len(cases)} picture(s); at least {LEAST_CASES} are needed to judge anything; give more")
            return name, cases
    other = next((name for name in LAYOUTS if name not in names and layout_of(name).fits(folder)), None)
    found = f"is laid out as {other}" if other else "is laid out as no set that is known" if any(folder.iterdir()) else "is empty"
    raise InputError(f"{folder}: {found}; it must be one of {forms(names)}{remedy}")


def forms(names: tuple[str, ...]) -> str:
    """What the layouts look like, for people."""
    return "; ".join(f"{name} ({layout_of(name).FORM})" for name in names)


def pictures_in(folder: Path) -> tuple[Path, ...]:
    """The picture files directly in a folder, in natural order (2 before 10)."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return tuple(sorted(found, key=lambda path: natural(path.name)))


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts numbers in names by their value."""
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", name))


def mask_file(path: Path) -> Callable[[tuple[int, int]], Mask]:
    """For `Case.mask`: a picture in which what is brighter than half is defect. Raises BadFrame when called, for one of another size."""
    return partial(_drawn, path)


def _drawn(path: Path, size_px: tuple[int, int]) -> Mask:
    drawn = read_picture(path, "gray", MOST_BYTES)
    if drawn.shape != size_px:
        raise BadFrame(f"{path}: is {drawn.shape[1]}x{drawn.shape[0]}, its picture {size_px[1]}x{size_px[0]}; draw it anew")
    return drawn > WHITE
