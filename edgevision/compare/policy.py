"""Which live pixels are recomputed now. In: ChangeMap. Out: a mask. Keeps nothing but the random numbers of `RandomPolicy`.

`threshold` is what a user runs. `all`, `none` and `random` are permanent controls: they show what the choice of pixels is worth.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from edgevision.records import ChangeMap, Mask, Settings
from edgevision.registry import Registry


class ThresholdPolicy:
    """Everything the change map calls live."""

    def select(self, change: ChangeMap) -> Mask:
        """`change.live` itself."""
        return change.live


class AllPolicy:
    """The whole frame, as a dense network would take it."""

    def select(self, change: ChangeMap) -> Mask:
        """True everywhere."""
        return np.ones_like(change.live, subok=False)


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


def register(registry: Registry) -> None:
    """The policies that ship with edgevision."""
    registry.register("policy", "threshold", ThresholdPolicy)
    registry.register("policy", "all", AllPolicy)
    registry.register("policy", "none", NonePolicy)
    registry.register("policy", "random", RandomPolicy, RandomSettings)
