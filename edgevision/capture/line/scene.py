"""What stands around the belt and never moves, and the belt's own skin. In: settings. Out: pictures made once. Keeps nothing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.line.seeds import stream
from edgevision.capture.line.settings import SyntheticSettings
from edgevision.records import Box

Plane = NDArray[np.float32]
Bytes = NDArray[np.uint8]
BELT_TOP, BELT_BOTTOM = 0.16, 0.86  # of the picture's height


def belt_rows(settings: SyntheticSettings) -> tuple[int, int]:
    """First and last row (exclusive) of the belt."""
    return round(BELT_TOP * settings.height), round(BELT_BOTTOM * settings.height)


def clock_box(settings: SyntheticSettings) -> Box:
    """Where the time is burnt in."""
    scale = settings.width / 1280
    return (round(16 * scale), round(12 * scale), round(16 * scale) + round(300 * scale), round(12 * scale) + max(12, round(34 * scale)))


def station_box(settings: SyntheticSettings) -> Box:
    """The inspection zone: every standing part lies inside."""
    scale = min(settings.width / 1280, settings.height / 720)
    reach = round(152 * scale + settings.jitter_px) + 6
    x, y = settings.width // 2, round((BELT_TOP + BELT_BOTTOM) / 2 * settings.height)
    top, bottom = belt_rows(settings)
    return (max(0, x - reach), max(top, y - reach), min(settings.width, x + reach), min(bottom, y + reach))


def _noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float, amount: float) -> Plane:
    field = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), sigma)
    return np.asarray(field / field.std() * amount, dtype=np.float32)


def belt_skin(settings: SyntheticSettings, length_px: int) -> Bytes:
    """One turn of belt (h, length, 3): dark, nearly plain, with weave, scuffs and a joint; its ends meet."""
    rng = stream(settings.seed, "skin")
    top, bottom = belt_rows(settings)
    height, gray = bottom - top, float(rng.uniform(42, 62))
    skin = gray + _noise(rng, (height, length_px), 1.2, 0.9) + _noise(rng, (height, length_px), 9.0, 0.8)
    for _ in range(10):
        x, y = int(rng.integers(40, max(41, length_px - 80))), int(rng.integers(10, height - 10))
        end = (x + int(rng.integers(-30, 60)), y + int(rng.integers(-14, 14)))
        scuff = np.zeros((height, length_px), dtype=np.uint8)
        cv2.line(scuff, (x, y), end, 255, int(rng.integers(1, 4)), cv2.LINE_AA)
        skin += scuff * np.float32(rng.uniform(-8, 10) / 255)
    skin[:, 6:9] -= 9.0
    ramp = np.minimum(np.arange(length_px) / 60.0, 1.0).astype(np.float32)
    skin = skin * ramp + skin[:, ::-1] * (1 - ramp)
    tinted = skin[..., None] * np.array([1.04, 1.0, 0.94], dtype=np.float32)
    return np.asarray(np.clip(tinted, 0, 255).round(), dtype=np.uint8)


def light_field(settings: SyntheticSettings) -> Plane:
    """How bright the lamp is at each pixel (H, W), about 1: falls off outwards, with a soft hot band that makes metal shine."""
    rng = stream(settings.seed, "light")
    y, x = np.mgrid[: settings.height, : settings.width].astype(np.float32)
    x, y = x / settings.width - 0.5, y / settings.height - 0.5
    fall = 1.04 - float(rng.uniform(0.3, 0.6)) * (x * x + y * y)
    across = x * float(rng.uniform(0.7, 1.0)) + y * float(rng.uniform(-0.6, 0.6)) - float(rng.uniform(-0.12, 0.12))
    return np.asarray(fall + float(rng.uniform(0.03, 0.09)) * np.exp(-((across / 0.06) ** 2)), dtype=np.float32)


def _rail(canvas: Plane, top: int, bottom: int, gray: float) -> None:
    """A guide rail: a rounded bar with bolts."""
    rows = np.arange(bottom - top, dtype=np.float32)[:, None] / max(1, bottom - top)
    canvas[top:bottom] = gray * (0.55 + 0.6 * np.sin(np.pi * rows) ** 0.7)
    radius = max(2, (bottom - top) // 4)
    for x in range(canvas.shape[1] // 12, canvas.shape[1], canvas.shape[1] // 6):
        centre = (x, (top + bottom) // 2)
        cv2.circle(canvas, centre, radius, gray * 0.55, -1, cv2.LINE_AA)
        cv2.circle(canvas, (centre[0] - 1, centre[1] - 1), max(1, radius - 2), gray * 1.05, -1, cv2.LINE_AA)
        cv2.line(canvas, (x - radius + 2, centre[1] + 1), (x + radius - 3, centre[1] - 1), gray * 0.4, 1, cv2.LINE_AA)


def surroundings(settings: SyntheticSettings) -> Bytes:
    """The machine (H, W, 3) without the belt: frame, rails, cabinet, cable, sensor and a warning plate."""
    rng = stream(settings.seed, "machine")
    height, width = settings.height, settings.width
    top, bottom = belt_rows(settings)
    bar = max(6, round(0.045 * height))
    canvas = np.full((height, width), float(rng.uniform(70, 95)), dtype=np.float32) + _noise(rng, (height, width), 14.0, 1.5)
    canvas[bottom:] -= 30
    for x in range(0, width, max(8, width // 9)):
        cv2.line(canvas, (x, 0), (x, top - bar), float(canvas[0, x]) - 14, 2, cv2.LINE_AA)
    for number in range(3):
        start = int(width * (0.2 + 0.25 * number))
        points = np.array([(start + 40 * t, height - 12 + 16 * np.sin(0.9 * t + number)) for t in np.arange(0, 12, 0.25)], dtype=np.int32)
        cv2.polylines(canvas, [points], False, 28 + 9.0 * number, max(2, height // 140), cv2.LINE_AA)
    _rail(canvas, top - bar, top, 150)
    _rail(canvas, bottom, bottom + bar, 138)
    tinted = cv2.GaussianBlur(canvas, (0, 0), 0.8)[..., None] * np.array([1.05, 1.0, 0.95], dtype=np.float32)
    colour = np.clip(tinted, 0, 255).round().astype(np.uint8)
    _furniture(colour, width / 1280, top - bar)
    return np.asarray(cv2.GaussianBlur(colour, (0, 0), 0.6), dtype=np.uint8)


def _furniture(colour: Bytes, scale: float, floor: int) -> None:
    """A sensor head, a warning plate and a status lamp above the upper rail."""

    def at(x: float, y: float) -> tuple[int, int]:
        return round(x * scale), round(min(y * scale, floor))

    cv2.rectangle(colour, at(560, 0), at(720, 52), (46, 44, 42), -1, cv2.LINE_AA)
    cv2.rectangle(colour, at(600, 52), at(680, 70), (30, 30, 30), -1, cv2.LINE_AA)
    cv2.circle(colour, at(700, 22), max(1, round(6 * scale)), (70, 190, 80), -1, cv2.LINE_AA)
    cv2.rectangle(colour, at(1040, 14), at(1170, 60), (40, 180, 205), -1, cv2.LINE_AA)
    cv2.putText(colour, "CELL 4", at(1052, 46), cv2.FONT_HERSHEY_SIMPLEX, 0.9 * scale, (25, 25, 25), max(1, round(2 * scale)), cv2.LINE_AA)
