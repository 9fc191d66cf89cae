"""Parts in a fixture that nobody photographed, each beside its template: whole, broken, or gone. In: a random generator. Out: Samples.

The template shows the part as it should be; the picture shows it again, a little out of place, in another light, perhaps under a shadow.
Marked is where what the template shows is not there any more: the whole part, a piece of it, something that was on it, or what another
thing now covers. Light, shadow, noise and a shift of a few pixels are not marked. Keeps nothing: the same generator state gives the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.study.parts.surface import grain

__all__ = ["FAULTS", "LABELS", "Fault", "Sample", "SeriesSettings", "make", "pictures", "series"]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Fault = Literal["none", "absent", "broken", "feature", "covered", "split"]
LABELS = ("gone",)
FAULTS: tuple[Fault, ...] = ("none", "absent", "broken", "feature", "covered", "split")
CHANCES = (0.3, 0.15, 0.25, 0.12, 0.1, 0.08)
SEEN_LEVELS = 9.0  # by which the picture must differ, in even light, for a place to count as gone


@dataclass(frozen=True, slots=True)
class Sample:
    """`image` and `template` (H, W, 3) uint8 BGR; `marks` (H, W) uint8: 1 where what the template shows is gone."""

    image: NDArray[np.uint8]
    template: NDArray[np.uint8]
    marks: NDArray[np.uint8]
    fault: Fault


@dataclass(frozen=True, slots=True)
class SeriesSettings:
    """A run of parts through one station."""

    size_px: tuple[int, int] = (360, 480)
    light: float = 0.5  # how far it strays: 1 as in training
    faults: tuple[Fault, ...] = (
        "none", "none", "none", "absent", "none", "none", "broken", "none", "none", "none", "feature", "none",
        "none", "covered", "none", "none", "absent", "none", "none", "broken", "none", "none", "split", "none",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Station:
    """The fixture without a part (H, W) and the part on it (H, W), in even light; where the part lies and where its features do."""

    fixture: Floats
    part: Floats
    outline: Bools
    features: tuple[Bools, ...]
    tint: Floats


def make(rng: np.random.Generator, size_px: tuple[int, int] = (208, 208), fault: Fault | None = None) -> Sample:
    """One picture of (height, width) of any station beside its template; `fault` left out: any, often none."""
    station = random_station(rng, size_px)
    chosen = FAULTS[int(rng.choice(len(FAULTS), p=CHANCES))] if fault is None else fault
    return photographed_pair(station, chosen, rng, shown(station.part, station.tint, rng, strength=0.2))


def series(rng: np.random.Generator, settings: SeriesSettings) -> Iterator[Sample]:
    """The parts of one station, one after the other, all beside one template."""
    station = random_station(rng, settings.size_px)
    template = shown(station.part, station.tint, rng, strength=0.0)
    for fault in settings.faults:
        yield photographed_pair(station, fault, rng, template, settings.light)


def pictures(rng: np.random.Generator) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """What `edgevision init --recipe presence` draws: template.png, and the parts in sample/; before the last a hand is in the way."""
    count = 0
    for count, sample in enumerate(series(rng, SeriesSettings())):
        if count == 0:
            yield "template.png", sample.template
        yield f"sample/{count:02d}-{'good' if sample.fault == 'none' else sample.fault}.png", sample.image
    hand = 120 + 60 * grain(rng, SeriesSettings().size_px, 24, 24)
    yield f"sample/{count + 1:02d}-blocked-view.png", shown(hand, np.array([0.6, 0.8, 1.0], np.float32), rng, strength=0.0)


def photographed_pair(
    station: Station, fault: Fault, rng: np.random.Generator, template: NDArray[np.uint8], strength: float = 1.0
) -> Sample:
    """The station with that fault, seen again in another light, beside its template."""
    scene, touched = _with_fault(station, fault, rng)
    pose = _pose(rng, scene.shape)
    moved, whole = (cv2.warpAffine(one, pose, scene.shape[::-1], borderMode=cv2.BORDER_REPLICATE) for one in (scene, station.part))
    place = cv2.warpAffine(touched.astype(np.float32), pose, scene.shape[::-1]) > 0.5
    differs = cv2.GaussianBlur(np.abs(moved - whole), (0, 0), 1.0) > SEEN_LEVELS
    marks = cv2.morphologyEx((place & differs).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return Sample(shown(moved, station.tint, rng, strength), template, marks, fault)


def random_station(rng: np.random.Generator, size_px: tuple[int, int]) -> Station:
    """Any fixture with any part on it."""
    fixture = _fixture(rng, size_px)
    outline = _outline(rng, size_px)
    level = float(np.clip(np.median(fixture) + rng.choice((-1, 1)) * rng.uniform(25, 110), 20, 235))
    part = fixture.copy()
    body = level * (1 + np.float32(rng.uniform(0.01, 0.08)) * grain(rng, size_px, rng.uniform(1, 4), rng.uniform(1, 30)))
    height = cv2.distanceTransform(outline.astype(np.uint8), cv2.DIST_L2, 3)
    edge = np.exp(-height / rng.uniform(1.5, 6)) * rng.uniform(-0.35, 0.35)  # a rounded edge catches the light, or falls into the dark
    part[outline] = (body * (1 + edge))[outline]
    features = tuple(_feature(part, outline, rng) for _ in range(int(rng.integers(1, 7))))
    tint = np.array([rng.uniform(0.8, 1.1), rng.uniform(0.9, 1.05), 1.0], np.float32)
    return Station(fixture, cv2.GaussianBlur(part, (0, 0), 0.7), outline, features, tint)


def shown(scene: Floats, tint: Floats, rng: np.random.Generator, strength: float) -> NDArray[np.uint8]:
    """The scene through a camera, (H, W, 3) uint8 BGR; `strength` 0: even light, 1: lamp, slope and shadow as they come."""
    height, width = scene.shape
    gain = np.exp(strength * rng.uniform(-0.45, 0.3))
    rows, columns = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None], np.linspace(-0.5, 0.5, width, dtype=np.float32)[None]
    light = gain * (1 + strength * (np.float32(rng.uniform(-0.35, 0.35)) * rows + np.float32(rng.uniform(-0.35, 0.35)) * columns))
    lit = scene * light
    if rng.random() < 0.3 * strength:
        lit = lit * _shadow(rng, (height, width))
    if (blur := rng.uniform(0, 1.1)) > 0.4:
        lit = cv2.GaussianBlur(lit, (0, 0), blur)
    lit = lit + strength * np.float32(rng.uniform(-10, 10))
    noise = rng.standard_normal((height, width, 1), np.float32) * np.float32(rng.uniform(0.5, 3.0))
    return np.asarray(np.clip(np.rint(lit[..., None] * tint + noise), 0, 255), np.uint8)


def _with_fault(station: Station, fault: Fault, rng: np.random.Generator) -> tuple[Floats, Bools]:
    """The scene with the fault, in even light, and where it was touched."""
    scene = station.part.copy()
    if fault == "absent":
        return station.fixture.copy(), station.outline
    if fault == "broken":
        touched = _piece(station.outline, rng)
        scene[touched] = station.fixture[touched]
        return cv2.GaussianBlur(scene, (0, 0), 0.6), touched
    if fault == "feature" and station.features:
        touched = station.features[int(rng.integers(len(station.features)))]
        around = cv2.dilate(touched.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & ~touched
        scene[touched] = np.median(scene[around]) * (1 + 0.02 * rng.standard_normal(int(touched.sum()), np.float32))
        return cv2.GaussianBlur(scene, (0, 0), 0.6), cv2.dilate(touched.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    if fault == "covered":
        touched = _lump(scene.shape, _place(station.outline, rng), rng.uniform(0.06, 0.25) * min(scene.shape), rng)
        level = float(rng.uniform(15, 240))
        scene[touched] = level * (1 + 0.05 * grain(rng, (scene.shape[0], scene.shape[1]), 2, 2))[touched]
        return cv2.GaussianBlur(scene, (0, 0), 0.6), touched
    if fault == "split":  # one side of a crack through the part has slid away
        side = _side(scene.shape, _place(station.outline, rng), rng) & station.outline
        slide = np.array([[1, 0, rng.choice((-1, 1)) * rng.uniform(6, 14)], [0, 1, rng.choice((-1, 1)) * rng.uniform(6, 14)]])
        moved, here = (cv2.warpAffine(one, slide, scene.shape[::-1]) for one in (scene, side.astype(np.float32)))
        scene[side] = station.fixture[side]
        scene[here > 0.5] = moved[here > 0.5]
        return cv2.GaussianBlur(scene, (0, 0), 0.6), side | (here > 0.5)
    return scene, np.zeros(scene.shape, np.bool_)


def _fixture(rng: np.random.Generator, size_px: tuple[int, int]) -> Floats:
    """A plate with grooves and holes."""
    level = rng.uniform(30, 200)
    plate = level * (1 + np.float32(rng.uniform(0.01, 0.1)) * grain(rng, size_px, rng.uniform(1, 3), rng.uniform(1, 60)))
    for _ in range(int(rng.integers(0, 8))):
        y, x = int(rng.integers(size_px[0])), int(rng.integers(size_px[1]))
        tone = float(np.clip(level * rng.uniform(0.3, 1.7), 5, 245))
        if rng.random() < 0.5:
            cv2.circle(plate, (x, y), int(rng.integers(2, 14)), tone, -1, cv2.LINE_AA)
        else:
            size = rng.integers(4, max(5, min(size_px) // 2), 2)
            cv2.rectangle(plate, (x, y), (x + int(size[0]), y + int(size[1])), tone, -1 if rng.random() < 0.5 else 2, cv2.LINE_AA)
    return np.asarray(plate, np.float32)


def _outline(rng: np.random.Generator, size_px: tuple[int, int]) -> Bools:
    """Where the part lies: a few plain shapes joined, somewhere near the middle."""
    height, width = size_px
    drawn = np.zeros(size_px, np.uint8)
    middle = np.array([width, height]) * rng.uniform(0.4, 0.6, 2)
    for number in range(int(rng.integers(1, 4))):
        at = middle + (number > 0) * rng.uniform(-0.18, 0.18, 2) * (width, height)
        half = rng.uniform(0.08, 0.22, 2) * (width, height)
        kind, turn = rng.integers(3), float(rng.uniform(0, 180))
        if kind == 0:
            cv2.ellipse(drawn, (at.tolist(), (2 * half).tolist(), turn), 1, -1)
        elif kind == 1:
            cv2.fillPoly(drawn, [np.rint(cv2.boxPoints((at.tolist(), (2 * half).tolist(), turn))).astype(np.int32)], 1)
        else:
            angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(5, 9))))
            points = at + np.stack([np.cos(angles), np.sin(angles)], axis=1) * half * rng.uniform(0.7, 1.3, (len(angles), 1))
            cv2.fillPoly(drawn, [np.rint(points).astype(np.int32)], 1)
    if not drawn.any():
        drawn[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = 1
    return drawn.astype(np.bool_)


def _feature(part: Floats, outline: Bools, rng: np.random.Generator) -> Bools:
    """Draw a hole, a slot, a screw's head or print on the part; gives where."""
    y, x = _place(outline, rng)
    drawn = np.zeros(part.shape, np.uint8)
    reach = float(rng.uniform(0.02, 0.07)) * min(part.shape) + 2
    kind = rng.integers(3)
    if kind == 0:
        cv2.circle(drawn, (x, y), max(2, int(reach)), 1, -1)
    elif kind == 1:
        cv2.ellipse(drawn, ((float(x), float(y)), (3.5 * reach, 1.4 * reach), float(rng.uniform(0, 180))), 1, -1)
    else:
        text = "".join(rng.choice(list("ABCEFHKLMNPRTX0123456789"), int(rng.integers(2, 5))))
        cv2.putText(drawn, text, (x - int(2 * reach), y), cv2.FONT_HERSHEY_SIMPLEX, reach / 12 + 0.25, 1, max(1, int(reach / 5)))
    there = drawn.astype(np.bool_) & outline
    part[there] = float(np.clip(np.median(part[outline]) * rng.uniform(0.2, 1.7), 5, 245))
    return np.asarray(cv2.dilate(there.astype(np.uint8), np.ones((3, 3), np.uint8)), np.bool_) & outline


