"""Draws a part once, so that the belt only has to move it. In: settings, PartPlan. Out: Sprite. Keeps nothing.

Drawn unturned at twice the size, then turned and brought down; defects are added last, at the picture's own size, so their masks are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.line.defects import LENS_SIGMA_PX, change_of
from edgevision.capture.line.design import DefectPlan, Hole, PartPlan
from edgevision.capture.line.seeds import stream
from edgevision.capture.line.settings import SyntheticSettings

Plane = NDArray[np.float32]
SCALE = 2  # drawn this much larger than shown
MARGIN_PX = 22  # room for the shadow
LIGHT = (-0.6, -0.8)  # where the lamp stands, seen from the part


@dataclass(frozen=True, slots=True)
class SpriteDefect:
    """A defect on its sprite: `cover` (h, w) with the exact mask where it is 0.5 or more."""

    id: str
    label: str
    contrast: float
    cover: Plane


@dataclass(frozen=True, slots=True)
class Sprite:
    """A turned part ready to be moved: `good` and `marred` are (h, w, 4) BGR times alpha, and alpha; `shadow` (h, w) is 0..1."""

    good: Plane
    marred: Plane
    shadow: Plane
    defects: tuple[SpriteDefect, ...]


def _disc(hole: Hole, side: int, grow: float = 1.0) -> Plane:
    """A filled circle (0..1) on the large canvas, smooth at its edge."""
    x, y, radius = hole
    middle = (side - 1) / 2
    canvas = np.zeros((side, side), dtype=np.uint8)  # drawing is smooth on bytes only
    centre = (round((x * SCALE + middle) * 16), round((y * SCALE + middle) * 16))
    cv2.circle(canvas, centre, round(radius * grow * SCALE * 16), 255, -1, cv2.LINE_AA, 4)
    return (canvas / np.float32(255)).astype(np.float32)


def _filled(outline: Plane, side: int) -> Plane:
    """The inside of an outline (0..1) on the large canvas."""
    canvas = np.zeros((side, side), dtype=np.uint8)
    points = np.round((outline * SCALE + (side - 1) / 2) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [points], 255, cv2.LINE_AA, 4)
    return (canvas / np.float32(255)).astype(np.float32)


def _grain(plan: PartPlan, side: int, rng: np.random.Generator) -> Plane:
    """Brushed grain along one direction, or the turning marks of a lathe; standard deviation `plan.grain`."""
    fine = rng.standard_normal((side, side)).astype(np.float32)
    if plan.is_turned:
        y, x = np.mgrid[:side, :side].astype(np.float32) - side / 2
        profile = cv2.GaussianBlur(rng.standard_normal((1, side)).astype(np.float32), (0, 0), 1.3)[0]
        lines = profile[np.hypot(x, y).astype(np.int32).clip(0, side - 1)]
        lines = lines / max(float(profile.std()), 1e-6) + 0.4 * cv2.GaussianBlur(fine, (0, 0), 1.2) * 4
    else:
        lines = cv2.blur(fine, (61, 1)) + 0.6 * cv2.blur(fine[::-1], (15, 1))
    wide = cv2.resize(rng.standard_normal((6, 6)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(lines / lines.std() * plan.grain + wide * 0.8 * plan.grain, dtype=np.float32)


def _marks(plan: PartPlan, canvas: Plane, middle: float, rng: np.random.Generator) -> Plane:
    """Print the part's number and code; returns where print lies (0..1), so that no defect is put under it."""
    if not plan.text:
        return np.zeros_like(canvas)
    printed = np.zeros(canvas.shape, dtype=np.uint8)
    scale = canvas.shape[0] / 600
    x, y = {"disc": (-80, 19), "plate": (-93, 13), "bracket": (-93, -29)}.get(plan.kind, (-52, 0))
    if plan.bore:
        y = -round((plan.bore[0][2] * SCALE + 14) / scale)
    at = (int(middle + x * scale), int(middle + y * scale))
    size = 0.55 if plan.bore else 0.75
    cv2.putText(printed, plan.text, at, cv2.FONT_HERSHEY_SIMPLEX, size * scale, 255, max(1, round(2 * scale)), cv2.LINE_AA)
    if plan.kind in ("plate", "disc", "bracket"):
        module = max(2, int(4 * scale))
        code = np.where(rng.random((10, 10)) < 0.5, 255, 0).astype(np.uint8)
        code[:, 0] = code[-1] = 255
        block = np.kron(code, np.ones((module, module), dtype=np.uint8))
        left, top = at[0] + int(150 * scale), at[1] - int(30 * scale)
        place = printed[top : top + block.shape[0], left : left + block.shape[1]]
        np.maximum(place, block[: place.shape[0], : place.shape[1]], out=place)
    depth = float(rng.uniform(25, 60)) * (1 if rng.random() < 0.25 else -1)
    ink = (printed / np.float32(255)).astype(np.float32)
    canvas += ink * np.float32(depth)
    return ink


