"""How a network is spliced: which crops, with how much context, at what price. Measured at load, on a picture of noise.

In: a CropNetwork, settings. Out: a SplicePlan, which prints itself. Keeps nothing. The context needed is found by comparing a crop's answer
with the whole network's, from the crop's edge inwards; how far pools may move, by changing a part of the picture and looking elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.kernels.forms import Float
from edgevision.recompute.cover import Pattern
from edgevision.recompute.crops import CropNetwork, Runner
from edgevision.recompute.preprocess import Preprocess, build_intake
from edgevision.recompute.settings import SpliceSettings

Size = tuple[int, int]

_AREAS = (1 / 40, 1 / 28, 1 / 20, 1 / 14, 1 / 10, 1 / 7, 1 / 5)  # of square crops, as shares of the picture: at most 20 % wider than needed
_WIDE_AREA = 1 / 10  # of a crop twice as wide as high, and of one twice as high as wide
_PROBE_SHARE = 0.55  # side of the crop on which the margin is measured, as a share of the picture's shorter side


@dataclass(frozen=True, slots=True)
class SplicePlan:
    """How the network is spliced, and why. `error` is what remains beyond the margin, as a share of the output's range; `context_gate` is
    how far a pool may move, as a share of its range."""

    path: str
    shape: tuple[int, int, int, int]
    pattern: Pattern
    error: float
    whole_s: float
    pools: tuple[str, ...]
    context_gate: float
    settings: SpliceSettings
    macs: int

    @property
    def break_even(self) -> float:
        """The share of the picture from which on crops of the best size cost more than the whole network."""
        best = min(seconds / (height * width) for (height, width), seconds in self.pattern.seconds.items())
        return min(1.0, self.whole_s / best / (self.shape[2] * self.shape[3]))

    def __str__(self) -> str:
        _, channels, height, width = self.shape
        how = "as set" if self.settings.margin_px is not None else "measured"
        lines = [
            f"{self.path}: input {channels}x{height}x{width}, splice, {self.macs / 1e9:.3f} GMAC, whole {self.whole_s * 1e3:.1f} ms",
            "not bit-identical: OpenVINO runs crops, whose inner part is set into the last answer",
            f"context {self.pattern.margin_px} px a side, {how}: beyond it {self.error:.2%} of the output's range at most was missing; "
            f"crops begin at multiples of {self.pattern.align_px} px",
            f"dense from {self.break_even:.0%} of the picture in crops, measured",
        ]
        lines += [
            f"pool {name}: handed to crops from the last whole run, dense when it has moved by {self.context_gate:.2%} of its range"
            for name in self.pools
        ]
        lines += [
            f"crop {size[1]}x{size[0]}: {size[0] * size[1] / (height * width):.1%} of the picture, {seconds * 1e3:.2f} ms"
            for size, seconds in sorted(self.pattern.seconds.items())
        ]
        return "\n".join(lines)


def pool_movement(new: Mapping[str, Float], old: Mapping[str, Float]) -> float:
    """By which share of its range over channels and cells the pool that moved most did; NaN where one is."""
    return float(np.max([np.abs(new[name] - old[name]).max() / max(float(np.ptp(old[name])), 1e-30) for name in old]))


def measured_plan(
    crops: CropNetwork, shape: tuple[int, int, int, int], settings: SpliceSettings, preprocess: Preprocess, path: str
) -> SplicePlan:
    """Compile every size of crop, measure margin and times.

    Raises UnsupportedNetwork where crops cannot give the whole network's answer.
    """
    picture_px, align = (shape[2], shape[3]), crops.anatomy.align_px
    free = Pattern(picture_px, align, 0, {})
    sizes = _sizes(settings, free, path)
    probe_px = _fitted(_PROBE_SHARE * min(picture_px), _PROBE_SHARE * min(picture_px), free)
    crops.add(probe_px)
    runner, picture = crops.runner(), _probe(shape, preprocess)
    found = runner.whole(picture)
    profile = error_profile(crops, runner, picture, found, probe_px)
    margin = settings.margin_px if settings.margin_px is not None else margin_of(profile, settings, align, path)
    error = float(profile[min(margin, len(profile) - 1)])
    context = {name: np.array(found[name]) for name in crops.anatomy.context}
    roomy = [
        size for size in sizes if all(side > 2 * margin + align or side == total for side, total in zip(size, picture_px, strict=True))
    ]
    if not roomy:
        raise UnsupportedNetwork(
            f"{path}: needs {margin} px of context a side, no crop of {_shown(sizes)} has room for it; give larger "
            "recompute.splice.crop_px, a smaller margin_px, or use recompute.engine selective"
        )
    crops.keep(roomy)
    runner = crops.runner()
    seconds = {size: _timed(partial(runner.crop, picture, (0, 0, size[1], size[0]), context)) for size in roomy}
    whole_s = _timed(partial(runner.whole, picture))
    pools = crops.pools.results if crops.pools else ()
    gate = settings.context_gate or (context_gate_of(crops, runner, picture, margin, settings.tolerance) if pools else 1.0)
    return SplicePlan(path, shape, Pattern(picture_px, align, margin, seconds), error, whole_s, pools, gate, settings, crops.anatomy.macs)


def _shown(sizes: tuple[Size, ...]) -> str:
    return ", ".join(f"{width}x{height}" for height, width in sizes)


def _fitted(height: float, width: float, pattern: Pattern) -> Size:
    """The smallest size a crop may have that holds (height, width), or the picture."""
    align = pattern.align_px
    total = pattern.picture_px
    sides = [side - max(0, int((side - wanted) // align)) * align for wanted, side in zip((height, width), total, strict=True)]
    return sides[0], sides[1]


def _sizes(settings: SpliceSettings, pattern: Pattern, path: str) -> tuple[Size, ...]:
    height, width = pattern.picture_px
    if settings.crop_px:
        for size in settings.crop_px:
            if not all(pattern.fits(side, axis) for axis, side in enumerate(size)):
                fitting = _fitted(*size, pattern)
                raise UnsupportedNetwork(
                    f"{path}: recompute.splice.crop_px holds {list(size)}, which is not on the network's grid of {pattern.align_px} px "
                    f"in a picture of [{height}, {width}]; the next that is: {list(fitting)}"
                )
        return settings.crop_px
    squares = [_fitted((share * height * width) ** 0.5, (share * height * width) ** 0.5, pattern) for share in _AREAS]
    side = (_WIDE_AREA * height * width / 2) ** 0.5
    return tuple(dict.fromkeys([*squares, _fitted(side, 2 * side, pattern), _fitted(2 * side, side, pattern)]))


def _probe(shape: tuple[int, int, int, int], preprocess: Preprocess) -> Float:
    """A picture (H, W, C) of grain and patches of all sizes, in the network's units, bright in the middle: what a network makes of the
    whole of it must not be what it makes of a part. Seeded."""
    random = np.random.default_rng(0)
    _, channels, height, width = shape
    bright = [np.cos(np.linspace(-np.pi, np.pi, side, dtype=np.float32)) for side in (height, width)]
    levels = np.repeat((128 + 24 * (bright[0][:, None] + bright[1][None]))[:, :, None], 3, axis=2)
    for size in (1, 2, 8, 32, 128):
        cells = random.uniform(-1, 1, (height // size + 2, width // size + 2, 3)).astype(np.float32)
        levels += 20 * cv2.resize(cells, (width, height), interpolation=cv2.INTER_NEAREST)
    table = build_intake(preprocess, channels, (height, width)).table
    if table is None:
        raise InputError("preprocess gives no table; this is a defect of edgevision")
    bytes_ = np.clip(levels, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.stack([table[c][bytes_[:, :, c % 3]] for c in range(channels)], axis=2))


def error_profile(crops: CropNetwork, runner: Runner, picture: Float, whole: Mapping[str, Float], size: Size) -> Float:
    """(distance,): how far a crop's answer lies from the whole network's at least so many pixels inside its edge, as a share of the
    range of that output; the worst output or pooled map counts, each by its 99.9 % of values. Of labels, the share that differs."""
    height, width = picture.shape[:2]
    align = crops.anatomy.align_px
    y, x = ((total - side) // 2 // align * align for total, side in ((height, size[0]), (width, size[1])))
    box = (x, y, x + size[1], y + size[0])
    context = {name: np.array(whole[name]) for name in crops.anatomy.context}
    found = runner.crop(picture, box, context)
    depth = min(size) // 2
    profile = np.zeros(depth, np.float32)
    for name, spread in {**crops.anatomy.outputs, **crops.anatomy.pools}.items():
        old = whole[name][(..., *spread.window(box))]
        far = np.abs(found[name] - old).reshape(-1, *old.shape[-2:]).max(axis=0)
        span = span_of(whole[name])
        for distance in range(0, depth, align):
            rows, columns = (_within(side, count, distance) for side, count in zip(size, far.shape, strict=True))
            inside = far[rows, columns]
            worst = _loss(inside, span) if inside.size else 0.0
            profile[distance : distance + align] = np.maximum(profile[distance : distance + align], worst)
    return profile


def context_gate_of(crops: CropNetwork, runner: Runner, picture: Float, margin: int, tolerance: float) -> float:
    """How far pools may move before the answer does by more than the tolerance: the picture's upper quarter is darkened, then brightened,
    and what lies far below it is looked at. Taken as proportional."""
    height, width = picture.shape[:2]
    align = crops.anatomy.align_px
    edge = height // 4 // align * align
    below = (0, min(height - align, (edge + margin + align - 1) // align * align), width, height)
    before = {name: np.array(array) for name, array in runner.whole(picture).items()}
    pooled = {name: np.array(array) for name, array in runner.pool(before).items()}
    slopes = []
    for extreme in (picture.min(axis=(0, 1)), picture.max(axis=(0, 1))):
        changed = picture.copy()
        changed[:edge] = (changed[:edge] + extreme) / 2
        after = {name: np.array(array) for name, array in runner.whole(changed).items()}
        moved = pool_movement(runner.pool(after), pooled)
        for name, spread in crops.anatomy.outputs.items():
            place = (..., *spread.window(below))
            error = _loss(np.abs(after[name][place] - before[name][place]), span_of(before[name]))
            slopes.append(error / max(moved, 1e-30))
    return float(np.clip(tolerance / max(*slopes, 1e-30), 1e-4, 1.0))


def span_of(values: NDArray[Any]) -> float:
    """The range of an output, by which errors are measured; 0 for whole numbers, which are labels and either equal or not."""
    return 0.0 if values.dtype.kind in "iub" else max(float(np.ptp(values)), 1e-30)


def _loss(errors: NDArray[Any], span: float) -> float:
    return float(np.quantile(errors, 0.999)) / span if span else float(np.mean(errors != 0))


def _within(side_px: int, cells: int, distance: int) -> slice:
    """The cells at least `distance` pixels inside a side."""
    return slice(-(-distance * cells // side_px), (side_px - distance) * cells // side_px)


def margin_of(profile: Float, settings: SpliceSettings, align: int, path: str) -> int:
    """The smallest multiple of `align` beyond which no more than the tolerance is missing."""
    enough = [distance for distance in range(0, len(profile), align) if profile[distance:].max() <= settings.tolerance]
    if not enough or enough[0] > len(profile) - 2 * align:
        raise UnsupportedNetwork(
            f"{path}: {len(profile) - 1} px inside a crop its answer still differs from the whole network's by {float(profile[-1]):.1%} "
            f"of its range, recompute.splice.tolerance is {settings.tolerance:.1%}; raise it, give margin_px to accept that, or use "
            "engine selective"
        )
    return enough[0]


def _timed(run: Callable[[], object], times: int = 3) -> float:
    """Median seconds, once warm."""
    run()
    laps = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        laps.append(time.perf_counter() - began)
    return float(np.median(laps))
