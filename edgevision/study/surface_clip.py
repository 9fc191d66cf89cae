"""What a camera that stands fixed over a surface sees, made of single pictures: clips with the name of what each frame shows.

In: pictures with labels, a seed. Out: frames. Keeps nothing. A piece lies still under the camera; patches of other pieces come in over an
edge, as an arm, a tool or a strip beside it would, stay a while and leave; then another piece takes the first one's place, pushed in from a
side, as a spot that grows, or square by square. Every frame has a sensor's noise. A patch hides 12 % of a frame at most, so a frame is
called by the piece; while one takes the other's place it has no name, as long as neither shows on three quarters of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.records import Mask

Gray = NDArray[np.uint8]
_CELLS = 8  # squares a side, where a piece comes square by square
_SIDES = (0.12, 0.35)  # of a patch, share of the frame's
_CLEAR = 0.75


@dataclass(frozen=True, slots=True)
class ClipSettings:
    """`px`: side of a frame. A piece stays `stay` frames, of which `visit` are one patch's way in, stay and out; the next comes in `come`
    frames. `noise`: its deviation, from, to, gray levels; each clip has one of its own."""

    px: int = 256
    pieces: int = 6
    stay: int = 36
    visit: int = 18
    come: int = 14
    noise: tuple[float, float] = (1.0, 3.0)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A picture (px, px) and the number of its label."""

    image: Gray
    label: int


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One frame (px, px); `label` None where nobody could say."""

    image: Gray
    label: int | None


def surface_clip(pieces: Sequence[Piece], settings: ClipSettings, seed: int) -> Iterator[Shown]:
    """The frames of one clip; the same seed gives the same. `pieces`: from which it draws, two at least, each (px, px)."""
    random = np.random.default_rng(seed)
    order = [pieces[number] for number in random.permutation(len(pieces))[: settings.pieces]]
    deviation = random.uniform(*settings.noise)
    for number, piece in enumerate(order):
        for image in _staying(piece, pieces, settings, random):
            yield Shown(_noisy(image, deviation, random), piece.label)
        if number + 1 < len(order):
            for image, share in _coming(piece, order[number + 1], settings, random):
                clear = order[number + 1] if share >= _CLEAR else piece if share <= 1 - _CLEAR else None
                yield Shown(_noisy(image, deviation, random), None if clear is None else clear.label)


def _noisy(image: Gray, deviation: float, random: np.random.Generator) -> Gray:
    return np.clip(image + np.rint(random.normal(0, deviation, image.shape)), 0, 255).astype(np.uint8)


def _staying(piece: Piece, pieces: Sequence[Piece], settings: ClipSettings, random: np.random.Generator) -> Iterator[Gray]:
    """A piece that lies there, visited by one patch after the other."""
    for first in range(0, settings.stay, settings.visit):
        other = pieces[int(random.integers(len(pieces)))].image
        height, width = (round(random.uniform(*_SIDES) * settings.px) for _ in range(2))
        top, left = (int(random.integers(0, settings.px - side + 1)) for side in (height, width))
        patch = other[top : top + height, left : left + width]
        goal = tuple(int(random.integers(0, settings.px - side + 1)) for side in (height, width))
        ways = random.integers(0, 4, 2)
        for number in range(min(settings.visit, settings.stay - first)):
            inside = min(1.0, 3 * number / settings.visit), min(1.0, 3 * (settings.visit - 1 - number) / settings.visit)
            way = ways[int(inside[1] < inside[0])]
            yield _laid(piece.image, patch, _on_its_way(goal, patch.shape, int(way), min(inside), settings.px))


def _on_its_way(goal: tuple[int, ...], size: tuple[int, ...], way: int, inside: float, px: int) -> tuple[int, int]:
    """Row and column of a patch that is so far inside, from 0, just outside over one of four edges, to 1, at its goal."""
    axis, is_far = divmod(way, 2)
    outside = px if is_far else -size[axis]
    place = list(goal)
    place[axis] = round(outside + inside * (goal[axis] - outside))
    return place[0], place[1]


def _laid(image: Gray, patch: Gray, place: tuple[int, int]) -> Gray:
    """The image with as much of the patch as lies inside."""
    made = image.copy()
    (top, left), (height, width) = place, patch.shape
    rows, columns = slice(max(top, 0), max(top + height, 0)), slice(max(left, 0), max(left + width, 0))
    seen = made[rows, columns]
    seen[...] = patch[max(-top, 0) :, max(-left, 0) :][: seen.shape[0], : seen.shape[1]]
    return made


def _coming(piece: Piece, following: Piece, settings: ClipSettings, random: np.random.Generator) -> Iterator[tuple[Gray, float]]:
    """One piece takes the other's place; each frame, and what share of it shows the new one."""
    arrives = _arrivals(settings.px, random)
    for number in range(1, settings.come + 1):
        is_new: Mask = arrives <= number / settings.come
        yield np.where(is_new, following.image, piece.image), float(is_new.mean())


def _arrivals(px: int, random: np.random.Generator) -> NDArray[np.float64]:
    """(px, px): when each pixel is the next piece's, from 0 to 1."""
    kind, (rows, columns) = int(random.integers(3)), np.mgrid[0:px, 0:px] / px
    if kind == 0:
        along = (rows, columns)[int(random.integers(2))]
        return np.asarray(1 - along if random.integers(2) else along)
    if kind == 1:
        away = np.hypot(rows - random.random(), columns - random.random())
        return np.asarray((away / away.max()) ** 2)
    turns = random.permutation(_CELLS * _CELLS).reshape(_CELLS, _CELLS) / (_CELLS * _CELLS)
    return np.asarray(turns[(rows * _CELLS).astype(int), (columns * _CELLS).astype(int)])
