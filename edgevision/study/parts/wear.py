"""Pictures of a ball screw that nobody photographed, while it wears. In: a random generator. Out: pictures with the pitting marked.

Drawn unmarked is what such a screw shows besides: turns with their gloss, grinding marks, grease, flakes and specks in it, scratches along
the thread, light that fades; beside the track, where no ball wipes it off, thick grease with chips, lumps and dimples. Pitting is what
breaks out of the running track: dark, rough lumps, a little lit inside, that grow.
`make` gives any screw; `series` one screw over time. Keeps nothing: the same generator state gives the same pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.study.parts.surface import grain

__all__ = ["LABELS", "Sample", "Screw", "SeriesSettings", "make", "pictures", "random_screw", "series"]

Floats = NDArray[np.float32]
LABELS = ("pitting",)
BAD_SHARE = 0.75
FILLED_SHARE = 0.6  # of the screws: with thick grease beside the track
NEW_DARK = 0.3
FAULT_GAINS = (1.02, 1.0, 0.8)  # blue, green, red of a camera whose white balance has slipped


@dataclass(frozen=True, slots=True)
class Sample:
    """`image` (H, W, 3) uint8 BGR; `marks` (H, W) uint8: 1 where there is pitting. `is_fault`: the camera's white balance had slipped."""

    image: NDArray[np.uint8]
    marks: NDArray[np.uint8]
    is_fault: bool = False


@dataclass(frozen=True, slots=True)
class Screw:
    """One screw without pitting, in even light: `albedo` (H, W) lightness, `tint` (H, W, 3), `track` (H, W) where balls run, 0..1."""

    albedo: Floats
    tint: Floats
    track: Floats
    slope: float


@dataclass(frozen=True, slots=True)
class SeriesSettings:
    """One screw over time."""

    size_px: tuple[int, int] = (320, 640)
    pictures: int = 40
    onset: int = 20  # of the first pitting, counted from 0
    fault: int = 14  # of the picture with the wrong white balance; -1 for none
    growth: float = 1.16  # of the pitting's radius, from a picture to the next


def make(rng: np.random.Generator, size_px: tuple[int, int] = (208, 208), *, is_bad: bool | None = None) -> Sample:
    """One picture of (height, width) of any screw; `is_bad` left out: mostly with pitting."""
    screw = random_screw(rng, size_px)
    if rng.random() < FILLED_SHARE:
        screw = filled(screw, rng)
    shade, marks = np.ones(size_px, np.float32), np.zeros(size_px, np.uint8)
    if rng.random() < BAD_SHARE if is_bad is None else is_bad:
        for _ in range(1 + int(rng.random() < 0.4)):
            radius = float(np.exp(rng.uniform(np.log(1.8), np.log(26))))
            draw_pitting(shade, marks, _place(screw.track, rng), radius, rng)
    return Sample(photographed(screw, shade, rng), marks)


def series(rng: np.random.Generator, settings: SeriesSettings) -> Iterator[Sample]:
    """The pictures of one screw in order: whole, then pitting that begins as a speck and grows. One of them has a wrong white balance."""
    screw = random_screw(rng, settings.size_px, slope=-0.22)
    place, seed = _place(screw.track, rng, inner=0.2), int(rng.integers(2**31))
    grease, light = 0.0, 1.0
    for number in range(settings.pictures):
        shade, marks = np.ones(settings.size_px, np.float32), np.zeros(settings.size_px, np.uint8)
        if number >= settings.onset:
            radius = 3.2 * settings.growth ** (number - settings.onset)
            draw_pitting(shade, marks, place, min(radius, settings.size_px[0] / 9), np.random.default_rng(seed))
        grease += abs(float(rng.normal(0, 0.003)))
        light *= 1 + float(rng.normal(-0.002, 0.006))
        image = _aged(screw, shade, (grease, light), np.random.default_rng((seed, number)))
        is_fault = number == settings.fault
        gains = np.array(FAULT_GAINS if is_fault else (1, 1, 1), np.float32)
        yield Sample(np.clip(np.rint(image * gains), 0, 255).astype(np.uint8), marks, is_fault)


def pictures(rng: np.random.Generator) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """What `edgevision init --recipe wear` draws: a screw's first picture as reference.png, and then its life in sample/."""
    for number, drawn in enumerate(series(rng, SeriesSettings())):
        if number == 0:
            yield "reference.png", drawn.image
        yield f"sample/{number:03d}.png", drawn.image


