"""Photographed surfaces as lessons. In: the Cases of a set. Out: lessons, views of them, defects of one picture set into another. Keeps
the pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.networks.reach import REACH_STRIDE
from edgevision.records import Image
from edgevision.study.parts.surface_defects import draw_defect
from edgevision.study.sets import Case, magnetic_tile
from edgevision.study.train.recipes.lessons import Lesson, view_of
from edgevision.study.train.recipes.regrind import reground
from edgevision.study.train.recipes.variation import REPEATED, Bytes, Variation

LONGEST_PX = 320  # larger pictures are shown to the network at a half, a third, ... of their size
SET_IN, SET_IN_BESIDE_DRAWN = 0.5, 0.35  # of the views: with another picture's defect in it
SET_IN_SHARE = 0.4  # of a picture, at most: larger defects cannot be set into another
MARGIN_PX = 6
LEAST_LEVELS = 2.0
LABELS = MappingProxyType({"magnetic_tile": magnetic_tile.CLASSES[1:], "cookie": ("broken",)})
DRAWN = MappingProxyType({"magnetic_tile": {"pit": 1, "fray": 2, "crack": 3, "stain": 4, "patch": 5}})  # and as what
DRAWN_SHARE = 0.3  # of the views, where defects are drawn
REGROUND = MappingProxyType({"magnetic_tile": 5})  # where a side may be ground otherwise, and as what that is marked
REGROUND_SHARE = 0.15  # of the views, there; and drawn ones are fewer by as many


def labels_of(layout: str) -> tuple[str, ...]:
    """What a network that learns from this layout tells apart."""
    return tuple(name.lower() for name in LABELS.get(layout, ("defect",)))


def shrink_of(cases: Sequence[Case]) -> int:
    """By how much the pictures of a set are made smaller for the network: all alike, so that the longest side of all fits."""
    return max(-(-int(max(case.image().shape[:2])) // LONGEST_PX) for case in cases)


def coloured(image: Image) -> Bytes:
    """Three channels, 8 bits."""
    return np.asarray(np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image, np.uint8)


def lesson_of(case: Case, layout: str, shrink: int, stride: int = REACH_STRIDE) -> Lesson:
    """The Case's picture and what is wrong with it, made smaller, for a network of this stride. Raises BadFrame for what cannot be read."""
    image = coloured(case.image())
    mask = case.true_mask()
    marks = np.zeros(image.shape[:2], np.uint8) if mask is None else mask.astype(np.uint8)
    if layout == "magnetic_tile" and case.is_bad:
        marks *= np.uint8(magnetic_tile.CLASSES.index(magnetic_tile.class_of(case)))
    if shrink > 1:
        size = (image.shape[1] // shrink, image.shape[0] // shrink)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        marks = np.asarray(cv2.resize(marks, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    return filled_up(Lesson(image, marks, case.is_bad, mask is not None or not case.is_bad), stride)


def filled_up(lesson: Lesson, stride: int) -> Lesson:
    """As the engine gives a frame to a network: its last row and column repeated until a multiple of the network's stride."""
    room = tuple(-side % stride for side in lesson.marks.shape)
    image = np.asarray(cv2.copyMakeBorder(lesson.image, 0, room[0], 0, room[1], cv2.BORDER_REPLICATE), np.uint8)
    marks = np.pad(lesson.marks, ((0, room[0]), (0, room[1])), constant_values=REPEATED)
    return Lesson(image, marks, lesson.is_bad, lesson.is_marked)


class PictureLessons:
    """Views of photographed surfaces: as many of good ones as of bad ones, and of these each label about equally often."""

    def __init__(
        self,
        lessons: Sequence[Lesson],
        px: int,
        variation: Variation,
        drawn: Mapping[str, int] | None = None,
        tries: int = 1,
        sides: int = 0,
    ) -> None:
        """`tries`: places looked at before a defect is set into another picture, where the surface is most like the one it comes from.

        `sides`: as what a side is marked that is ground as another picture is; 0: there are none.
        """
        self._px, self._variation, self._drawn, self._tries, self._sides = px, variation, drawn or {}, tries, sides
        good = [lesson for lesson in lessons if not lesson.is_bad]
        labels = sorted({int(value) for lesson in lessons for value in np.unique(lesson.marks) if 0 < value < REPEATED})
        self._kinds = [[lesson for lesson in lessons if (lesson.marks == label).any()] for label in labels]
        self._kinds += [good] * len(labels) if good else []
        self._all, self._good = list(lessons), good
        self._small = [piece for lesson in lessons for piece in _pieces(lesson)]

    def draw(self, rng: np.random.Generator, count: int) -> list[Lesson]:
        """So many views, some with a defect of another picture set in."""
        return [self._one(rng) for _ in range(count)]

    def _one(self, rng: np.random.Generator) -> Lesson:
        way = rng.random() if self._drawn or self._sides else 1.0
        if self._sides and self._good and way < REGROUND_SHARE:
            return view_of(self._with_side(rng), self._px, rng, self._variation)
        if self._drawn and way < DRAWN_SHARE:
            under = self._all[int(rng.integers(len(self._all)))]
            lesson = drawn_on(under.image, rng, self._drawn)
            marks = np.where((lesson.marks > 0) & (under.marks != REPEATED), lesson.marks, under.marks)
            return view_of(Lesson(lesson.image, marks, True), self._px, rng, self._variation)
        kind = self._kinds[int(rng.integers(len(self._kinds)))]
        lesson = kind[int(rng.integers(len(kind)))]
        if self._small and rng.random() < (SET_IN_BESIDE_DRAWN if self._drawn else SET_IN):
            lesson = set_in(lesson, self._small[int(rng.integers(len(self._small)))], rng, self._tries)
        return view_of(lesson, self._px, rng, self._variation)

    def _with_side(self, rng: np.random.Generator) -> Lesson:
        """A picture, twice in three times a good one, with a side ground as a good picture is."""
        among = self._good if rng.random() < 2 / 3 else self._all
        under, other = among[int(rng.integers(len(among)))], self._good[int(rng.integers(len(self._good)))]
        rows, columns = _filmed(under)
        shown, side = reground(under.image[:rows, :columns], other.image[: _filmed(other)[0], : _filmed(other)[1]], rng)
        image, marks = under.image.copy(), under.marks.copy()
        image[:rows, :columns] = shown
        image[rows:], image[:, columns:] = image[rows - 1 : rows], image[:, columns - 1 : columns]
        marks[:rows, :columns][side] = self._sides
        return Lesson(image, marks, True)


def _filmed(lesson: Lesson) -> tuple[int, int]:
    """How many rows and columns a picture has without those that are repeated."""
    known = lesson.marks != REPEATED
    return int(known.any(axis=1).sum()), int(known.any(axis=0).sum())


def drawn_on(image: Bytes, rng: np.random.Generator, labels: Mapping[str, int]) -> Lesson:
    """The picture (H, W, 3) with a defect or two drawn on it, as much lighter or darker as on a generated surface.

    `labels`: which kinds, and as what each is marked.
    """
    gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.float32) + 4
    part, names = _part(gray), tuple(labels)
    after, marks = gray.copy(), np.zeros(gray.shape, np.uint8)
    for _ in range(1 + int(rng.integers(2))):
        name = names[int(rng.integers(len(names)))]
        own = np.zeros(gray.shape, np.uint8)
        draw_defect(after, part, own, rng, name)
        marks[own > 0] = labels[name]
    ratio = cv2.GaussianBlur(after / gray, (0, 0), float(rng.uniform(0.3, 1.0)))
    changed = np.clip(image * ratio[..., None], 0, 255).astype(np.uint8)
    return Lesson(changed, marks, True)


