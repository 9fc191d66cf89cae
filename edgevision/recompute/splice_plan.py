"""How a network is spliced: in which pieces, on which crops, and why. In: what was measured (`splice_study`). Out: a SplicePlan, which
prints itself. Keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgevision.kernels.forms import Float
from edgevision.recompute.cover import Pattern, Size
from edgevision.recompute.settings import SpliceSettings


@dataclass(frozen=True, slots=True)
class Part:
    """How one piece of the network runs. `pattern` says how crops of it are cut; None: it always runs whole. `error` is what remains
    beyond the margin, as a share of a tensor's range."""

    name: str
    pattern: Pattern | None
    error: float
    whole_s: float
    macs: int

    @property
    def sizes(self) -> tuple[Size, ...]:
        """Of crops, (height, width)."""
        return tuple(self.pattern.seconds) if self.pattern else ()

    @property
    def break_even(self) -> float:
        """The share of the picture from which on crops of the best size cost more than all of it."""
        if self.pattern is None:
            return 0.0
        best = min(seconds / (height * width) for (height, width), seconds in self.pattern.seconds.items())
        return min(1.0, self.whole_s / best / (self.pattern.picture_px[0] * self.pattern.picture_px[1]))


@dataclass(frozen=True, slots=True)
class SplicePlan:
    """How the network is spliced. `way`: crops (of the whole network), split (of body, then of tail), tail (crops of the body, the tail
    whole); `prices` are the seconds for which it was chosen, of a square of `priced_share` of the picture; `refused` says why other ways
    were not to be had."""

    path: str
    shape: tuple[int, int, int, int]
    way: str
    prices: Mapping[str, float]
    priced_share: float
    refused: Mapping[str, str]
    parts: tuple[Part, ...]
    pools: tuple[str, ...]
    settings: SpliceSettings
    macs: int
    align_px: int

    def __str__(self) -> str:
        _, channels, height, width = self.shape
        lines = [
            f"{self.path}: input {channels}x{height}x{width}, splice, {self.macs / 1e9:.3f} GMAC",
            "not bit-identical: OpenVINO runs crops, whose inner part is set into the last answer",
            f"way {self.way}: {self._why()}",
            *(f"not {way}: {reason}" for way, reason in self.refused.items()),
        ]
        for part in self.parts:
            lines += self._lines(part)
        lines += [f"pool {name}: {self._guard()}" for name in self.pools]
        return "\n".join(lines)

    def _why(self) -> str:
        does = {
            "crops": "crops go through the whole network, with the context of the picture as it was before",
            "split": "crops go through the body, then through the tail, with the context that the body's new tensors give",
            "tail": "crops go through the body, the tail runs whole on every change, so that no context is missing",
        }[self.way]
        if self.settings.way != "auto":
            return f"{does}; as set"
        prices = ", ".join(f"{way} {seconds * 1e3:.1f} ms" for way, seconds in sorted(self.prices.items(), key=lambda item: item[1]))
        return f"{does}; a square of {self.priced_share:.0%} of the picture is estimated at {prices}"

    def _guard(self) -> str:
        if self.way == "tail":
            return "in the tail, always right"
        gate = self.settings.context_gate
        last = self.parts[-1].name
        if gate is not None:
            return f"{last} runs whole when it has moved by {gate:.2%} of its range, as set"
        return f"{last} runs whole when witnesses (crops elsewhere) show the answer moved by {self.settings.tolerance:.2%} of its range"

    def _lines(self, part: Part) -> list[str]:
        share = part.macs / max(1, self.macs)
        head = f"{part.name}: {part.macs / 1e9:.3f} GMAC ({share:.0%}), whole {part.whole_s * 1e3:.1f} ms"
        if part.pattern is None:
            return [f"{head}, always whole"]
        how = "as set" if self.settings.margin_px is not None else "measured"
        height, width = part.pattern.picture_px
        return [
            f"{head}, whole from {part.break_even:.0%} of the picture in crops, measured",
            f"{part.name}: context {part.pattern.margin_px} px a side, {how}: beyond it {part.error:.2%} of a tensor's range at most was "
            f"missing; crops begin at multiples of {part.pattern.align_px} px",
            *(
                f"{part.name} crop {size[1]}x{size[0]}: {size[0] * size[1] / (height * width):.1%} of the picture, {seconds * 1e3:.2f} ms"
                for size, seconds in sorted(part.pattern.seconds.items())
            ),
        ]


def pool_movement(new: Mapping[str, Float], old: Mapping[str, Float]) -> float:
    """By which share of its range over channels and cells the pool that moved most did; NaN where one is."""
    return float(np.max([np.abs(new[name] - old[name]).max() / max(float(np.ptp(old[name])), 1e-30) for name in new]))
