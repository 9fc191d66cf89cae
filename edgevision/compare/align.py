"""Where a picture lies against another of the same scene: shift and turn, to a fraction of a pixel.

In: pictures. Out: `Pose`. Keeps, in `Landmarks`, the patches of one picture.

A landmark is a small textured patch. Each is followed from where it was last by least squares on light-normalised values, so that a
change of the lamp does not matter, and what most of them agree on is the pose: one hidden or changed landmark does not either. When
too few are found there, they are searched for coarsely within the limits, and then followed again.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.records import Image

PATCH_PX = 32
GRID = (3, 4)  # landmarks are taken from so many rows and columns of the picture, one each
LEAST_LANDMARKS = 3
LEAST_TEXTURE = 4.0  # gray levels a pixel, in the direction that shows least
AGREE_PX = 1.0
AGREE_SHARE = 0.5
ALIKE = 0.6  # normalised correlation from which a patch counts as found
ROUNDS = 4
SETTLED_PX = 0.01
COARSE_SIDE_PX = 480

Floats = NDArray[np.float32]


class Pose(NamedTuple):
    """Where a place (x, y) of the reference lies in the frame: turned by `angle` (radians) about the centre, then moved by (dx, dy)."""

    dx: float = 0.0
    dy: float = 0.0
    angle: float = 0.0

    def matrix(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """(2, 3): reference (x, y, 1) of a picture (H, W, ...) to frame (x, y)."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        cx, cy = (shape[1] - 1) / 2, (shape[0] - 1) / 2
        return np.array([[cos, -sin, cx - cos * cx + sin * cy + self.dx], [sin, cos, cy - sin * cx - cos * cy + self.dy]])

    def reach_px(self, shape: tuple[int, ...]) -> float:
        """By how much a corner of the picture moves at most."""
        return math.hypot(self.dx, self.dy) + abs(self.angle) * math.hypot(shape[0], shape[1]) / 2


class Limits(NamedTuple):
    """How far a frame may lie from its reference."""

    shift_px: float
    turn_degrees: float

    def holds(self, pose: Pose) -> bool:
        """Whether the pose lies within."""
        return math.hypot(pose.dx, pose.dy) <= self.shift_px and abs(math.degrees(pose.angle)) <= self.turn_degrees