def random_screw(rng: np.random.Generator, size_px: tuple[int, int], slope: float | None = None) -> Screw:
    """A piece of a screw: turns lie across the picture, `slope` up or down."""
    slope = float(rng.uniform(-0.35, 0.35)) if slope is None else slope
    height, width = size_px
    period = float(rng.uniform(0.24, 0.7) * 320)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    along = columns + slope * rows
    phase = ((rows - slope * columns) / period + rng.uniform(0, 1)).astype(np.float32)
    profile, is_track = _profile(rng)
    place = np.mod(phase, 1.0) * len(profile)
    albedo = _looked_up(profile, place)
    track = _looked_up(is_track, place)
    length = max(size_px) * rng.uniform(0.8, 2.0)
    albedo *= 1 + np.float32(rng.uniform(0.05, 0.35)) * np.cos(2 * np.pi * (along / length + rng.uniform())).astype(np.float32)
    albedo *= 1 + np.float32(rng.uniform(0.02, 0.09)) * _brushed(rng, size_px, slope)
    tint = np.array([rng.uniform(0.6, 0.95), rng.uniform(0.85, 0.97), 1.0], np.float32) * np.ones((*size_px, 1), np.float32)
    _grease(albedo, tint, rng, slope)
    _scratches(albedo, rng, slope)
    _specks(albedo, tint, rng)
    return Screw(albedo, tint, track, slope)


def filled(screw: Screw, rng: np.random.Generator) -> Screw:
    """The screw with thick grease beside its track. What lies in grease is dark and may look like pitting, but its edges are soft."""
    shape = (screw.track.shape[0], screw.track.shape[1])
    beside = cv2.GaussianBlur(1 - screw.track, (0, 0), float(rng.uniform(1, 4)))
    thick = np.asarray(beside * np.clip(rng.uniform(0.3, 1.2) + 0.5 * grain(rng, shape, 12, 40), 0, 1) * rng.uniform(0.5, 1), np.float32)
    smooth = cv2.GaussianBlur(screw.albedo, (0, 0), float(rng.uniform(3, 9))) * np.float32(rng.uniform(0.6, 1.3))
    smooth *= 1 + np.float32(rng.uniform(0, 0.15)) * grain(rng, shape, rng.uniform(4, 20), rng.uniform(6, 50))
    albedo = screw.albedo + thick * (smooth - screw.albedo)
    tint = screw.tint * (1 - thick[..., None] * np.array([rng.uniform(0.1, 0.55), rng.uniform(0, 0.18), 0], np.float32))
    places = np.argwhere(beside > 0.5)
    for _ in range(int(rng.integers(0, 13)) if len(places) else 0):
        row, column = places[int(rng.integers(len(places)))]
        _lump(albedo, tint, (float(row), float(column)), rng)
    return Screw(np.asarray(albedo, np.float32), np.asarray(tint, np.float32), screw.track, screw.slope)


def draw_pitting(shade: Floats, marks: NDArray[np.uint8], centre: tuple[int, int], radius: float, rng: np.random.Generator) -> None:
    """A rough dark lump of about `radius` pixels, drawn into `shade` (what the light is multiplied by) and `marks`."""
    shape = (shade.shape[0], shade.shape[1])
    lump = np.zeros(shape, np.float32)
    for number in range(1 + int(rng.integers(5))):
        turn, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 1.0) * radius * (number > 0)
        at = (centre[0] + reach * np.sin(turn) * 0.8, centre[1] + reach * np.cos(turn))
        np.maximum(lump, _rough(shape, at, radius * rng.uniform(0.45, 1.0), rng), out=lump)
    depth = np.float32(rng.uniform(NEW_DARK, 0.72))
    texture = 1 + np.float32(rng.uniform(0.1, 0.5)) * grain(rng, shape, rng.uniform(1.5, 4), rng.uniform(1.5, 4))
    inside = 1 - depth * lump * np.clip(texture, 0.2, 1.6)
    if radius > 5 and rng.random() < 0.8:  # broken metal catches the light
        glints = np.maximum(grain(rng, shape, 2.5, 2.5) - rng.uniform(0.8, 2.0), 0) * lump
        inside += np.float32(rng.uniform(0.1, 0.5)) * glints
    if rng.random() < 0.4:
        rim = cv2.GaussianBlur(cv2.dilate(lump, np.ones((3, 3), np.uint8)), (0, 0), 1.2) * (1 - lump)
        inside += np.float32(rng.uniform(-0.15, 0.3)) * rim
    shade *= inside
    marks[lump > 0.5] = 1


