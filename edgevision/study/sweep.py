"""A camera that has everything wrong with it but a change, and then small faint defects: what the change map makes of both.

In: a disturbance's name, a seed. Out: frames, places of defects, `Share`s. The scene has flat, shaded, textured and sharp-edged places.
Keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.compare.background import ChangeDetector, ChangeSettings
from edgevision.records import Image, Mask

SIGMA = 2.0  # of the camera's noise, gray levels
DEFECT_SIGMAS = 4.0
EDGE_LEVELS = 12.0  # a step to the next pixels from which on a place is a strong edge
CLEAR_PX = 5  # between a defect and the next strong edge, for those that count as away from edges
WARM_UP = 12
EVERY = 3  # frames from one with defects to the next

Floats = NDArray[np.float32]
Shot = Callable[[Floats, int, np.random.Generator], Floats]


def scene_of(height: int, width: int, colour: bool, seed: int) -> Floats:
    """(H, W[, 3]) in gray levels, between 20 and 125, so that twice as much light saturates nothing."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    gray = 70 + 20 * np.sin(rows / 37) + 15 * np.cos(columns / 53)
    for _ in range(max(4, height * width // 12_000)):
        x, y = int(random.integers(0, width)), int(random.integers(0, height))
        size = (int(random.integers(8, 60)), int(random.integers(8, 60)))
        cv2.rectangle(gray, (x, y), (x + size[0], y + size[1]), float(random.uniform(25, 118)), -1)
    left = gray[:, : width // 4]
    left += cv2.GaussianBlur(random.normal(0, 1, left.shape).astype(np.float32), (0, 0), 2) * 40
    gray = np.clip(cv2.GaussianBlur(gray, (0, 0), 0.7), 20, 118)
    return np.asarray(np.stack([gray * 0.95, gray, gray * 1.05], axis=2) if colour else gray, np.float32)


def _still(scene: Floats, k: int, random: np.random.Generator) -> Floats:
    return scene


def _gain(scene: Floats, k: int, random: np.random.Generator) -> Floats:
    """Slowly to twice the light, to half of it and back, in 120 frames."""
    return scene * np.float32(2 ** np.sin(2 * np.pi * k / 120))


def _step(scene: Floats, k: int, random: np.random.Generator) -> Floats:
    """Another gain every eight frames, at once."""
    return scene * np.float32(2 ** np.random.default_rng(k // 8).uniform(-1, 1))


def _ramp(scene: Floats, k: int, random: np.random.Generator) -> Floats:
    """The light comes from one side, then from another."""
    height, width = scene.shape[:2]
    rows, columns = np.linspace(-0.5, 0.5, height)[:, None], np.linspace(-0.5, 0.5, width)[None]
    turn = 2 * np.pi * k / 100
    light = 1 + 0.35 * (np.sin(turn) * columns + (np.cos(turn) - 1) * rows)
    return np.asarray(scene * (light if scene.ndim == 2 else light[..., None]), np.float32)


def _flicker(scene: Floats, k: int, random: np.random.Generator) -> Floats:
    """Mains light at 100 Hz under a rolling shutter of 22 ms: dark and bright bands that move."""
    height = scene.shape[0]
    light = 1 + 0.06 * np.sin(2 * np.pi * (2.2 * np.arange(height) / height + 100 * k / 30 + 0.013 * k))
    return np.asarray(scene * light.reshape((height,) + (1,) * (scene.ndim - 1)), np.float32)


def _colour(scene: Floats, k: int, random: np.random.Generator) -> Floats:
    """The white balance wanders."""
    gains = 1 + 0.2 * np.sin(2 * np.pi * k / 90 + np.array([0, 2, 4]))
    return np.asarray(scene * (gains if scene.ndim == 3 else gains[0]), np.float32)


def _shaken(scene: Floats, k: int, random: np.random.Generator) -> Floats:
    """Another shift on every frame, up to a pixel each way."""
    move = np.array([[1, 0, random.uniform(-1, 1)], [0, 1, random.uniform(-1, 1)]])
    size = (scene.shape[1], scene.shape[0])
    return np.asarray(cv2.warpAffine(scene, move, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32)


DISTURBANCES = MappingProxyType({
    "still": _still, "gain": _gain, "gain_steps": _step, "ramp": _ramp, "flicker": _flicker, "colour": _colour,
    "compression": _still, "vibration": _shaken,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera with one disturbance, watching one scene."""

    disturbance: str
    size_px: tuple[int, int]
    colour: bool
    seed: int

    def frames(self, count: int) -> Iterator[tuple[Image, Image, NDArray[np.int32], Mask]]:
        """(frame, the same with defects, their labels, strong edges): as the camera gives them; labels (H, W) are 0 outside defects."""
        random = np.random.default_rng(self.seed)
        scene = scene_of(*self.size_px, self.colour, self.seed)
        edges = strong_edges(scene)
        for k in range(count):
            light = DISTURBANCES[self.disturbance](scene, k, random)
            noise = random.normal(0, SIGMA, scene.shape)
            labels, contrast = defects(self.size_px, random)
            brighter = np.maximum(1, light.reshape(*self.size_px, -1).mean(axis=2) / scene.reshape(*self.size_px, -1).mean(axis=2))
            contrast = contrast * brighter  # a defect is seen in the light that there is
            flawed = light + noise + (contrast[..., None] if scene.ndim == 3 else contrast)
            yield self._delivered(light + noise, k), self._delivered(flawed, k), labels, edges

    def _delivered(self, values: NDArray[np.float64], k: int) -> Image:
        image = np.clip(np.rint(values), 0, 255).astype(np.uint8)
        if self.disturbance != "compression":
            return image
        quality = 60 if k % 12 == 0 else 92  # the first picture of each group is the coarse one
        return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_UNCHANGED), np.uint8)


def defects(size_px: tuple[int, int], random: np.random.Generator) -> tuple[NDArray[np.int32], Floats]:
    """Compact defects of 12 to 40 pixels, one in each cell of 48 pixels a side: their labels and what they add, brighter or darker."""
    labels, contrast = np.zeros(size_px, np.int32), np.zeros(size_px, np.float32)
    number = 0
    for top in range(0, size_px[0] - 48, 48):
        for left in range(0, size_px[1] - 48, 48):
            number += 1
            high = int(random.integers(3, 7))
            wide = max(3, int(np.ceil(random.integers(12, 41) / high)))
            y, x = top + int(random.integers(4, 36)), left + int(random.integers(4, 36))
            labels[y : y + high, x : x + wide] = number
            contrast[y : y + high, x : x + wide] = DEFECT_SIGMAS * SIGMA * random.choice((-1, 1))
    return labels, contrast


def strong_edges(scene: Floats) -> Mask:
    """Where a pixel differs from a neighbour by more than EDGE_LEVELS, and all within CLEAR_PX of it."""
    gray = scene if scene.ndim == 2 else scene[..., 1]
    steep = np.zeros(gray.shape, np.bool_)
    for axis in (0, 1):
        steps = np.abs(np.diff(gray, axis=axis)) > EDGE_LEVELS
        steep[tuple(slice(0, -1) if k == axis else slice(None) for k in (0, 1))] |= steps
        steep[tuple(slice(1, None) if k == axis else slice(None) for k in (0, 1))] |= steps
    side = 2 * CLEAR_PX + 1
    return np.asarray(cv2.dilate(steep.view(np.uint8), np.ones((side, side), np.uint8)), np.bool_)


@dataclass(slots=True)
class Found:
    """What one sweep showed: false live share and share of work by frame; (seen, all) of the defects away from edges and on them."""

    live: list[float]
    work: list[float]
    away: tuple[int, int] = (0, 0)
    on_edges: tuple[int, int] = (0, 0)
    whole_runs: int = 0


def sweep(
    camera: Camera, count: int, settings: ChangeSettings, work: Callable[[Image, Mask, bool], float] = lambda image, live, is_full: 0.0
) -> Found:
    """Show the frames to a detector. `work(picture in use, live, is_full)` says what share of a network's work that is."""
    detector, other, found = ChangeDetector(settings), ChangeDetector(settings), Found([], [])  # the other one is shown the defects
    for k, (clean, flawed, labels, edges) in enumerate(camera.frames(count)):
        if k >= WARM_UP and k % EVERY == 0:
            live = other.measure(flawed).live
            seen = set(np.unique(labels[live]).tolist()) - {0}
            near = set(np.unique(labels[edges]).tolist()) - {0}
            every = set(range(1, int(labels.max()) + 1))
            found.away = found.away[0] + len(seen - near), found.away[1] + len(every - near)
            found.on_edges = found.on_edges[0] + len(seen & near), found.on_edges[1] + len(near)
        other.update(clean)
        change = detector.measure(clean)
        share = work(change.corrected, change.live, change.full_reason is not None)
        detector.commit(change, change.live)
        if k >= WARM_UP:
            found.live.append(change.fraction)
            found.work.append(share)
            found.whole_runs += change.full_reason is not None
    return found