class Landmarks:
    """The landmarks of one reference picture, (H, W) or (H, W, 3), where `allowed` (H, W) is not 0."""

    def __init__(self, picture: Image, allowed: NDArray[np.uint8] | None, limits: Limits) -> None:
        self.shape = picture.shape
        self.limits = limits
        self._factor = max(1.0, max(picture.shape[:2]) / COARSE_SIDE_PX)
        gray = gray_of(picture)
        self._places = _textured(gray, allowed, math.ceil(limits.shift_px) + PATCH_PX // 2 + 2)
        patches = _sampled(picture, self._places.astype(np.float64), 1)
        self._templates, scale = _normalised(patches[:, 1:-1, 1:-1])
        across = (patches[:, 1:-1, 2:] - patches[:, 1:-1, :-2]) / 2 / scale
        along = (patches[:, 2:, 1:-1] - patches[:, :-2, 1:-1]) / 2 / scale
        self._slopes = np.stack([across, along], axis=1).reshape(len(self._places), 2, PATCH_PX * PATCH_PX)
        self._inverse = np.linalg.inv(self._slopes @ self._slopes.transpose(0, 2, 1)) if len(self._places) else np.zeros((0, 2, 2))
        self._coarse = self._shrunk(gray)

    def __len__(self) -> int:
        return len(self._places)

    def locate(self, frame: Image, near: Pose) -> Pose | None:
        """The frame's pose, followed from `near`, else searched for within the limits; None where most landmarks are not found."""
        if len(self) < LEAST_LANDMARKS:
            return None
        found = self.follow(frame, near)
        if found is not None or self.limits.shift_px < 1:
            return found
        start = self._search(frame)
        return None if start is None else self.follow(frame, start)

    def follow(self, frame: Image, near: Pose) -> Pose | None:
        """The frame's pose within about 3 pixels of `near`; None where too few landmarks are found there."""
        if len(self) < LEAST_LANDMARKS:
            return None
        homes = self._places.astype(np.float64)
        matrix = near.matrix(self.shape)
        start = homes @ matrix[:, :2].T + matrix[:, 2]
        places = start.copy()
        alike = np.zeros(len(self))
        for _ in range(ROUNDS):
            values, _scale = _normalised(_sampled(frame, places, 0))
            alike = np.einsum("nij,nij->n", values, self._templates)
            error = (values - self._templates).reshape(len(self), -1, 1)
            step = (self._inverse @ (self._slopes @ error))[..., 0]
            places -= np.clip(step, -2, 2)
            if np.abs(step[alike > ALIKE]).max(initial=0.0) < SETTLED_PX:
                break
        known = (alike > ALIKE) & (np.abs(places - start).max(axis=1) < 4)
        return agreed(homes, places, known, self.shape)

    def _search(self, frame: Image) -> Pose | None:
        """The pose by patches of the shrunk pictures, each searched for within the limits."""
        image = self._shrunk(gray_of(frame))
        factor = self._factor
        reach = math.ceil((self.limits.shift_px + math.radians(self.limits.turn_degrees) * max(self.shape[:2]) / 2) / factor) + 1
        half = PATCH_PX // 2
        height, width = image.shape
        found = np.zeros((len(self), 2))
        known = np.zeros(len(self), np.bool_)
        for k, (x, y) in enumerate(np.rint(self._places / factor).astype(int)):
            x, y = min(max(x, half), width - half), min(max(y, half), height - half)
            left, top = max(0, x - half - reach), max(0, y - half - reach)
            window = image[top : y + half + reach, left : x + half + reach]
            match = cv2.matchTemplate(window, self._coarse[y - half : y + half, x - half : x + half], cv2.TM_CCOEFF_NORMED)
            _, best, _, (column, row) = cv2.minMaxLoc(match)
            found[k] = (left + column + half - x, top + row + half - y)
            known[k] = math.isfinite(best) and best > ALIKE
        homes = self._places.astype(np.float64)
        return agreed(homes, homes + found * factor, known, self.shape, 1.5 * factor)

    def _shrunk(self, gray: Floats) -> Floats:
        size = max(PATCH_PX + 1, round(gray.shape[1] / self._factor)), max(PATCH_PX + 1, round(gray.shape[0] / self._factor))
        return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.float32)


def agreed(
    homes: NDArray[np.float64], places: NDArray[np.float64], known: NDArray[np.bool_], shape: tuple[int, ...], agree_px: float = AGREE_PX
) -> Pose | None:
    """The pose that most of the known landmarks agree on: from their median shift, least squares on those near it, twice.

    None where fewer than half of all landmarks, or fewer than three, agree.
    """
    need = max(LEAST_LANDMARKS, math.ceil(AGREE_SHARE * len(homes)))
    if known.sum() < need:
        return None
    centre = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    pose = _consensus(homes - centre, places - centre, known, agree_px)
    for _ in range(3):
        matrix = pose.matrix(shape)
        far = np.hypot(*(places - homes @ matrix[:, :2].T - matrix[:, 2]).T)
        near = known & (far <= agree_px)
        if near.sum() < need:
            return None
        pose = _fitted(homes[near] - centre, places[near] - centre)
    return pose


def _consensus(homes: NDArray[np.float64], places: NDArray[np.float64], known: NDArray[np.bool_], agree_px: float) -> Pose:
    """Of the poses that two landmarks each define, the one that most others agree with."""
    best, most = Pose(*np.median((places - homes)[known], axis=0)), 0
    names = np.flatnonzero(known)
    for k, a in enumerate(names):
        for b in names[k + 1 :]:
            pose = _fitted(homes[[a, b]], places[[a, b]])
            turned = _turned(homes[names], pose)
            count = int((np.hypot(*(places[names] - turned).T) <= agree_px).sum())
            if count > most:
                best, most = pose, count
        if most == len(names):
            break
    return best


def _turned(points: NDArray[np.float64], pose: Pose) -> NDArray[np.float64]:
    cos, sin = math.cos(pose.angle), math.sin(pose.angle)
    return np.asarray(points @ np.array([[cos, sin], [-sin, cos]]) + (pose.dx, pose.dy))


