"""Printed circuit boards that nobody etched: a template, a board made after it, and what is wrong with that. In: a random generator.

Out: a Sample. Keeps nothing: the same generator state gives the same pictures. Copper is dark on a light ground, black and white as a line
camera's picture is after its threshold: an edge of the board lies up to two pixels off that of its template, here and there, because
etching, light and stage are never twice the same. Nobody marks that as a defect. What is wrong is drawn by `pcb_defects`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.study.parts.pcb_defects import LABELS, Drawn, draw_defects

__all__ = ["LABELS", "Drawn", "Sample", "make", "photographed", "pictures", "random_copper"]

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
SIZE_PX = (640, 640)
SAMPLE_BOARDS = 12
LEAST_PX = 5  # of a trace, or of the gap between two
JPEG_QUALITY = (85, 98)
TURNS = 8  # of a trace's way: 45 degrees each
FAR_SHARE, FAR_PX = 0.2, 2.8  # of boards that lie further off their template, and how far


@dataclass(frozen=True, slots=True)
class Sample:
    """`image` and `template` (H, W) uint8; `defects`: label and box of each, as an annotator draws it, with a margin."""

    image: Bytes
    template: Bytes
    defects: tuple[Drawn, ...]


def make(rng: np.random.Generator, size_px: tuple[int, int] = SIZE_PX, defects: int | None = None) -> Sample:
    """One board of (height, width) and its template. `defects` left out: two to twelve."""
    copper = random_copper(rng, size_px)
    template, board = photographed(rng, copper)
    count = int(rng.integers(2, 13)) if defects is None else defects
    drawn = draw_defects(rng, board, count)
    return Sample(compressed(rng, board), compressed(rng, template), drawn)


def pictures(rng: np.random.Generator) -> Iterator[tuple[str, Bytes]]:
    """What `edgevision init --recipe pcb` draws: (file, picture) of boards made after `sample_template`, every third without a defect."""
    copper, _ = sample_template(rng)
    for number, (board, _) in enumerate(boards(rng, copper), 1):
        yield f"sample/board-{number:02d}.png", board


def boards(rng: np.random.Generator, copper: Floats) -> Iterator[tuple[Bytes, tuple[Drawn, ...]]]:
    """The sample's boards of that copper, and what is wrong with each; nothing with every third."""
    for number in range(1, SAMPLE_BOARDS + 1):
        board = _thresholded(rng, copper, (float(rng.normal(0, 0.5)), float(rng.normal(0, 0.5))))
        yield board, draw_defects(rng, board, int(rng.integers(1, 6))) if number % 3 else ()


def sample_template(rng: np.random.Generator) -> tuple[Floats, Bytes]:
    """The copper of the sample's boards, and the picture of the good one, which lies in the recipe as template.png."""
    copper = random_copper(rng, SIZE_PX)
    return copper, _thresholded(rng, copper, (0.0, 0.0))


def random_copper(rng: np.random.Generator, size_px: tuple[int, int]) -> Floats:
    """How much of each pixel is copper, 0 to 1, with the soft edges of a lens."""
    height, width = size_px
    canvas = np.full(size_px, 255 if rng.random() < 0.4 else 0, np.uint8)
    scale = float(rng.uniform(0.6, 1.6))
    for _ in range(int(rng.integers(4, 22) * (height * width) / (640 * 640)) + 1):
        draw = (_bundle, _bundle, _pads, _ring, _plate)[int(rng.integers(5))]
        draw(rng, canvas, scale)
    rounding = float(rng.uniform(0.5, 4.0))
    soft = cv2.GaussianBlur(canvas, (0, 0), rounding)
    rounded = ((soft > 127) * 255).astype(np.uint8)
    for thinner in (cv2.MORPH_OPEN, cv2.MORPH_CLOSE):  # what no board house would etch
        rounded = cv2.morphologyEx(rounded, thinner, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (LEAST_PX, LEAST_PX)))
    return np.asarray(cv2.GaussianBlur(rounded, (0, 0), float(rng.uniform(0.8, 1.8))), np.float32) / np.float32(255)


def photographed(rng: np.random.Generator, copper: Floats) -> tuple[Bytes, Bytes]:
    """The template's picture and the board's, without defects: the same copper, twice etched, twice placed, twice thresholded."""
    off = rng.normal(0, 0.6, 2).clip(-1.6, 1.6) if rng.random() > FAR_SHARE else rng.uniform(-FAR_PX, FAR_PX, 2)
    template = _thresholded(rng, copper, (0.0, 0.0))
    return template, _thresholded(rng, copper, (float(off[0]), float(off[1])))


