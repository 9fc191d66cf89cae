"""One picture, many views: turned, scaled, lit and blurred otherwise. In: a picture with its marks. Out: a view of it. Keeps nothing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgevision.compare.own_light import Kind, OwnLight
from edgevision.records import Settings

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
OUTSIDE = 255  # in marks: beyond the picture, where there is nothing
REPEATED = 254  # in marks: beyond the picture, where its last row or column is repeated, as the engine does it
GRAY = 118  # what a normalised 0 is: beyond the picture


class Variation(Settings):
    """How far views may differ from the picture."""

    turn_deg: float = Field(default=8.0, ge=0, le=180, description="Turned by up to so much.")
    is_flipped: bool = Field(default=True, description="Mirrored, left to right and top to bottom.")
    is_quartered: bool = Field(default=False, description="Turned by quarters, too: for surfaces without a direction.")
    scale: tuple[float, float] = Field(default=(0.75, 1.3), description="Shown so much larger, each axis by itself in part.")
    bend_px: float = Field(default=3.0, ge=0, le=64, description="Bent by up to so many pixels.")
    gain: float = Field(default=2.2, ge=1, le=8, description="Lighter or darker by up to this factor.")
    ramp: float = Field(default=0.3, ge=0, le=1, description="Light that falls from one side to the other by up to this share.")
    noise: float = Field(default=4.0, ge=0, le=64, description="Sensor noise of up to so many gray levels.")
    blur_px: float = Field(default=1.2, ge=0, le=8, description="Blurred by up to so much.")
    own_light: Kind = Field(default="none", description="How the camera takes the view's own light out of it, last of all.")


def viewed(
    image: Bytes, marks: Bytes, px: tuple[int, int], rng: np.random.Generator, variation: Variation, aim: tuple[int, int] | None = None
) -> tuple[Bytes, Bytes]:
    """A view (px) of a picture (H, W, 3) and of its marks (H, W), which hold OUTSIDE beyond it. `aim`: the (row, column) shown."""
    height, width = image.shape[:2]
    matrix = _matrix((height, width), px, rng, variation, aim)
    border = cv2.BORDER_CONSTANT
    if variation.bend_px and rng.random() < 0.3:
        along, across = _bent(matrix, px, rng, variation.bend_px)
        view = cv2.remap(image, along, across, cv2.INTER_LINEAR, borderMode=border, borderValue=(GRAY,) * 3)
        seen = cv2.remap(marks, along, across, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(OUTSIDE,))
        return np.asarray(view, np.uint8), np.asarray(seen, np.uint8)
    view = cv2.warpAffine(image, matrix, px[::-1], flags=cv2.INTER_LINEAR, borderMode=border, borderValue=(GRAY,) * 3)
    seen = cv2.warpAffine(marks, matrix, px[::-1], flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(OUTSIDE,))
    return np.asarray(view, np.uint8), np.asarray(seen, np.uint8)


def _matrix(
    size: tuple[int, int], px: tuple[int, int], rng: np.random.Generator, variation: Variation, aim: tuple[int, int] | None
) -> NDArray[np.float64]:
    """The affine map (2, 3) from picture to view."""
    zoom = np.exp(rng.uniform(*np.log(variation.scale)))
    stretch = np.exp(rng.uniform(-0.12, 0.12))
    angle = np.radians(rng.uniform(-variation.turn_deg, variation.turn_deg))
    if variation.is_quartered:
        angle += np.pi / 2 * int(rng.integers(4))
    flips = (1 - 2 * rng.integers(0, 2, 2)) if variation.is_flipped else np.ones(2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag(flips * zoom * np.array([stretch, 1 / stretch]))
    corners = np.array([[0, 0], [size[1], 0], [0, size[0]], [size[1], size[0]]]) @ linear.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    room = high - low - np.array(px[::-1])
    if aim is None:
        share = rng.uniform(-0.05, 1.05, 2)
        begin = np.where(room > 0, low + share * room, low + rng.uniform(0, 1, 2) * room)
    else:
        wanted = linear @ np.array(aim[::-1]) - rng.uniform(0.15, 0.85, 2) * np.array(px[::-1])
        begin = np.where(room > 0, np.clip(wanted, low, high - px[::-1]), low + rng.uniform(0, 1, 2) * room)
    return np.hstack([linear, -begin[:, None]])


def _bent(matrix: NDArray[np.float64], px: tuple[int, int], rng: np.random.Generator, bend_px: float) -> tuple[Floats, Floats]:
    """Where each pixel of the view comes from, as columns and rows."""
    back = cv2.invertAffineTransform(matrix)
    rows, columns = np.mgrid[: px[0], : px[1]].astype(np.float32)
    bends = [cv2.resize(rng.uniform(-bend_px, bend_px, (6, 6)).astype(np.float32), px[::-1], interpolation=cv2.INTER_CUBIC) for _ in (0, 1)]
    across, down = columns + bends[0], rows + bends[1]
    source = [np.float32(b[0]) * across + np.float32(b[1]) * down + np.float32(b[2]) for b in back]
    return source[0], source[1]


def lit(image: Bytes, rng: np.random.Generator, variation: Variation) -> Bytes:
    """The view (H, W, 3) under another lamp, a little blurred, with the sensor's noise; in even light, where the camera makes it so."""
    height, width = image.shape[:2]
    gain = np.exp(rng.uniform(-1, 1) * np.log(variation.gain)) if rng.random() < 0.8 else 1.0
    levels = np.arange(256, dtype=np.float32) / 255
    curve = 255 * gain * levels ** np.exp(rng.uniform(-0.25, 0.25)) + rng.uniform(-8, 8)
    value = curve.astype(np.float32)[image]
    if variation.ramp and rng.random() < 0.6:
        falls = rng.uniform(-variation.ramp, variation.ramp, 2)
        ramp = 1 + falls[0] * np.linspace(-0.5, 0.5, height)[:, None] + falls[1] * np.linspace(-0.5, 0.5, width)[None]
        value *= ramp[..., None].astype(np.float32)
    if variation.blur_px and rng.random() < 0.3:
        value = cv2.GaussianBlur(value, (0, 0), float(rng.uniform(0.3, max(0.31, variation.blur_px))))
    if variation.noise and rng.random() < 0.6:
        value += rng.standard_normal((height, width, 1), np.float32) * np.float32(rng.uniform(0, variation.noise))
    return np.asarray(OwnLight(variation.own_light).taken_out(np.asarray(np.clip(value, 0, 255), np.uint8)), np.uint8)
