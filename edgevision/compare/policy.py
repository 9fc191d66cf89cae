"""Which live pixels are recomputed now. In: ChangeMap. Out: a mask.

Kept: by `RandomPolicy` its random numbers, by `BudgetPolicy` what a pixel costs and which squares wait.

`threshold` is what a user runs, `budget` where a frame may take so long and no longer. `all`, `none` and `random` are permanent controls:
they show what the choice of pixels is worth.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgevision.records import ChangeMap, Mask, Settings
from edgevision.registry import Registry

LEAST_TIMED_PX = 256
COST_FRAMES = 16  # after which the usual cost of a pixel has followed a change


class ThresholdPolicy:
    """Everything the change map calls live."""

    def select(self, change: ChangeMap) -> Mask:
        """`change.live` itself."""
        return change.live


class AllPolicy:
    """The whole frame, as a dense network would take it."""

    def select(self, change: ChangeMap) -> Mask:
        """True everywhere; `change.live` itself where it is."""
        return change.live if change.fraction == 1.0 else np.ones_like(change.live, subok=False)


class NonePolicy:
    """Nothing: the answer of the first frame for ever. All that moved stays live, which forbids OK."""

    def select(self, change: ChangeMap) -> Mask:
        """False everywhere."""
        return np.zeros_like(change.live, subok=False)


class RandomSettings(Settings):
    """How many pixels the random control takes."""

    seed: int = Field(0, ge=0, description="Seed of the choice; the same seed chooses the same pixels.")
    fraction: float = Field(0.5, ge=0, le=1, description="Share of the live pixels that is taken on each frame.")


class RandomPolicy:
    """A seeded random share of the live pixels; what is left out stays live."""

    def __init__(self, settings: RandomSettings | None = None) -> None:
        self.settings = settings or RandomSettings()
        self._random = np.random.default_rng(self.settings.seed)

    def select(self, change: ChangeMap) -> Mask:
        """Some of `change.live`."""
        return np.asarray(change.live & (self._random.random(change.live.shape) < self.settings.fraction))


class BudgetSettings(Settings):
    """How long the network may take on a frame."""

    budget_ms: float = Field(20.0, gt=0, le=60_000, description="Milliseconds that the network may take on a frame, whole runs excepted.")
    tile_px: int = Field(32, ge=8, le=512, description="Side of the squares in which live pixels are taken or left, in pixels.")


class BudgetPolicy:
    """The live pixels that fit into a time budget, the worst first. What is left stays live, is taken next, and forbids OK meanwhile.

    The worst square is the one that has waited longest; of equal ones, the one in which most pixels are live. What a live pixel costs is
    learnt from the times that the pipeline tells (`spent`): the dearer of the last and the usual. One square is always taken, so that
    nothing waits for ever. One camera, one thread.
    """

    def __init__(self, settings: BudgetSettings | None = None) -> None:
        self.settings = settings or BudgetSettings()
        self._waited: NDArray[np.int32] = np.zeros((0, 0), np.int32)
        self._ms_px = 0.0  # nothing is known before the first frame was timed
        self._taken_px = 0

    def select(self, change: ChangeMap) -> Mask:
        """`change.live`, or the part of it that fits."""
        if change.full_reason is not None:
            self._waited[:] = 0
            self._taken_px = 0
            return change.live
        counts = self._counts(change.live)
        room_px = self.settings.budget_ms / self._ms_px if self._ms_px > 0 else float("inf")
        total = int(counts.sum())
        if total <= room_px:
            self._waited[:] = 0
            self._taken_px = total
            return change.live
        chosen = self._worst(counts, room_px)
        self._waited = np.where(chosen | (counts == 0), 0, self._waited + 1).astype(np.int32)
        self._taken_px = int(counts[chosen].sum())
        size = self.settings.tile_px
        height, width = change.live.shape
        return np.asarray(change.live & np.repeat(np.repeat(chosen, size, axis=0), size, axis=1)[:height, :width])

    def spent(self, elapsed_ms: float) -> None:
        """How long the network took on what was selected last. Whole runs and frames with hardly a live pixel say nothing of a pixel."""
        if self._taken_px < LEAST_TIMED_PX:
            return
        now = elapsed_ms / self._taken_px
        usual = self._ms_px or now
        self._ms_px = max(now, usual + (now - usual) / COST_FRAMES)

    def _counts(self, live: Mask) -> NDArray[np.int64]:
        """Live pixels in each square."""
        size = self.settings.tile_px
        rows, columns = -(-live.shape[0] // size), -(-live.shape[1] // size)
        if self._waited.shape != (rows, columns):
            self._waited = np.zeros((rows, columns), np.int32)
        room = cv2.copyMakeBorder(
            live.view(np.uint8), 0, rows * size - live.shape[0], 0, columns * size - live.shape[1], cv2.BORDER_CONSTANT, value=0
        )
        return np.asarray(room.reshape(rows, size, columns, size).sum(axis=(1, 3), dtype=np.int64))

    def _worst(self, counts: NDArray[np.int64], room_px: float) -> Mask:
        """The squares that are taken: in order until the room is used up, at least one."""
        order = np.lexsort((-counts.ravel(), -self._waited.ravel(), counts.ravel() == 0))
        filled = np.cumsum(counts.ravel()[order])
        fits = filled <= room_px
        fits[0] = True
        chosen = np.zeros(counts.size, np.bool_)
        chosen[order[fits]] = True
        return chosen.reshape(counts.shape) & (counts > 0)


def register(registry: Registry) -> None:
    """The policies that ship with edgevision."""
    registry.register("policy", "threshold", ThresholdPolicy)
    registry.register("policy", "budget", BudgetPolicy, BudgetSettings)
    registry.register("policy", "all", AllPolicy)
    registry.register("policy", "none", NonePolicy)
    registry.register("policy", "random", RandomPolicy, RandomSettings)
