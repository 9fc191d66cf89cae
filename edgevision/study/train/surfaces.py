"""Pictures of steel and of magnetic tiles, cut into crops with the name of what is wrong. In: the folder of such a collection. Out: gray
crops (side, side) and labels. Keeps the pictures in memory.

What is learnt from and what is judged never share a part: a magnetic tile (`study/sets/magnetic_tile.py` tells which pictures show one).
NEU-DET does not tell which pictures were cut from one strip: the last of each class's numbers are judged, so that neighbours stay together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError
from edgevision.study.parts.surface_defects import SHAPES
from edgevision.study.sets import Case, magnetic_tile, neu_det

Gray = NDArray[np.uint8]
TEST_SHARE = 0.3
JUDGED_CROPS = 5  # of each judged picture
LEAST_PX = 24  # of a defect's mask in a crop, for the crop to be called by its name
SHOWN = 0.93  # of what is learnt: crops that show their picture's defect
DRAWN = 0.5  # of what is learnt, where good pictures are there to draw defects on
RIM = 0.15  # of a crop's side: what is aimed at does not lie there, where the picture allows


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture (H, W), its class, which part it shows, where its defect lies; `clean`: what a crop beside the defect is called."""

    image: Gray
    label: int
    part: str
    mask: NDArray[np.bool_]
    clean: int


@dataclass(frozen=True, slots=True)
class Surface:
    """A collection: its classes by name, the side of a crop, the pictures to learn from and those to judge.

    `mean`, `std`: of the gray values learnt from, 0 to 1.
    """

    name: str
    labels: tuple[str, ...]
    crop_px: int
    learnt: tuple[Picture, ...]
    judged: tuple[Picture, ...]
    mean: float
    std: float


def load_surface(folder: Path, without: str | None = None) -> Surface:
    """The collection in `folder`, told by what lies in it; all of it but one class. Raises InputError where it is neither."""
    for name, read in READERS.items():
        if (pictures := list(read(folder))) and len({p.label for p in pictures}) > 1:
            parts = _judged_parts(pictures) if name == "magnetic-tile" else _last_of_each(pictures)
            learnt = tuple(p for p in pictures if p.part not in parts)
            judged = tuple(p for p in pictures if p.part in parts)
            values = np.concatenate([p.image.ravel() for p in learnt]) / np.float32(255)
            mean, std = round(float(values.mean()), 4), round(float(values.std()), 4)
            found = Surface(name, LABELS[name], CROP_PX[name], learnt, judged, mean, std)
            return found if without is None else _without(found, without)
    raise InputError(f"{folder}: holds neither NEU-DET (images/CLASS_NUMBER.jpg) nor the magnetic tiles (MT_CLASS/expN_num_NUMBER.jpg)")


def _without(surface: Surface, label: str) -> Surface:
    """All but one class. Raises InputError for one that is not there, or that names what is whole."""
    if label not in surface.labels or any(p.clean != p.label and p.clean == surface.labels.index(label) for p in surface.learnt):
        raise InputError(f"--without {label}: it must be one of the defects {', '.join(surface.labels)}")
    left = surface.labels.index(label)

    def kept(pictures: Sequence[Picture]) -> tuple[Picture, ...]:
        return tuple(
            replace(p, label=p.label - (p.label > left), clean=p.clean - (p.clean > left)) for p in pictures if p.label != left
        )  # fmt: skip

    others = tuple(one for one in surface.labels if one != label)
    return replace(surface, labels=others, learnt=kept(surface.learnt), judged=kept(surface.judged))


def _neu(folder: Path) -> Iterator[Picture]:
    for case in neu_det.read(folder):
        image, label = _read(case.picture), LABELS["neu-det"].index(case.picture.stem.rpartition("_")[0])
        yield Picture(image, label, _numbered(case.name), _boxes(case, image), label)


def _numbered(name: str) -> str:
    """The picture's name, so that names sort by number."""
    label, _, number = name.rpartition("_")
    return f"{label}-{int(number):04d}"


def _boxes(case: Case, image: Gray) -> NDArray[np.bool_]:
    """Where the defects' boxes lie; the whole picture where there are none."""
    mask = np.zeros(image.shape, np.bool_)
    for _, (x1, y1, x2, y2) in case.boxes or ():
        mask[y1 + 1 : y2, x1 + 1 : x2] = True  # without its first row and column: so the published figures were judged
    return mask if mask.any() else ~mask


def _tiles(folder: Path) -> Iterator[Picture]:
    for case in magnetic_tile.read(folder):
        image, label = _read(case.picture), LABELS["magnetic-tile"].index(magnetic_tile.class_of(case))
        drawn = case.true_mask()
        mask = np.zeros(image.shape, np.bool_) if drawn is None else drawn
        if mask.any() or label == 0:
            yield Picture(image, label, case.group, mask, 0)


def _read(path: Path) -> Gray:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise InputError(f"{path}: cannot be read as a picture; delete it or copy it anew")
    return np.asarray(image, np.uint8)


READERS: MappingProxyType[str, Callable[[Path], Iterator[Picture]]] = MappingProxyType({"neu-det": _neu, "magnetic-tile": _tiles})
LABELS = MappingProxyType({"neu-det": neu_det.CLASSES, "magnetic-tile": magnetic_tile.CLASSES})
CROP_PX = MappingProxyType({"neu-det": 176, "magnetic-tile": 128})
SHAPE_OF = MappingProxyType({"Blowhole": "pit", "Break": "bite", "Crack": "crack", "Fray": "bare", "Uneven": "patch"})
"""What a class of the magnetic tiles looks like when it is drawn."""


