"""Our change maps beside those of others, frame by frame in turn: time, right and wrong pixels, and what they would cost a network.

In: a clip, perhaps its truth. Out: rows. Keeps nothing. With a truth every model is shown at its defaults and at the best of the settings
searched on this very clip, ours like the others', all masks after the same 5x5 median. Without a clip the scene is synthetic, of 1080p.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgevision.errors import InputError
from edgevision.recompute.load import load_for_frames
from edgevision.recompute.settings import RecomputeSettings
from edgevision.records import Image, Mask
from edgevision.study.disagreement import disagreement, scale_of
from edgevision.study.peers.change_methods import Method, models, ours, plain_methods
from edgevision.study.recording import read_frames
from edgevision.study.sweep import SIGMA, scene_of

FRAMES = 500
SYNTHETIC_FRAMES = 40
SYNTHETIC_PX = (1080, 1920)
DENSE_EVERY = 10
MOVING, STILL = 255, (0, 50)  # in a truth; every other value is not judged
SETTLE_FRAMES = 5  # not timed
Told = Callable[[str], None]
Truth = Mapping[int, Path] | None


@dataclass(frozen=True, slots=True)
class ChangeTask:
    """What is measured: `clip` a video or a folder of pictures, `truth` a folder of masks whose names end in the frames' numbers."""

    clip: Path | None = None
    truth: Path | None = None
    frames: int | None = None


@dataclass(slots=True)
class Score:
    """Right and wrong pixels so far."""

    hit: int = 0
    false: int = 0
    missed: int = 0

    def add(self, mask: Mask, truth: Image) -> None:
        """Take in one frame's foreground and its truth."""
        mask = np.asarray(cv2.medianBlur(mask.view(np.uint8), 5), np.bool_)
        moving = truth == MOVING
        self.hit += int((mask & moving).sum())
        self.false += int((mask & np.isin(truth, STILL)).sum())
        self.missed += int((~mask & moving).sum())

    @property
    def f_measure(self) -> float:
        """0 to 1."""
        return 2 * self.hit / max(2 * self.hit + self.false + self.missed, 1)

    def row(self) -> dict[str, float]:
        """For a table."""
        precision, recall = self.hit / max(self.hit + self.false, 1), self.hit / max(self.hit + self.missed, 1)
        return {"precision": precision, "recall": recall, "f_measure": self.f_measure}


class Work:
    """What share of the default network's work the masks ask for, and how far its answer then is from that on the whole raw frame."""

    def __init__(self, size_px: tuple[int, int]) -> None:
        self._network, self._dense = (load_for_frames(RecomputeSettings(foreign="never"), *size_px) for _ in range(2))
        self._used: Image | None = None
        self.shares: list[float] = []
        self.disagreements: list[float] = []

    def add(self, seen: Image, live: Mask, raw: Image) -> None:
        """Take in one frame."""
        seen, raw = _coloured(seen), _coloured(raw)
        is_first = self._used is None
        if self._used is None:
            self._used = seen.copy()
        self._used[live] = seen[live]
        outputs = self._network.first(self._used) if is_first else self._network.next(self._used, live)
        costs = self._network.costs
        self.shares += [] if is_first else [costs.macs / costs.dense_macs]
        if len(self.shares) % DENSE_EVERY == 0 and not is_first:
            exact = self._dense.first(raw)
            scales = {name: scale_of(values, 1.0, True, 0.5) for name, values in exact.items()}
            self.disagreements.append(disagreement(outputs, exact, scales).total)


def _coloured(picture: Image) -> Image:
    """(H, W, 3), as the network wants it."""
    if picture.ndim == 3:
        return picture
    coloured: Image = np.repeat(picture[..., None], 3, axis=2)  # type: ignore[assignment]
    return coloured


@dataclass(slots=True)
class Entrant:
    """One method and what it showed."""

    method: Method
    work: Work | None
    score: Score = field(default_factory=Score)
    ms: list[float] = field(default_factory=list)
    live: list[float] = field(default_factory=list)

    def row(self, has_truth: bool) -> dict[str, Any]:
        """For a table."""
        found: dict[str, Any] = {"method": self.method.name, "ms_p50": float(np.median(self.ms)) if self.ms else 0.0}
        found |= self.score.row() if has_truth else dict.fromkeys(("precision", "recall", "f_measure"))
        found["live_fraction_median"] = float(np.median(self.live)) if self.live else 0.0
        has_work = self.work is not None and self.work.shares
        found["live_macs"] = float(np.mean(self.work.shares)) if self.work is not None and has_work else None
        found["disagreement"] = float(np.mean(self.work.disagreements)) if self.work is not None and self.work.disagreements else None
        return found


def bench(task: ChangeTask, told: Told = lambda text: None) -> list[dict[str, Any]]:
    """A row a method. Raises InputError for a clip or truth that is not there or does not fit."""
    frames, truth = _frames(task)
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        entrants = [Entrant(method, Work(frames[0].shape[:2])) for method in _chosen(frames, truth, told)]
        _race(entrants, frames, truth, told)
    finally:
        cv2.setNumThreads(before)
    has_truth = any(mask is not None for mask in truth)
    return [entrant.row(has_truth) for entrant in entrants]