def _fitted(homes: NDArray[np.float64], places: NDArray[np.float64]) -> Pose:
    """Least squares of shift and turn about (0, 0)."""
    middle, there = homes.mean(axis=0), places.mean(axis=0)
    (x, y), (u, v) = (homes - middle).T, (places - there).T
    angle = math.atan2(float((x * v - y * u).sum()), float((x * u + y * v).sum()))
    dx, dy = there - _turned(middle[None], Pose(angle=angle))[0]
    return Pose(float(dx), float(dy), angle)


def _textured(gray: Floats, allowed: NDArray[np.uint8] | None, margin: int) -> NDArray[np.int64]:
    """The place (x, y) in each cell of a grid whose surroundings have most texture in every direction, where that is enough."""
    height, width = gray.shape
    if min(height, width) <= 2 * margin + 1:
        return np.zeros((0, 2), np.int64)
    across, along = cv2.Scharr(gray, cv2.CV_32F, 1, 0, scale=1 / 32), cv2.Scharr(gray, cv2.CV_32F, 0, 1, scale=1 / 32)
    xx, yy, xy = (cv2.boxFilter(product, cv2.CV_32F, (PATCH_PX, PATCH_PX)) for product in (across * across, along * along, across * along))
    least = (xx + yy) / 2 - np.sqrt(np.maximum(((xx - yy) / 2) ** 2 + xy * xy, 0))
    if allowed is not None:
        least[cv2.erode(allowed, np.ones((PATCH_PX + 1, PATCH_PX + 1), np.uint8)) == 0] = 0
    places = []
    rows = np.linspace(margin, height - margin, GRID[0] + 1).astype(int)
    columns = np.linspace(margin, width - margin, GRID[1] + 1).astype(int)
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            cell = least[top:bottom, left:right]
            if cell.size and float(cell.max()) > LEAST_TEXTURE:
                y, x = divmod(int(np.argmax(cell)), right - left)
                places.append((left + x, top + y))
    return np.array(places, np.int64).reshape(-1, 2)


def _sampled(picture: Image, places: NDArray[np.float64], margin: int) -> Floats:
    """The gray patches (n, P, P) around the places (x, y), between pixels by bilinear interpolation, with `margin` more on each side."""
    half = PATCH_PX // 2 + margin
    side = 2 * half + 1
    corner = np.floor(places).astype(np.int64) - half
    corner = np.clip(corner, 0, [max(0, picture.shape[1] - side), max(0, picture.shape[0] - side)])
    crops = np.empty((len(places), side, side), np.float32)
    for crop, (x, y) in zip(crops, corner, strict=True):
        piece = picture[y : y + side, x : x + side]
        crop[:] = piece if piece.ndim == 2 else piece[..., picture.shape[2] // 2]
    part = np.clip(places - corner - half, 0, 1).astype(np.float32)
    fx, fy = part[:, 0, None, None], part[:, 1, None, None]
    rows = crops[:, :-1] + fy * (crops[:, 1:] - crops[:, :-1])
    return np.asarray(rows[:, :, :-1] + fx * (rows[:, :, 1:] - rows[:, :, :-1]))


def _normalised(patches: Floats) -> tuple[Floats, Floats]:
    """The patches with mean 0 and length 1, and the lengths they had (n, 1, 1)."""
    centred = patches - patches.mean(axis=(1, 2), keepdims=True)
    length = np.maximum(np.sqrt(np.einsum("nij,nij->n", centred, centred)), 1e-6)[:, None, None]
    return np.asarray(centred / length, np.float32), np.asarray(length, np.float32)


def gray_of(picture: Image) -> Floats:
    """(H, W) in gray levels of an 8-bit picture: the picture itself, or its middle channel."""
    plane = picture if picture.ndim == 2 else picture[..., picture.shape[2] // 2]
    return np.asarray(plane / np.float32(1 if picture.dtype == np.uint8 else 257), np.float32)


def warped(picture: NDArray[Any], pose: Pose, outside: float | None = None) -> NDArray[Any]:
    """The reference's picture as it lies in the frame, bilinear; beyond its border `outside`, or its own border where None."""
    size = (picture.shape[1], picture.shape[0])
    if outside is None:
        return np.asarray(cv2.warpAffine(picture, pose.matrix(picture.shape), size, borderMode=cv2.BORDER_REPLICATE))
    return np.asarray(cv2.warpAffine(picture, pose.matrix(picture.shape), size, borderValue=(outside,) * 4))