def compressed(rng: np.random.Generator, picture: Bytes) -> Bytes:
    """As it comes back from a JPEG file."""
    quality = int(rng.integers(*JPEG_QUALITY))
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def _thresholded(rng: np.random.Generator, copper: Floats, off_px: tuple[float, float]) -> Bytes:
    """Black where there is copper. The threshold wanders over the board, and from row to row; so do edges, by a pixel or two."""
    height, width = copper.shape
    matrix = np.array([[1, 0, off_px[0]], [0, 1, off_px[1]]], np.float64)
    seen = cv2.warpAffine(copper, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    slow = cv2.resize(rng.normal(0, 0.12, (5, 5)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    rough = cv2.GaussianBlur(rng.normal(0, 1, copper.shape).astype(np.float32), (0, 0), float(rng.uniform(0.6, 1.5)))
    rows = cv2.GaussianBlur(rng.normal(0, 1, (height, 1)).astype(np.float32), (0, 0), 1.0)
    limit = 0.5 + rng.normal(0, 0.06) + slow + float(rng.uniform(0, 0.25)) * rough + float(rng.uniform(0, 0.15)) * rows
    return np.where(seen > np.clip(limit, 0.08, 0.92), 0, 255).astype(np.uint8)


def _way(rng: np.random.Generator, canvas: Bytes, step_px: float) -> NDArray[np.int32]:
    """Corners (n, 1, 2) of a trace's way from somewhere, in turns of 45 degrees."""
    height, width = canvas.shape
    place = rng.uniform((-40, -40), (width + 40, height + 40))
    turn = int(rng.integers(TURNS))
    corners = [place]
    for _ in range(int(rng.integers(1, 6))):
        angle = turn * 2 * np.pi / TURNS
        place = place + rng.uniform(0.4, 1.6) * step_px * np.array([np.cos(angle), np.sin(angle)])
        corners.append(place)
        turn += int(rng.choice([-1, 1]))
    return np.rint(np.array(corners)).astype(np.int32).reshape(-1, 1, 2)


def _bundle(rng: np.random.Generator, canvas: Bytes, scale: float) -> None:
    """Traces side by side: strokes laid upon one another, each narrower than the one before."""
    way = _way(rng, canvas, 220 * scale)
    trace, gap = (max(5, round(scale * float(rng.uniform(7, 36)))) for _ in range(2))
    ink = 0 if rng.random() < 0.75 else 255  # the clearance around the bundle, or a slot in copper
    wide = (2 * int(rng.integers(1, 4)) + 1) * gap + (2 * int(rng.integers(0, 4)) + 1) * trace
    while wide > 2:
        cv2.polylines(canvas, [way], False, ink, min(wide, 32_000))
        wide -= 2 * (trace if ink else gap)
        ink = 255 - ink


def _pads(rng: np.random.Generator, canvas: Bytes, scale: float) -> None:
    """A row or a field of pads, some of them drilled, with clearance."""
    height, width = canvas.shape
    half = np.rint(scale * rng.uniform(8, 34, 2)).astype(int)
    gap = max(5, round(scale * float(rng.uniform(6, 24))))
    pitch = 2 * half + gap + rng.integers(2, 30, 2)
    x0, y0 = (int(v) for v in rng.uniform((-20, -20), (width, height)))
    is_round, is_drilled = rng.random() < 0.5, rng.random() < 0.4
    for column in range(int(rng.integers(1, 7))):
        for row in range(int(rng.integers(1, 4))):
            x, y = x0 + column * int(pitch[0]), y0 + row * int(pitch[1])
            for more, ink in ((gap, 0), (0, 255)):
                if is_round:
                    cv2.circle(canvas, (x, y), int(half.min()) + more, ink, cv2.FILLED)
                else:
                    a, b = int(half[0]) + more, int(half[1]) + more
                    cv2.rectangle(canvas, (x - a, y - b), (x + a, y + b), ink, cv2.FILLED)
            if is_drilled:
                cv2.circle(canvas, (x, y), max(4, int(half.min()) // 2), 0, cv2.FILLED)


def _ring(rng: np.random.Generator, canvas: Bytes, scale: float) -> None:
    """Rings around one another, a via's or a shield's."""
    height, width = canvas.shape
    middle = tuple(int(v) for v in rng.uniform((0, 0), (width, height)))
    radius, ink = float(rng.uniform(25, 240)) * scale, 0
    for _ in range(int(rng.integers(1, 6))):
        cv2.circle(canvas, middle, max(3, round(radius)), ink, cv2.FILLED)
        radius, ink = radius - scale * float(rng.uniform(7, 40)), 255 - ink
        if radius < 5:
            return


def _plate(rng: np.random.Generator, canvas: Bytes, scale: float) -> None:
    """A large area of copper, or one without, between straight edges."""
    height, width = canvas.shape
    middle = rng.uniform((0, 0), (width, height))
    corners = int(rng.integers(3, 7))
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners)) if rng.random() < 0.4 else np.arange(4) * np.pi / 2 + np.pi / 4
    reach = scale * rng.uniform(40, 260, 2)
    around = np.rint(middle + np.stack([np.cos(angles), np.sin(angles)], axis=1) * reach).astype(np.int32)
    ink = 255 if rng.random() < 0.6 else 0
    cv2.polylines(canvas, [around], True, 255 - ink, 2 * max(5, round(scale * float(rng.uniform(6, 24)))))
    cv2.fillPoly(canvas, [around], ink)