def photographed(screw: Screw, shade: Floats, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The screw under some lamp, through a lens and a sensor: (H, W, 3) uint8 BGR."""
    lit = screw.albedo * shade * np.float32(rng.uniform(0.7, 1.2))
    if (blur := rng.uniform(0, 1.3)) > 0.35:
        lit = cv2.GaussianBlur(lit, (0, 0), blur)
    noise = rng.standard_normal(lit.shape, np.float32)[..., None] * np.float32(rng.uniform(0.5, 3.0))
    return np.clip(np.rint(lit[..., None] * screw.tint + noise), 0, 255).astype(np.uint8)


def _aged(screw: Screw, shade: Floats, wear: tuple[float, float], rng: np.random.Generator) -> Floats:
    """One picture of a series: a little shaken, grease moved, the lamp faded."""
    grease, light = wear
    lit = screw.albedo * light * (1 - grease * screw.track * np.clip(grain(rng, screw.albedo.shape, 30, 90), -1, 1))
    lit = cv2.GaussianBlur(np.asarray(lit * shade, np.float32), (0, 0), 0.6)
    shift = np.array([[1, 0, rng.normal(0, 0.6)], [0, 1, rng.normal(0, 0.6)]])
    colours = cv2.warpAffine(lit[..., None] * screw.tint, shift, lit.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(colours + rng.normal(0, 1.0, (*lit.shape, 1)), np.float32)


def _profile(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Lightness across one turn (256 values), with its edges and gloss, and where its track is."""
    count = int(rng.integers(4, 9))
    knots = np.sort(rng.choice(np.arange(8, 250), count, replace=False))
    levels = rng.uniform(45, 215, count + 1)
    profile = np.zeros(256, np.float32)
    for start, stop, level in zip(np.append(0, knots), np.append(knots, 256), levels, strict=True):
        profile[start:stop] = level * np.linspace(1, rng.uniform(0.65, 1.4), stop - start)
    profile = cv2.GaussianBlur(np.tile(profile, 3)[None], (0, 0), float(rng.uniform(1.5, 9)))[0, 256:512]
    gloss = np.exp(-(((np.arange(256) - rng.uniform(0, 256)) / rng.uniform(8, 30)) ** 2)) * rng.uniform(0, 70)
    groove = np.exp(-(((np.arange(256) - rng.choice(knots)) / rng.uniform(2, 6)) ** 2)) * rng.uniform(0, 0.6)
    track = np.roll((np.arange(256) < 150).astype(np.float32), int(rng.integers(256)))
    return np.asarray((profile + gloss) * (1 - groove), np.float32), track


def _looked_up(values: Floats, place: Floats) -> Floats:
    """Between the values of a ring, linearly."""
    low = np.floor(place).astype(np.intp)
    share = (place - low).astype(np.float32)
    return np.asarray(values[low % len(values)] * (1 - share) + values[(low + 1) % len(values)] * share, np.float32)


def _brushed(rng: np.random.Generator, size_px: tuple[int, int], slope: float) -> Floats:
    """Grinding marks along the thread, of deviation about 1."""
    wide = (size_px[0] + int(abs(slope) * size_px[1]) + 2, size_px[1])
    lines = grain(rng, wide, rng.uniform(1, 2), rng.uniform(40, 200)) + rng.uniform(0, 0.8) * grain(rng, wide, 1, 1)
    lines += rng.uniform(0, 1.0) * grain(rng, wide, rng.uniform(4, 12), rng.uniform(60, 300))
    start = 0.0 if slope < 0 else abs(slope) * size_px[1]
    shear = np.array([[1, 0, 0], [-slope, 1, start]])
    return np.asarray(cv2.warpAffine(lines, shear, size_px[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP), np.float32)


def _grease(albedo: Floats, tint: Floats, rng: np.random.Generator, slope: float) -> None:
    """Yellow or brown films with a soft edge, mostly drawn out along the thread; some dark."""
    shape = (albedo.shape[0], albedo.shape[1])
    for _ in range(int(rng.integers(0, 5))):
        film = cv2.GaussianBlur(np.maximum(_drawn_out(rng, shape, slope) - rng.uniform(0.2, 1.4), 0), (0, 0), float(rng.uniform(0.8, 5)))
        film = np.clip(film * rng.uniform(0.6, 3), 0, 1)
        albedo *= 1 + np.float32(rng.uniform(-0.55, 0.15)) * film
        tint *= 1 - film[..., None] * np.array([rng.uniform(0, 0.4), rng.uniform(0, 0.15), 0], np.float32)


def _drawn_out(rng: np.random.Generator, shape: tuple[int, int], slope: float) -> Floats:
    """Blots that are longer along the thread than across it."""
    wide = (shape[0] + int(abs(slope) * shape[1]) + 2, shape[1])
    blots = grain(rng, wide, rng.uniform(6, 30), rng.uniform(30, 160))
    shear = np.array([[1, 0, 0], [-slope, 1, 0.0 if slope < 0 else abs(slope) * shape[1]]])
    return np.asarray(cv2.warpAffine(blots, shear, shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP), np.float32)


def _scratches(albedo: Floats, rng: np.random.Generator, slope: float) -> None:
    """Thin lines along the thread, dark or bright: no pitting."""
    height, width = albedo.shape
    drawn = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(0, 9))):
        x, y, length = rng.uniform(-50, width), rng.uniform(0, height), rng.uniform(20, 2 * width)
        turn = slope + rng.normal(0, 0.03)
        cv2.line(
            drawn,
            (int(x), int(y)),
            (int(x + length), int(y + turn * length)),
            int(rng.integers(60, 255)),
            int(rng.integers(1, 3)),
            cv2.LINE_AA,
        )
    albedo *= 1 + np.float32(rng.uniform(-0.6, 0.5)) * drawn.astype(np.float32) / 255