def _piece(outline: Bools, rng: np.random.Generator) -> Bools:
    """A piece of the part with some of its edge: what has broken off."""
    rim = outline & (cv2.erode(outline.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) == 0)
    radius = max(4.0, rng.uniform(0.05, 0.3) * float(np.sqrt(outline.sum())))
    return _lump(outline.shape, _place(rim, rng), radius, rng) & outline


def _side(shape: tuple[int, ...], at: tuple[int, int], rng: np.random.Generator) -> Bools:
    """All on one side of a ragged line through (row, column)."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    off = (columns - at[1]) * np.cos(turn) + (rows - at[0]) * np.sin(turn)
    return np.asarray(off + 3 * grain(rng, (shape[0], shape[1]), 8, 8) > 0)


def _lump(shape: tuple[int, ...], centre: tuple[int, int], radius: float, rng: np.random.Generator) -> Bools:
    """An irregular shape about (row, column)."""
    angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    radii = np.full(36, radius)
    for wave in range(1, 6):
        radii *= 1 + rng.normal(0, 0.2 / np.sqrt(wave)) * np.cos(wave * angles + rng.uniform(0, 6.3))
    points = np.stack([centre[1] + radii * np.cos(angles), centre[0] + radii * np.sin(angles) * rng.uniform(0.6, 1)], axis=1)
    drawn = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(drawn, [np.rint(points).astype(np.int32)], 1)
    return drawn.astype(np.bool_)


def _place(mask: Bools, rng: np.random.Generator) -> tuple[int, int]:
    """A random pixel of the mask, (row, column)."""
    places = np.flatnonzero(mask)
    row, column = divmod(int(places[int(rng.integers(places.size))]), mask.shape[1])
    return row, column


def _pose(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A shift of up to about 2 px and a turn of up to half a degree about the middle."""
    turn = cv2.getRotationMatrix2D((shape[1] / 2, shape[0] / 2), float(rng.uniform(-0.5, 0.5)), 1.0)
    turn[:, 2] += rng.uniform(-2, 2, 2)
    return np.asarray(turn, np.float64)


def _shadow(rng: np.random.Generator, size_px: tuple[int, int]) -> Floats:
    """A soft shadow over one side."""
    side = _side(size_px, (int(rng.integers(size_px[0])), int(rng.integers(size_px[1]))), rng).astype(np.float32)
    return np.asarray(1 - np.float32(rng.uniform(0.1, 0.45)) * cv2.GaussianBlur(side, (0, 0), float(rng.uniform(3, 25))), np.float32)