def _last_of_each(pictures: Sequence[Picture]) -> set[str]:
    """The parts with the highest numbers of each class."""
    parts: set[str] = set()
    for label in {p.label for p in pictures}:
        names = sorted({p.part for p in pictures if p.label == label})
        parts.update(names[len(names) - round(TEST_SHARE * len(names)) :])
    return parts


def _judged_parts(pictures: Sequence[Picture]) -> set[str]:
    """Whole tiles, drawn once and for all, until each class has its share; the rarest class first."""
    rng = np.random.default_rng(0)
    count = {label: sum(p.label == label for p in pictures) for label in {p.label for p in pictures}}
    parts: set[str] = set()
    for label in sorted(count, key=lambda label: (count[label], label)):
        names = sorted({p.part for p in pictures if p.label == label})
        for name in rng.permutation(names):
            if sum(p.label == label and p.part in parts for p in pictures) >= TEST_SHARE * count[label]:
                break
            parts.add(str(name))
    return parts


def crop(picture: Picture, side: int, rng: np.random.Generator, *, wants_defect: bool = True) -> tuple[Gray, int]:
    """A square of the picture, where it shows its defect if that is asked for, or anywhere; and the label of what it shows."""
    image, mask = _large_enough(picture, side)
    places = np.flatnonzero(mask) if wants_defect else np.zeros(0, np.intp)
    aimed = divmod(int(rng.choice(places)), image.shape[1]) if places.size else None
    top, left = (_begin(size, side, None if aimed is None else aimed[axis], rng) for axis, size in enumerate(image.shape))
    is_shown = int(mask[top : top + side, left : left + side].sum()) >= LEAST_PX
    return image[top : top + side, left : left + side], picture.label if is_shown else picture.clean


def _begin(size: int, side: int, aimed: int | None, rng: np.random.Generator) -> int:
    """Where a crop begins, anywhere or so that the place aimed at lies well inside."""
    if aimed is None:
        return int(rng.integers(0, size - side + 1))
    return int(np.clip(aimed - round(rng.uniform(RIM, 1 - RIM) * side), 0, size - side))


def _large_enough(picture: Picture, side: int) -> tuple[Gray, NDArray[np.bool_]]:
    """The picture, mirrored on beyond its ends where it is smaller than a crop."""
    rows, columns = (max(0, side - size) for size in picture.image.shape)
    if not rows and not columns:
        return picture.image, picture.mask
    room = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))
    return np.pad(picture.image, room, mode="reflect"), np.pad(picture.mask, room)


def judged_crops(surface: Surface, px: int, *, each: int = JUDGED_CROPS) -> tuple[Gray, NDArray[np.int64]]:
    """The crops that every method is judged on, (n, px, px), and their labels: the same for all, whatever was trained."""
    crops, labels = [], []
    for number, picture in enumerate(surface.judged):
        rng = np.random.default_rng((1, number))
        for _ in range(each):
            image, label = crop(picture, surface.crop_px, rng)
            crops.append(resized(image, px))
            labels.append(label)
    return np.stack(crops), np.array(labels, np.int64)


def learnt_batch(surface: Surface, px: int, size: int, rng: np.random.Generator) -> tuple[Gray, NDArray[np.int64]]:
    """`size` random crops (size, px, px), the classes equally often, mirrored, turned, lighter or darker, and their labels.

    Where some pictures are good, half of the defects are drawn on those: a few tiles of a kind would be learnt by heart.
    """
    by_label = [[p for p in surface.learnt if p.label == label] for label in sorted({p.label for p in surface.learnt})]
    good = [p for p in surface.learnt if surface.labels[p.label] == magnetic_tile.FREE]
    crops, labels = [], []
    for _ in range(size):
        pictures = by_label[int(rng.integers(len(by_label)))]
        picture = pictures[int(rng.integers(len(pictures)))]
        shape = SHAPE_OF.get(surface.labels[picture.label])
        if good and shape is not None and rng.random() < DRAWN:
            image, is_shown = _drawn(good[int(rng.integers(len(good)))], surface.crop_px, shape, rng)
            label = picture.label if is_shown else picture.clean
        else:
            image, label = crop(picture, surface.crop_px, rng, wants_defect=rng.random() < SHOWN)
        turned = np.rot90(image[:, :: -1 if rng.integers(2) else 1], int(rng.integers(4)))
        lit = turned.astype(np.float32) * rng.uniform(0.85, 1.15) + rng.uniform(-12, 12)
        crops.append(resized(np.clip(lit, 0, 255).astype(np.uint8), px))
        labels.append(label)
    return np.stack(crops), np.array(labels, np.int64)


def _drawn(good: Picture, side: int, shape: str, rng: np.random.Generator) -> tuple[Gray, bool]:
    """A crop of a good picture with a defect of that shape drawn on it; whether enough of it shows."""
    lightness = crop(good, side, rng)[0].astype(np.float32)
    shown = SHAPES[shape](lightness, np.ones(lightness.shape, np.bool_), rng, True)
    return np.clip(np.rint(lightness), 0, 255).astype(np.uint8), int(shown.sum()) >= LEAST_PX


def resized(image: Gray, px: int) -> Gray:
    """The crop as the network takes it."""
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (px, px), interpolation=cv2.INTER_LINEAR), np.uint8)