def _chosen(frames: Sequence[Image], truth: Sequence[Image | None], told: Told) -> Iterator[Method]:
    """Each model at its defaults and, where there is a truth, at the best of its settings."""
    for make in (ours, lambda: models("MOG2"), lambda: models("KNN")):
        yield next(iter(make()))
        if any(one is not None for one in truth):
            best = max(make(), key=lambda method: _score(method, frames, truth, told))
            if best.name != next(iter(make())).name:
                yield next(method for method in make() if method.name == best.name)
    yield from plain_methods()


def _score(method: Method, frames: Sequence[Image], truth: Sequence[Image | None], told: Told) -> float:
    told(f"searching settings: {method.name}")
    score = Score()
    for image, true in zip(frames, truth, strict=True):
        foreground = method.apply(image)[0]
        if true is not None:
            score.add(foreground, true)
    return score.f_measure


def _race(entrants: Sequence[Entrant], frames: Sequence[Image], truth: Sequence[Image | None], told: Told) -> None:
    """Every frame to every method in turn; who begins turns by one."""
    for k, (image, true) in enumerate(zip(frames, truth, strict=True)):
        told(f"frame {k + 1} of {len(frames)}")
        for place in range(len(entrants)):
            entrant = entrants[(place + k) % len(entrants)]
            start = time.perf_counter()
            foreground, live = entrant.method.apply(image)
            elapsed_ms = (time.perf_counter() - start) * 1e3
            if k >= SETTLE_FRAMES:
                entrant.ms.append(elapsed_ms)
            if k:
                entrant.live.append(float(live.mean()))
            if true is not None:
                entrant.score.add(foreground, true)
            if entrant.work is not None:
                entrant.work.add(entrant.method.seen(image), live, image)


def _frames(task: ChangeTask) -> tuple[list[Image], list[Image | None]]:
    if task.clip is None:
        if task.truth is not None:
            raise InputError("--truth needs the clip that it is of; give --clip too")
        return _synthetic(task.frames or SYNTHETIC_FRAMES)
    if not task.clip.exists():
        raise InputError(f"{task.clip}: no such file or folder; give a video file or a folder of images, with --clip")
    frames = [frame.image for frame in read_frames(task.clip, task.frames or FRAMES)]
    if len(frames) <= SETTLE_FRAMES:
        raise InputError(f"{task.clip}: {len(frames)} frames could be read; at least {SETTLE_FRAMES + 1} are needed: give a longer clip")
    if any(frame.shape != frames[0].shape for frame in frames):
        raise InputError(f"{task.clip}: its frames differ in size; give a clip of one camera")
    if task.truth is None:
        return frames, [None] * len(frames)
    found = _numbered(task.truth)
    numbers = sorted(_numbered(task.clip)) if task.clip.is_dir() else range(1, len(frames) + 1)
    masks = [_mask(found[number], frames[0].shape[:2]) if number in found else None for number in list(numbers)[: len(frames)]]
    if all(mask is None for mask in masks):
        raise InputError(f"{task.truth}: no mask's name ends in the number of a frame of {task.clip}; name them as the frames")
    return frames, masks


def _numbered(folder: Path) -> dict[int, Path]:
    """Pictures by the number that their name ends in."""
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; name one of pictures whose names end in the frames' numbers")
    found = ((re.search(r"(\d+)$", path.stem), path) for path in sorted(folder.iterdir()))
    return {int(number[1]): path for number, path in found if number}


def _mask(path: Path, size_px: tuple[int, int]) -> Image:
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None or mask.shape != size_px:
        shape = "no picture" if mask is None else f"{mask.shape[1]}x{mask.shape[0]}"
        raise InputError(f"{path}: is {shape}; a truth must be a picture of the frames' size, {size_px[1]}x{size_px[0]}")
    return np.asarray(mask, np.uint8)


def _synthetic(count: int) -> tuple[list[Image], list[Image | None]]:
    """Parts that cross a noisy scene while the lamp dims a little, and where they are."""
    random = np.random.default_rng(0)
    scene = scene_of(*SYNTHETIC_PX, True, 0)
    frames: list[Image] = []
    masks: list[Image | None] = []
    for k in range(count):
        light, mask = scene * np.float32(1 - 0.1 * k / count), np.zeros(SYNTHETIC_PX, np.uint8)
        for row, speed in ((200, 18), (560, -25)) if k >= SETTLE_FRAMES else ():
            x = (500 + speed * k) % (SYNTHETIC_PX[1] - 200)
            light[row : row + 120, x : x + 160] += 40
            mask[row : row + 120, x : x + 160] = MOVING
        frames.append((light + random.normal(0, SIGMA, scene.shape)).clip(0, 255).astype(np.uint8))
        masks.append(mask)
    return frames, masks