def _dust(plan: PartPlan, canvas: Plane, middle: float, rng: np.random.Generator) -> None:
    """Specks of under 8 pixels, dark or bright: no defects."""
    reach = float(np.abs(plan.outline).max()) * 0.9
    for _ in range(plan.dust):
        x, y = (float(v) for v in rng.uniform(-reach, reach, 2))
        speck = np.zeros((16, 16), dtype=np.uint8)
        axes = (int(rng.integers(8, 22)), int(rng.integers(8, 22)))
        cv2.ellipse(speck, (8 * 8, 8 * 8), axes, float(rng.uniform(0, 180)), 0, 360, 255, -1, cv2.LINE_AA, 3)
        depth = np.float32(rng.uniform(-35, 30) / 255)
        left, top = int(x * SCALE + middle) - 8, int(y * SCALE + middle) - 8
        canvas[top : top + 16, left : left + 16] += speck * depth


def _relief(solid: Plane, sigma: float, strength: float) -> Plane:
    """Bright and dark edges where a lit body ends: the slope of its blurred mask along the light."""
    soft = cv2.GaussianBlur(solid, (0, 0), sigma)
    slope = cv2.Sobel(soft, cv2.CV_32F, 1, 0) * LIGHT[0] + cv2.Sobel(soft, cv2.CV_32F, 0, 1) * LIGHT[1]
    return np.asarray(slope * (strength * sigma / 3), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Body:
    """The large, unturned drawing: metal in gray levels, what is solid (0..1), what is there at all (0..1), print (0..1)."""

    metal: Plane
    there: Plane
    keep_out: Plane


def _body(plan: PartPlan, side: int, missing: frozenset[int], rng: np.random.Generator) -> _Body:
    """The part without defects, except that the holes named in `missing` were not drilled."""
    middle = (side - 1) / 2
    y, x = np.mgrid[:side, :side].astype(np.float32) / side - 0.5
    tilt = rng.uniform(-14, 14, 2)
    metal = (plan.brightness + tilt[0] * x + tilt[1] * y + _grain(plan, side, rng)).astype(np.float32)
    for hole in plan.holes:
        face = _disc(hole, side, 1.55)
        metal += face * 9.0 + _relief(face, 1.5, -28.0)
    keep_out = _marks(plan, metal, middle, rng)
    _dust(plan, metal, middle, rng)
    there = _filled(plan.outline, side)
    for hole in plan.bore:
        there *= 1 - _disc(hole, side)
    metal += _relief(there, 4.0, 60.0)
    for number, hole in enumerate(plan.holes):
        keep_out = np.maximum(keep_out, _disc(hole, side, 1.7))
        if number not in missing:
            drilled = _disc(hole, side)
            metal += _relief(drilled, 2.0, -40.0)
            metal += (0.25 * plan.brightness - metal) * drilled
    return _Body(metal, there, keep_out)


def _turned(plane: Plane, angle_deg: float) -> Plane:
    """Turn a large plane about its middle and bring it down to the picture's size."""
    side = plane.shape[0]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), angle_deg, 1.0)
    turned = cv2.warpAffine(plane, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    small = cv2.resize(turned, (side // SCALE, side // SCALE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), LENS_SIGMA_PX), dtype=np.float32)


def _painted(metal: Plane, alpha: Plane, tint: tuple[float, float, float], change: Plane | None = None) -> Plane:
    """Colour, defects and alpha as one (h, w, 4) picture, premultiplied."""
    colour = metal[..., None] * np.array(tint, dtype=np.float32)
    if change is not None:
        colour = colour + change
    return np.dstack([np.clip(colour, 0, 255) * alpha[..., None], alpha]).astype(np.float32)


def _place(plan: DefectPlan, allowed: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Plane, Plane] | None:
    """A spot on the part where the whole defect has room: its change and cover, or None where 60 tries find no room."""
    spots = np.argwhere(allowed)
    for _ in range(60 if len(spots) else 0):
        y, x = spots[int(rng.integers(len(spots)))]
        reach = int(max(plan.size)) + 4
        top, left = max(0, int(y) - reach), max(0, int(x) - reach)
        window = allowed[top : int(y) + reach, left : int(x) + reach]
        change, cover = change_of(plan, (float(x - left), float(y - top)), (window.shape[0], window.shape[1]), rng)
        if np.all(window[cover >= 0.35]):
            full_change = np.zeros((*allowed.shape, 3), dtype=np.float32)
            full_cover = np.zeros(allowed.shape, dtype=np.float32)
            full_change[top : int(y) + reach, left : int(x) + reach] = change
            full_cover[top : int(y) + reach, left : int(x) + reach] = cover
            return full_change, full_cover
    return None


def _missing_hole(plan: PartPlan, number: int, good: Plane, marred: Plane, angle_deg: float, side: int) -> SpriteDefect:
    """The hole that is not there: its disc, and how far the bare metal differs from the hole."""
    cover = _turned(_disc(plan.holes[number], side), angle_deg)
    contrast = float(np.abs(marred - good)[cover >= 0.5].mean())
    return SpriteDefect(f"p{plan.index}-hole{number}", "hole", contrast, cover)


def draw_part(settings: SyntheticSettings, plan: PartPlan) -> Sprite:
    """Draw a part with and without its defects."""
    side = SCALE * 2 * (int(np.hypot(*plan.outline.T).max()) + MARGIN_PX)
    missing = frozenset(d.hole for d in plan.defects if d.hole is not None)
    body = _body(plan, side, frozenset(), stream(settings.seed, "body", plan.index))
    good = _turned(body.metal, plan.angle_deg)
    alpha = _turned(body.there, plan.angle_deg)
    marred, defects = good, []
    if missing:
        marred = _turned(_body(plan, side, missing, stream(settings.seed, "body", plan.index)).metal, plan.angle_deg)
        defects = [_missing_hole(plan, number, good, marred, plan.angle_deg, side) for number in sorted(missing)]
    rng = stream(settings.seed, "defects", plan.index)
    room = (alpha > 0.99) & (_turned(body.keep_out, plan.angle_deg) < 0.02)
    allowed = cv2.erode(room.astype(np.uint8), np.ones((11, 11), np.uint8)).astype(bool)
    change = np.zeros((*alpha.shape, 3), dtype=np.float32)
    for number, defect in enumerate(d for d in plan.defects if d.hole is None):
        placed = _place(defect, allowed, rng)
        if placed is not None:
            change += placed[0]
            allowed &= cv2.dilate(placed[1], np.ones((15, 15), np.uint8)) < 0.1
            defects.append(SpriteDefect(f"p{plan.index}-{defect.label}{number}", defect.label, defect.contrast, placed[1]))
    shadow = cv2.warpAffine(alpha, np.array([[1, 0, 7], [0, 1, 9]], dtype=np.float32), alpha.shape[::-1])
    shadow = cv2.GaussianBlur(shadow, (0, 0), 5.0) * 0.45
    return Sprite(
        _painted(good, alpha, plan.metal), _painted(marred, alpha, plan.metal, change), np.asarray(shadow, dtype=np.float32), tuple(defects)
    )