def _specks(albedo: Floats, tint: Floats, rng: np.random.Generator) -> None:
    """Dust of a pixel or two, and flakes that lie in the grease: light, each with a thin shadow. No pitting."""
    shape = (albedo.shape[0], albedo.shape[1])
    for _ in range(int(rng.integers(0, 14))):
        y, x = int(rng.integers(shape[0])), int(rng.integers(shape[1]))
        cv2.circle(albedo, (x, y), 1, float(albedo[y, x] * rng.uniform(0.55, 1.4)), -1, cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 4))):
        at = (float(rng.uniform(0, shape[0])), float(rng.uniform(0, shape[1])))
        flake = _rough(shape, at, float(rng.uniform(2.5, 9)), rng)
        shadow = np.roll(cv2.GaussianBlur(flake, (0, 0), 1.0), (1, 2), axis=(0, 1)) * (1 - flake)
        albedo *= (1 - np.float32(rng.uniform(0, 0.5)) * shadow) * (1 + np.float32(rng.uniform(-0.05, 0.6)) * flake)
        tint *= 1 - flake[..., None] * np.array([rng.uniform(0, 0.5), rng.uniform(0, 0.1), 0], np.float32)


def _lump(albedo: Floats, tint: Floats, centre: tuple[float, float], rng: np.random.Generator) -> None:
    """A chip, a dimple or dried grease: mostly dark, with a soft edge, lit on one side, of another colour."""
    radius = float(np.exp(rng.uniform(np.log(1.5), np.log(15))))
    body = _rough((albedo.shape[0], albedo.shape[1]), centre, radius, rng)
    soft = cv2.GaussianBlur(body, (0, 0), float(rng.uniform(0.8 + radius / 12, 1 + radius / 4)))
    lit = np.roll(soft, (int(rng.integers(-1, 2)) * max(1, round(radius / 2)), max(1, round(radius / 2))), axis=(0, 1)) * (1 - soft)
    albedo *= (1 - np.float32(rng.uniform(-0.15, 0.8)) * soft) * (1 + np.float32(rng.uniform(0, 0.5)) * lit)
    tint *= 1 - soft[..., None] * np.array([rng.uniform(-0.3, 0.4), rng.uniform(-0.1, 0.15), 0], np.float32)


def _rough(shape: tuple[int, int], centre: tuple[float, float], radius: float, rng: np.random.Generator) -> Floats:
    """1 inside an irregular shape about (row, column), 0 outside, a pixel's slope between."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radii = np.full(48, radius)
    for wave in range(1, 9):
        radii *= 1 + rng.normal(0, 0.22 / np.sqrt(wave)) * np.cos(wave * angles + rng.uniform(0, 6.3))
    stretch, turn = rng.uniform(0.5, 1.0), rng.uniform(0, np.pi)
    x, y = radii * np.cos(angles), radii * np.sin(angles) * stretch
    points = np.stack([centre[1] + x * np.cos(turn) - y * np.sin(turn), centre[0] + x * np.sin(turn) + y * np.cos(turn)], axis=1)
    drawn = np.zeros(shape, np.uint8)
    cv2.fillPoly(drawn, [np.rint(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(drawn / np.float32(255), np.float32)


def _place(track: Floats, rng: np.random.Generator, inner: float = 0.04) -> tuple[int, int]:
    """A random pixel of the track, (row, column), not within that share of the picture's edge."""
    height, width = track.shape
    top, left = int(inner * height), int(inner * width)
    places = np.argwhere(track[top : height - top, left : width - left] > 0.5)
    row, column = places[int(rng.integers(len(places)))] if len(places) else (height // 2 - top, width // 2 - left)
    return int(row) + top, int(column) + left