@dataclass(frozen=True, slots=True)
class Piece:
    """A defect cut out. `ratio` (h, w, 3): how much lighter or darker than the colour beside it, `around` (3,); `own` (h, w) marks."""

    ratio: NDArray[np.float32]
    own: Bytes
    around: NDArray[np.float32]


def _unlike(patch: Bytes, colour: NDArray[np.float32]) -> float:
    """By how much a patch's colours differ from this one, as ratios; a patch of more than one surface differs, too."""
    ratios = np.log((patch.reshape(-1, 3) + LEAST_LEVELS) / (colour + LEAST_LEVELS))
    return float(np.abs(ratios).mean())


def _part(gray: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where the part lies, if it stands out from what is around it; else the whole picture."""
    soft = np.clip(cv2.GaussianBlur(gray, (0, 0), 5), 0, 255).astype(np.uint8)
    _, split = cv2.threshold(soft, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    inside, outside = soft[split > 0], soft[split == 0]
    stands_out = inside.size > 0.15 * soft.size and outside.size > 0.1 * soft.size and inside.mean() > 2.2 * outside.mean() + 10
    return np.asarray(split > 0) if stands_out else np.ones(gray.shape, np.bool_)


def _pieces(lesson: Lesson) -> list[Piece]:
    """The small defects of a picture."""
    pieces = []
    wrong = (lesson.marks > 0) & (lesson.marks < REPEATED)
    count, areas, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8))
    for number in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[number])
        if area < 6 or width * height > SET_IN_SHARE * lesson.marks.size:
            continue
        rows, columns = slice(max(0, y - MARGIN_PX), y + height + MARGIN_PX), slice(max(0, x - MARGIN_PX), x + width + MARGIN_PX)
        patch, own = lesson.image[rows, columns].astype(np.float32), areas[rows, columns] == number
        around = patch[~own & (lesson.marks[rows, columns] == 0)]
        if len(around) >= 8:
            usual = np.median(around, axis=0)
            ratio = np.clip((patch + LEAST_LEVELS) / (usual + LEAST_LEVELS), 0.1, 4).astype(np.float32)
            pieces.append(Piece(ratio, np.where(own, lesson.marks[rows, columns], 0).astype(np.uint8), usual.astype(np.float32)))
    return pieces


def set_in(lesson: Lesson, piece: Piece, rng: np.random.Generator, tries: int = 1) -> Lesson:
    """The picture with another's defect at a random place, mirrored at random, as much lighter or darker than what it lies on.

    Of `tries` places it is the one whose colour is nearest to that which the defect lay in: a defect of one kind of surface is not
    taught on another.
    """
    flip = tuple(slice(None, None, -1 if rng.integers(2) else 1) for _ in range(2))
    ratio, own = piece.ratio[flip], piece.own[flip]
    height, width = own.shape
    rows, columns = lesson.marks.shape[0] - height, lesson.marks.shape[1] - width
    if rows <= 0 or columns <= 0:
        return lesson
    corners = [(int(rng.integers(rows)), int(rng.integers(columns))) for _ in range(tries)]
    places = [(slice(y, y + height), slice(x, x + width)) for y, x in corners]
    place = min(places, key=lambda one: _unlike(lesson.image[one], piece.around)) if tries > 1 else places[0]
    image, marks = lesson.image.copy(), lesson.marks.copy()
    share = cv2.GaussianBlur((own > 0).astype(np.float32), (0, 0), 1.2)[..., None] * np.float32(rng.uniform(0.7, 1.15))
    image[place] = np.clip(image[place] * (1 + np.clip(1.6 * share, 0, 1) * (ratio - 1)), 0, 255).astype(np.uint8)
    marks[place] = np.where(own > 0, own, marks[place])
    return Lesson(image, marks, True)
