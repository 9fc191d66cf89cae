"""Has what the camera shows moved away from what it showed when it was set up? Told before verdicts go bad, not after.

In: statistics of samples (`door.py`). Out: notices, one for each statistic that has moved too far, with by how much and what to do. How it
was is learnt from the first blocks of samples. A statistic has moved when the mean of the last blocks, or at once one block by twice as
much, lies beyond its limit, and beyond what the blocks that were learnt from did by themselves. What was hardly ever seen is told within a
few samples: pixels that are brighter, darker or rougher than any that were learnt. Keeps: what was learnt, the last blocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from edgevision.errors import InputError
from edgevision.recompute.door import DETAILS, GRAYS, LEAST, Vector
from edgevision.recompute.shift_settings import ShiftSettings
from edgevision.recompute.stains import Ranges
from edgevision.records import Notice

SCHEMA = 3
OWN_SPREAD, OWN_OF_MANY = 2.0, 3.0  # times the farthest block that was learnt from: nearer is what the scene does by itself
FEW = 2
JUMP = 2.0  # times the limit in one block
BACK = 0.8  # of the limit: from here on it is over
AT_ONCE, TRIED = 3, 5  # samples with novel pixels, of the last so many
RARE = 1e-5  # the share of a kind of pixels up to which it counts as never seen
APART = ("kinds", "spread")  # what a sample holds beside statistics


@dataclass(frozen=True, slots=True)
class _Cause:
    words: str
    remedy: str
    grown: str | None = None  # the remedy where it is more than it was, if that is another one


CAUSES: Mapping[str, _Cause] = MappingProxyType(
    {
        "light": _Cause("the light", "see to the lamp: it ages, is dirty, or the exposure was changed"),
        "brightness": _Cause("brightness as the network sees it", "see to lamp and exposure; another kind of part must be trained"),
        "contrast": _Cause("contrast", "clean the lens, see to the lamp; another kind of part must be trained"),
        "sharpness": _Cause(
            "sharpness",
            "see to the focus and clean the lens",
            "see to lamp and gain, which make noise; another kind of part must be trained",
        ),
        "noise": _Cause("noise", "see to lamp and gain: a sensor that is hot or short of light is noisy"),
        "shake": _Cause("how far the picture shakes", "see to the camera's mount and to what shakes beside it"),
        "colour": _Cause("colour", "see to the lamp and the camera's white balance"),
        "evenness": _Cause("one part of the picture beside the rest", "clean the lens, look for a shadow or a lamp that is out"),
        "stains": _Cause("one place of the picture beside those around it", "clean the lens and the glass before it"),
        "features": _Cause("what the network sees in the pictures", "another kind of part or surface: train the network on it"),
        "novelty": _Cause("the picture", "another kind of part, surface or light: train the network on it"),
    }
)
MEANT = "; if it is meant to be so, ask learn_reference"


@dataclass(frozen=True, slots=True)
class Learnt:
    """How one statistic was: its mean; `own`, how far the farthest block that was learnt from lay from it; `scale` divides, where given.

    A statistic of several values has moved where one of them has, each by its own measure; features, where they have on average.
    """

    mean: Vector
    own: Vector
    scale: Vector | None = None

    def distance(self, value: Vector) -> Vector:
        """How far a value lies from the mean, as the limits count it."""
        if self.scale is not None:
            return np.array([np.mean(np.abs(value - self.mean) / self.scale)])
        return np.asarray(np.abs(self._ratios(value) - 1))

    def farthest(self, value: Vector, limit: float) -> tuple[float, float, float | None]:
        """Of what has moved most: how far, of its limit; that limit; and how it is beside what it was, None for features."""
        own_times = OWN_SPREAD if len(self.own) <= FEW else OWN_OF_MANY  # one of many strays sooner
        limits = np.maximum(limit, own_times * self.own)
        reached = self.distance(value) / limits
        place = int(np.argmax(reached))
        return float(reached[place]), float(limits[place]), None if self.scale is not None else float(self._ratios(value)[place])

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"mean": self.mean.tolist(), "own": self.own.tolist(), "scale": None if self.scale is None else self.scale.tolist()}

    def _ratios(self, value: Vector) -> Vector:
        return np.asarray(value / np.where(np.abs(self.mean) < LEAST, LEAST, self.mean))


class ShiftMonitor:
    """One camera's. `take` a sample's statistics now and then."""

    def __init__(self, settings: ShiftSettings) -> None:
        self.settings = settings
        self.forget()

    def forget(self) -> None:
        """Learn anew from what comes next."""
        self._learnt: dict[str, Learnt | Ranges] = {}
        self._samples: list[Mapping[str, Vector]] = []
        self._blocks: deque[Mapping[str, Vector]] = deque(maxlen=max(self.settings.learn_blocks, self.settings.window))
        self._moved: set[str] = set()
        self._seen: Vector | None = None  # the share of each kind of pixels; in the second half of learning, that of the first one
        self._own = 0.0  # the largest share of novel pixels in that second half
        self._novel: deque[bool] = deque(maxlen=TRIED)
        self._quiet = 0  # samples since the last novel one

    @property
    def is_learnt(self) -> bool:
        """Whether it is known how it was."""
        return bool(self._learnt)

    @property
    def moved(self) -> frozenset[str]:
        """The statistics that have moved, as of the last block."""
        return frozenset(self._moved)

    def take(self, sample: Mapping[str, Vector]) -> tuple[Notice, ...]:
        """Take in one sample; what is news: of novel pixels at once, of all else at the end of a block."""
        news = self._look(sample["kinds"]) if "kinds" in sample else ()
        self._samples.append(sample)
        if len(self._samples) < self.settings.block:
            return news
        self._blocks.append(self._block())
        self._samples = []
        if not self._learnt:
            if len(self._blocks) == self.settings.learn_blocks:
                self._learn()
            elif len(self._blocks) == (self.settings.learn_blocks + 1) // 2:
                self._seen = _mean(self._blocks).get("kinds")
            return ()
        return news + tuple(notice for name, learnt in self._learnt.items() if (notice := self._judge(name, learnt)) is not None)

    def _block(self) -> dict[str, Vector]:
        """What a block of samples comes to; of stains, how far they have strayed once that can be said, before that all samples."""
        fields = [sample["stains"] for sample in self._samples if "stains" in sample]
        if not fields:
            return _mean(self._samples)
        ranges = self._learnt.get("stains")
        stains = np.stack(fields)
        return _mean(self._samples) | {"stains": ranges.strayed(stains) if isinstance(ranges, Ranges) else stains}

    def _look(self, kinds: Vector) -> tuple[Notice, ...]:
        """Tell when too many pixels are of kinds that were never seen, and when that is over."""
        if self._seen is None:
            return ()
        share = float(kinds[self._seen <= RARE].sum())
        if not self._learnt:
            self._own = max(self._own, share)
            return ()
        limit = max(self.settings.limits.novelty, OWN_SPREAD * self._own)
        self._novel.append(share > limit)
        self._quiet = 0 if any(self._novel) else self._quiet + 1
        if "novelty" not in self._moved and sum(self._novel) >= AT_ONCE:
            self._moved.add("novelty")
            how = f"{share:.1%} of the pixels are as none was when the camera was set up, the limit is {limit:.1%}"
            return (Notice("shift", "shift novelty", f"shift: {CAUSES['novelty'].words}: {how}: {CAUSES['novelty'].remedy}{MEANT}"),)
        if "novelty" in self._moved and self._quiet >= self.settings.block:
            self._moved.discard("novelty")
            return (_over("novelty"),)
        return ()

    def _learn(self) -> None:
        whole = _mean(self._blocks)
        for name, mean in whole.items():
            if name in APART:
                continue
            if name == "stains":
                self._learnt[name] = Ranges.of([block[name] for block in self._blocks if name in block])
                continue
            scale = np.maximum(whole["spread"], LEAST) if name == "features" else None
            learnt = Learnt(mean, np.zeros(1), scale)
            own = np.max([learnt.distance(block[name]) for block in self._blocks if name in block], axis=0)
            self._learnt[name] = Learnt(mean, own, scale)
        self._seen = whole.get("kinds")
        self._blocks.clear()

    def _judge(self, name: str, learnt: Learnt | Ranges) -> Notice | None:
        """What is news of one statistic."""
        values = [block[name] for block in self._blocks if name in block][-self.settings.window :]
        if not values:
            return None
        limit = float(getattr(self.settings.limits, name))
        slow, last = (learnt.farthest(value, limit) for value in (np.mean(values, axis=0), values[-1]))
        is_slow = len(values) == self.settings.window and slow[0] > 1
        if name not in self._moved and (is_slow or last[0] > JUMP):
            self._moved.add(name)
            return Notice("shift", f"shift {name}", _told(name, *(slow if is_slow else last)))
        if name in self._moved and max(slow[0], last[0]) < BACK:
            self._moved.discard(name)
            return _over(name)
        return None

    def plain(self) -> dict[str, Any]:
        """What was learnt, for JSON."""
        learnt = {name: each.plain() for name, each in self._learnt.items()}
        return {"schema": SCHEMA, "learnt": learnt, "seen": None if self._seen is None else self._seen.tolist(), "own": self._own}

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Go on from what was learnt before. Raises InputError for what is no such thing; then nothing is changed."""
        try:
            if plain["schema"] != SCHEMA:
                raise ValueError(f"schema {plain['schema']!r}")
            known = {str(name): each for name, each in plain["learnt"].items() if name in CAUSES}
            learnt = {name: Ranges.restored(each) if name == "stains" else _learnt(each) for name, each in known.items()}
            seen = None if plain["seen"] is None else np.array(plain["seen"], np.float64)
            if seen is not None and seen.shape != (GRAYS * DETAILS,):
                raise ValueError("the kinds of pixels are other ones")
            own = float(plain["own"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"what was learnt of the camera's pictures cannot be read ({error}); it is learnt anew") from error
        self.forget()
        self._learnt, self._seen, self._own = learnt, seen, own


def _learnt(plain: Mapping[str, Any]) -> Learnt:
    mean, scale = np.array(plain["mean"], np.float64), plain["scale"]
    if mean.ndim != 1 or not np.isfinite(mean).all():
        raise ValueError("a mean is no row of numbers")
    own = np.array(plain["own"], np.float64)
    if own.ndim != 1 or len(own) not in (1, len(mean)):
        raise ValueError("what it did by itself is no row of numbers")
    return Learnt(mean, own, None if scale is None else np.array(scale, np.float64).reshape(mean.shape))


def _mean(samples: Any) -> dict[str, Vector]:
    """The mean of each statistic over those samples that have it."""
    names = dict.fromkeys(name for sample in samples for name in sample)
    return {name: np.mean([sample[name] for sample in samples if name in sample], axis=0) for name in names}


def _over(name: str) -> Notice:
    return Notice("shift", f"shift {name}", f"{CAUSES[name].words}: again as it was when the camera was set up", is_over=True)


def _told(name: str, reached: float, limit: float, ratio: float | None) -> str:
    cause = CAUSES[name]
    how = f"has moved by {reached * limit:.2f} of its spread, the limit is {limit:.2f}"
    if ratio is not None:
        how = f"is {ratio:.2f} times what it was when the camera was set up, the limit is {limit:.0%} off"
    remedy = cause.remedy if ratio is None or ratio < 1 else cause.grown or cause.remedy
    return f"shift: {cause.words} {how}: {remedy}{MEANT}"
