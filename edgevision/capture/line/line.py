"""The line put together: any frame by its number, with its exact truth. In: settings. Out: pictures and `Truth`. Keeps drawn parts.

START READING HERE: `Line.frame`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.line.belt import Belt, Moment
from edgevision.capture.line.camera import Camera
from edgevision.capture.line.design import PartPlan, design_part
from edgevision.capture.line.scene import belt_rows, belt_skin, clock_box, light_field, station_box, surroundings
from edgevision.capture.line.settings import SyntheticSettings
from edgevision.capture.line.sprites import Sprite, draw_part
from edgevision.capture.line.truth import PhysicalDefect, Truth, TruthDefect
from edgevision.records import Box

Bytes = NDArray[np.uint8]
PITCH = 0.66  # way from one part to the next, of the picture's width
SKIN = 2  # pitches in one turn of the belt's skin
KEPT_PARTS = 6


class Line:
    """A factory line seen by one fixed camera. Frame k is the same whatever was asked for before."""

    def __init__(self, settings: SyntheticSettings | None = None) -> None:
        self.settings = settings or SyntheticSettings()
        self.station_px: Box = station_box(self.settings)
        self.clock_px: Box = clock_box(self.settings)
        self.belt = Belt(self.settings)
        self.camera = Camera(self.settings, self.settings.width * self.settings.height)
        self._pitch = round(PITCH * self.settings.width)
        self._light = light_field(self.settings)
        self._around = self._lit(surroundings(self.settings), 0)
        self._skin = belt_skin(self.settings, SKIN * self._pitch)
        self._skin = np.concatenate([self._skin, self._skin[:, : self.settings.width + 2]], axis=1)
        self._parts: OrderedDict[int, tuple[PartPlan, Sprite] | None] = OrderedDict()
        self._still: tuple[tuple[int, bool], Bytes] | None = None

    def frame(self, number: int) -> tuple[Bytes, Truth]:
        """The picture (H, W, 3) uint8 BGR of frame `number` (0 and up) and its truth."""
        moment = self.belt.at(number)
        shift = self.camera.shake(number, moment)
        picture = self.camera.expose(self._scene(moment, True), number, shift, self.clock_px)
        return picture, self._truth(number, moment, shift)

    def truth(self, number: int) -> Truth:
        """The truth of frame `number` without its picture."""
        moment = self.belt.at(number)
        return self._truth(number, moment, self.camera.shake(number, moment))

    def scene(self, number: int, *, with_defects: bool = True) -> Bytes:
        """The scene of frame `number` before the camera (no shake, lamp, noise, clock or compression)."""
        return self._scene(self.belt.at(number), with_defects).copy()

    def inspected(self, frames: int, at_least: int = 15) -> tuple[PhysicalDefect, ...]:
        """The defects of every part that stood in the station for `at_least` of the first `frames` frames."""
        found: list[PhysicalDefect] = []
        cycle = 0
        while self.belt.standing(cycle)[0] + at_least <= frames:
            first, last = self.belt.standing(cycle)
            for defect in self.truth(last - 1).defects:
                if defect.part == cycle:
                    found.append(_physical(defect, (first, min(last, frames))))
            cycle += 1
        return tuple(found)

    def truth_summary(self, frames: int) -> dict[str, Any]:
        """What there was to be found in the first `frames` frames: numbers by label, sizes and contrast as (least, median, most)."""
        defects = self.inspected(frames)
        return {
            "defects": len(defects),
            "parts": sum(self._part(c) is not None for c in range(self.belt.at(max(0, frames - 1)).cycle + 1)),
            "labels": dict(sorted(Counter(d.label for d in defects).items())),
            "area_px": _spread([d.area_px for d in defects]),
            "contrast": _spread([d.contrast for d in defects if d.label != "hole"]),
            "moving_share": sum(self.belt.at(k).is_moving for k in range(frames)) / max(1, frames),
            "noise_sigma": self.settings.noise_sigma,
        }

    def _part(self, index: int) -> tuple[PartPlan, Sprite] | None:
        """A part and its drawing, drawn when first seen and forgotten when long past."""
        if index < 0:
            return None
        if index not in self._parts:
            plan = design_part(self.settings, index)
            self._parts[index] = None if plan is None else (plan, draw_part(self.settings, plan))
            while len(self._parts) > KEPT_PARTS:
                self._parts.popitem(last=False)
        self._parts.move_to_end(index)
        return self._parts[index]

    def _corner(self, index: int, plan: PartPlan, sprite: Sprite, moment: Moment) -> tuple[float, float]:
        """Where the sprite's top left pixel lies in the frame."""
        top, bottom = belt_rows(self.settings)
        height, width = sprite.shadow.shape
        x = self.settings.width / 2 + plan.stop_px[0] + (moment.way - index - 1) * self._pitch
        return x - (width - 1) / 2, (top + bottom) / 2 + plan.stop_px[1] - (height - 1) / 2

    def _in_view(self, moment: Moment) -> list[tuple[int, Sprite, float, float]]:
        """The parts at least partly in the picture, with their corners."""
        seen = []
        for index in range(moment.cycle - 1, moment.cycle + 2):
            part = self._part(index)
            if part is None:
                continue
            x, y = self._corner(index, *part, moment)
            if -part[1].shadow.shape[1] < x < self.settings.width:
                seen.append((index, part[1], x, y))
        return seen

    def _lit(self, picture: Bytes, top: int) -> Bytes:
        """The picture under the lamp's field, its first row being row `top` of the frame."""
        lit = np.clip(picture * self._light[top : top + picture.shape[0], :, None], 0, 255).round()
        return np.asarray(lit, dtype=np.uint8)

    def _scene(self, moment: Moment, with_defects: bool) -> Bytes:
        """Surroundings, belt and parts. A standing scene is kept, because most frames show one."""
        key = (moment.cycle, with_defects)
        if not moment.is_moving and self._still is not None and self._still[0] == key:
            return self._still[1]
        scene = self._around.copy()
        top, bottom = belt_rows(self.settings)
        way = (-moment.way % SKIN) * self._pitch
        whole = int(way)
        skin = self._skin[:, whole : whole + self.settings.width + 1]
        matrix = np.array([[1, 0, whole - way], [0, 1, 0]], dtype=np.float32)
        moved = cv2.warpAffine(skin, matrix, (self.settings.width, bottom - top), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        light = cv2.merge([self._light[top:bottom]] * 3)
        scene[top:bottom] = cv2.multiply(moved, light, dtype=cv2.CV_8U)
        smear = moment.speed * self._pitch * self.settings.exposure_s * self.settings.fps
        for _, sprite, x, y in self._in_view(moment):
            self._put(scene, sprite.marred if with_defects else sprite.good, sprite.shadow, (x, y), smear)
        if not moment.is_moving:
            self._still = (key, scene)
        return scene

    def _put(self, scene: Bytes, paint: NDArray[np.float32], shadow: NDArray[np.float32], at: tuple[float, float], smear: float) -> None:
        """Lay a part and its shadow on the scene, in place."""
        left, top = int(np.floor(at[0])), int(np.floor(at[1]))
        paint, shadow = _shifted(paint, at[0] - left, at[1] - top, smear), _shifted(shadow, at[0] - left, at[1] - top, smear)
        height, width = shadow.shape
        x1, y1, x2, y2 = max(0, left), max(0, top), min(scene.shape[1], left + width), min(scene.shape[0], top + height)
        if x1 >= x2 or y1 >= y2:
            return
        inside = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
        under = scene[y1:y2, x1:x2].astype(np.float32)
        over = paint[inside]
        keep = (1 - over[..., 3:]) * (1 - shadow[inside])[..., None]
        mixed = under * keep + over[..., :3] * self._light[y1:y2, x1:x2, None]
        scene[y1:y2, x1:x2] = np.clip(mixed, 0, 255).round().astype(np.uint8)

    def _truth(self, number: int, moment: Moment, shift: tuple[float, float]) -> Truth:
        boxes: list[Box] = []
        defects: list[TruthDefect] = []
        size = (self.settings.height, self.settings.width)
        for index, sprite, x, y in self._in_view(moment):
            body = _cropped(sprite.good[..., 3], x + shift[0], y + shift[1], size)
            if body is not None:
                boxes.append(body[0])
            for defect in sprite.defects:
                seen = _cropped(defect.cover, x + shift[0], y + shift[1], size)
                if seen is not None:
                    box, mask, is_whole = seen
                    area = int(np.count_nonzero(mask))
                    defects.append(TruthDefect(defect.id, index, defect.label, box, mask, defect.contrast, area, is_whole))
        station = moment.cycle if not moment.is_moving and self._part(moment.cycle) is not None else None
        return Truth(number, tuple(boxes), moment.is_moving, station, tuple(defects))


def _physical(defect: TruthDefect, frames: tuple[int, int]) -> PhysicalDefect:
    return PhysicalDefect(defect.id, defect.part, defect.label, defect.box_px, defect.contrast, defect.area_px, frames)


def _spread(values: list[Any]) -> tuple[float, float, float] | None:
    """Least, median and most."""
    return (float(min(values)), float(np.median(values)), float(max(values))) if values else None


def _shifted(plane: NDArray[np.float32], dx: float, dy: float, smear: float) -> NDArray[np.float32]:
    """A plane moved by part of a pixel (0..1), one pixel larger, smeared along x by `smear` pixels."""
    matrix = np.array([[1, 0, dx], [0, 1, dy]], dtype=np.float32)
    size = (plane.shape[1] + 1, plane.shape[0] + 1)
    moved = cv2.warpAffine(plane, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    if smear > 1.0:
        reach = int(np.ceil((smear - 1) / 2))
        kernel = np.ones(2 * reach + 1, dtype=np.float32)
        kernel[0] = kernel[-1] = (smear - (2 * reach - 1)) / 2
        moved = cv2.filter2D(moved, -1, (kernel / kernel.sum())[None, :], borderType=cv2.BORDER_CONSTANT)
    return np.asarray(moved, dtype=np.float32)


def _cropped(cover: NDArray[np.float32], x: float, y: float, size: tuple[int, int]) -> tuple[Box, NDArray[np.bool_], bool] | None:
    """Box and mask in the frame of what `cover` (0.5 and more) covers, and whether it is wholly inside; None when none of it is."""
    rows, columns = np.nonzero(cover.max(axis=1) >= 0.2)[0], np.nonzero(cover.max(axis=0) >= 0.2)[0]
    if not len(rows):
        return None
    top, left = int(rows[0]), int(columns[0])
    x, y = x + left, y + top
    part = cover[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    mask = _shifted(part, x - np.floor(x), y - np.floor(y), 0.0) >= 0.5
    left, top = int(np.floor(x)), int(np.floor(y))
    full = np.argwhere(mask)
    seen = full[(full[:, 0] + top >= 0) & (full[:, 0] + top < size[0]) & (full[:, 1] + left >= 0) & (full[:, 1] + left < size[1])]
    if not len(seen):
        return None
    (r1, c1), (r2, c2) = seen.min(axis=0), seen.max(axis=0) + 1
    crop = np.ascontiguousarray(mask[r1:r2, c1:c2])
    crop.setflags(write=False)
    return (left + int(c1), top + int(r1), left + int(c2), top + int(r2)), crop, len(seen) == len(full)
