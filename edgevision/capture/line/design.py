"""What part i is: its shape, metal, holes, marks, dust and defects, as plain data. In: settings, i. Keeps nothing.

Lengths are in pixels of the finished picture from the part's middle, before the part is turned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.capture.line.seeds import stream
from edgevision.capture.line.settings import SyntheticSettings
from edgevision.capture.line.truth import LABELS

Outline = NDArray[np.float32]  # (point, xy)
Hole = tuple[float, float, float]  # x, y, radius
KINDS = ("plate", "disc", "ring", "hexagon", "flange", "bracket")
METALS = ((1.02, 1.0, 0.98), (1.0, 1.0, 1.0), (0.74, 0.93, 1.04), (1.05, 1.0, 0.94), (0.78, 0.86, 1.03))  # BGR tint


@dataclass(frozen=True, slots=True)
class DefectPlan:
    """A defect to be put on a part; where is found when the part is drawn (`hole` names the drilled hole that is missing)."""

    label: str
    contrast: float
    size: tuple[float, float]
    hole: int | None = None


@dataclass(frozen=True, slots=True)
class PartPlan:
    """One part. `bore` holes go through to the belt, `holes` are drilled blind into a spot face."""

    index: int
    kind: str
    outline: Outline
    bore: tuple[Hole, ...]
    holes: tuple[Hole, ...]
    metal: tuple[float, float, float]
    brightness: float
    grain: float
    is_turned: bool
    angle_deg: float
    stop_px: tuple[float, float]
    dust: int
    text: str
    defects: tuple[DefectPlan, ...]


def _rounded(width: float, height: float, radius: float) -> Outline:
    """A rectangle with round corners."""
    turn = np.linspace(0, np.pi / 2, 12)
    corners = []
    for quarter, (sx, sy) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        middle = np.array([sx * (width / 2 - radius), sy * (height / 2 - radius)])
        angle = turn + quarter * np.pi / 2
        corners.append(middle + radius * np.stack([np.cos(angle), np.sin(angle)], 1))
    return np.concatenate(corners).astype(np.float32)


def _polygon(radius: float, sides: int) -> Outline:
    """A regular polygon; many sides make a circle."""
    angle = np.arange(sides) * 2 * np.pi / sides + np.pi / sides
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32)


def _circle_of_holes(count: int, distance: float, radius: float, start: float) -> tuple[Hole, ...]:
    angles = start + np.arange(count) * 2 * np.pi / count
    return tuple((float(distance * np.cos(a)), float(distance * np.sin(a)), radius) for a in angles)


def _shape(kind: str, rng: np.random.Generator, hole: float) -> tuple[Outline, tuple[Hole, ...], tuple[Hole, ...]]:
    """The outline, bores and drilled holes of one kind, its measures varying from part to part."""
    start = float(rng.uniform(0, 2 * np.pi))
    if kind == "disc":
        radius = float(rng.uniform(96, 122))
        return _polygon(radius, 180), (), _circle_of_holes(int(rng.integers(3, 7)), 0.7 * radius, hole, start)
    if kind == "ring":
        radius = float(rng.uniform(104, 126))
        return _polygon(radius, 180), ((0.0, 0.0, 0.36 * radius),), _circle_of_holes(int(rng.integers(4, 7)), 0.7 * radius, hole, start)
    if kind == "hexagon":
        radius = float(rng.uniform(112, 130))
        return _polygon(radius, 6), ((0.0, 0.0, 0.2 * radius),), _circle_of_holes(6, 0.62 * radius, hole, 0.0)
    if kind == "flange":
        width, height = float(rng.uniform(230, 270)), float(rng.uniform(130, 160))
        ends = tuple((s * (width / 2 - height / 2 + 8), 0.0, hole) for s in (-1.0, 1.0))
        return _rounded(width, height, height / 2 - 1), ((0.0, 0.0, 0.22 * height),), ends
    width, height = float(rng.uniform(200, 260)), float(rng.uniform(150, 195))
    inset = hole * 2 + 8
    corners = tuple((sx * (width / 2 - inset), sy * (height / 2 - inset), hole) for sx in (-1.0, 1.0) for sy in (-1.0, 1.0))
    if kind == "plate":
        return _rounded(width, height, 16), (), corners
    notch = 0.38 * width
    points = [(-1, -1), (1, -1), (1, 0.1), (1 - 2 * notch / width, 0.1), (1 - 2 * notch / width, 1), (-1, 1)]
    outline = np.array([(x * width / 2, y * height / 2) for x, y in points], dtype=np.float32)
    return outline, (), tuple(corners[i] for i in (0, 1, 2))


def _defects(settings: SyntheticSettings, rng: np.random.Generator, holes: int) -> tuple[DefectPlan, ...]:
    """The defects of one part: none on most, two on three in ten of the rest."""
    if rng.random() >= settings.defect_rate:
        return ()
    plans: list[DefectPlan] = []
    for _ in range(2 if rng.random() < 0.3 else 1):
        label = LABELS[int(rng.integers(len(LABELS)))]
        contrast = float(rng.uniform(*settings.contrast))
        if label == "hole" and holes and all(p.label != "hole" for p in plans):
            plans.append(DefectPlan("hole", 0.0, (0.0, 0.0), int(rng.integers(holes))))
        elif label == "scratch":
            size = (float(rng.uniform(*settings.scratch_length_px)), float(rng.uniform(*settings.scratch_width_px)))
            plans.append(DefectPlan("scratch", contrast, size))
        else:
            label = "dent" if label == "dent" else "stain"
            wide = float(rng.uniform(*(settings.dent_px if label == "dent" else settings.stain_px)))
            plans.append(DefectPlan(label, contrast, (wide, wide * float(rng.uniform(0.75, 1.0)))))
    return tuple(plans)


def design_part(settings: SyntheticSettings, index: int) -> PartPlan | None:
    """Part `index` of the line, or None where the place on the belt is empty."""
    rng = stream(settings.seed, "part", index)
    if rng.random() < settings.gap_rate:
        return None
    kind = KINDS[int(rng.integers(len(KINDS)))]
    scale = min(settings.width / 1280, settings.height / 720)
    outline, bore, holes = _shape(kind, rng, float(rng.uniform(*settings.hole_px)) / 2 / scale)
    jitter, turn = settings.jitter_px, settings.rotation_deg
    return PartPlan(
        index=index,
        kind=kind,
        outline=(outline * scale).astype(np.float32),
        bore=tuple((x * scale, y * scale, r * scale) for x, y, r in bore),
        holes=tuple((x * scale, y * scale, r * scale) for x, y, r in holes),
        metal=METALS[int(rng.integers(len(METALS)))],
        brightness=float(rng.uniform(*settings.brightness)),
        grain=float(rng.uniform(*settings.grain)),
        is_turned=kind in ("disc", "ring") or bool(rng.random() < 0.2),
        angle_deg=float(rng.uniform(-turn, turn)),
        stop_px=(float(rng.uniform(-jitter, jitter)), float(rng.uniform(-jitter, jitter))),
        dust=round(rng.uniform(*settings.dust)),
        text=f"EV-{int(rng.integers(1000, 9999))}" if rng.random() < 0.8 else "",
        defects=_defects(settings, rng, len(holes)),
    )
