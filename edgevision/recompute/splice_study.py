"""What is measured at load, on a picture of noise, before a network is spliced: context, times, and so which way is the cheapest.

In: a CropNetwork, settings. Out: a SplicePlan. Keeps nothing. The context needed is found by comparing a crop's answer with the whole
network's, from the crop's edge inwards. Ways are compared by what a square of 5 % of the picture would cost, from the measured times of
whole pieces and the areas of the crops that it would take.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.kernels.forms import Float
from edgevision.recompute.anatomy import Piece
from edgevision.recompute.cover import Pattern
from edgevision.recompute.crops import CropNetwork
from edgevision.recompute.preprocess import Preprocess, build_intake
from edgevision.recompute.seams import loss, span_of
from edgevision.recompute.settings import SpliceSettings
from edgevision.recompute.splice_plan import Part, SplicePlan

Size = tuple[int, int]

_AREAS = (1 / 40, 1 / 28, 1 / 20, 1 / 14, 1 / 10, 1 / 7, 1 / 5)  # of square crops, as shares of the picture: at most 20 % wider than needed
_WIDE_AREA = 1 / 10  # of a crop twice as wide as high, and of one twice as high as wide
_PROBE_SHARE = 0.55  # side of the crop on which the margin is measured, as a share of the picture's shorter side
_PRICED_SHARE = 0.05  # of the picture changes, as one square, where ways are compared
_REFRESH_SHARE = 0.1  # of the changes are taken to move the context so far that the last piece runs whole
_EXACT_WORTH = 1.25  # times the cheapest way's price may be paid for a way that misses no context


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a piece before its crops are compiled. `margin_px` None: crops of it are not asked for."""

    piece: Piece
    whole_s: float
    margin_px: int | None = None
    error: float = 0.0


def measured_plan(
    crops: CropNetwork, shape: tuple[int, int, int, int], settings: SpliceSettings, preprocess: Preprocess, path: str
) -> SplicePlan:
    """Measure the ways, choose one, compile what it needs.

    Raises UnsupportedNetwork where no way gives the whole network's answer.
    """
    study = _Study(crops, shape, settings, preprocess, path)
    measured, refusals = {}, []
    for way in study.ways():
        try:
            measured[way] = study.measured(way)
        except UnsupportedNetwork as refusal:
            refusals.append(refusal)
    if not measured:
        raise refusals[0]
    prices = {way: study.price(pieces) for way, pieces in measured.items()}
    way = min(prices, key=lambda one: prices[one])
    if prices.get("tail", np.inf) <= _EXACT_WORTH * prices[way]:
        way = "tail"
    parts = tuple(study.part(one) for one in measured[way])
    crops.keep([key for part in parts for key in ((part.name, None), *((part.name, size) for size in (part.pattern.seconds if part.pattern else ())))])
    anatomy = crops.anatomy
    pools = tuple(name for name in (crops.context.gives if crops.context else ()) if name in crops.pool_names)
    return SplicePlan(path, shape, way, prices, _PRICED_SHARE, parts, pools, settings, anatomy.whole.macs, anatomy.align_px)


class _Study:
    """The measurements of one load. Throwaway."""

    def __init__(
        self, crops: CropNetwork, shape: tuple[int, int, int, int], settings: SpliceSettings, preprocess: Preprocess, path: str
    ) -> None:
        self._crops, self._settings, self._path = crops, settings, path
        self._free = Pattern((shape[2], shape[3]), crops.anatomy.align_px, 0, {})
        self._sizes = _sizes(settings, self._free, path)
        self._runner, self._picture = crops.runner(), _probe(shape, preprocess)
        self._kept: dict[str, Float] = {}
        self._known: dict[str, Measured] = {}
        for piece in crops.anatomy.halves or (crops.anatomy.whole,):
            self._whole(piece)
        self._kept.update({name: np.array(array) for name, array in self._runner.context(self._kept).items()})

    def ways(self) -> tuple[str, ...]:
        """Those that are asked for. Raises UnsupportedNetwork where one is that the network does not have."""
        asked = ("crops", "split", "tail") if self._settings.way == "auto" else (self._settings.way,)
        if self._crops.anatomy.halves:
            return asked
        if self._settings.way in ("split", "tail"):
            raise UnsupportedNetwork(
                f"{self._path}: recompute.splice.way is {self._settings.way}, but the network has no pooling of the whole picture that "
                "would split it; use crops, or leave it out"
            )
        return ("crops",)

    def measured(self, way: str) -> list[Measured]:
        """The pieces of a way. Raises UnsupportedNetwork where crops of one do not give the answer."""
        if way == "crops":
            return [self._cropped(self._crops.anatomy.whole)]
        body, tail = self._crops.anatomy.halves
        return [self._cropped(body), self._cropped(tail) if way == "split" else Measured(tail, self._whole(tail))]

    def _whole(self, piece: Piece) -> float:
        """Seconds of a whole run, the result of which is kept."""
        self._crops.add(piece)
        found = self._runner.run(piece, self._picture, self._kept)
        self._kept.update({name: np.array(array) for name, array in found.items() if name not in self._kept})
        return _timed(partial(self._runner.run, piece, self._picture, self._kept))

    def _cropped(self, piece: Piece) -> Measured:
        if piece.name not in self._known:
            profile = self._error_profile(piece)
            given, align = self._settings.margin_px, self._crops.anatomy.align_px
            margin = given if given is not None else margin_of(profile, self._settings, align, self._path)
            self._roomy(margin)
            self._known[piece.name] = Measured(piece, self._whole(piece), margin, float(profile[min(margin, len(profile) - 1)]))
        return self._known[piece.name]

    def price(self, pieces: list[Measured]) -> float:
        """Seconds of one square, with its share of witnesses and of whole runs of the last piece."""
        height, width = self._free.picture_px
        side, price = (_PRICED_SHARE * height * width) ** 0.5, 0.0
        for one in pieces:
            if one.margin_px is None:
                return price + one.whole_s
            price += one.whole_s * min(1.0, (side + 4 * one.margin_px) ** 2 / (height * width))
            side += 2 * one.margin_px
        if self._crops.context is None:
            return price
        return price + (min(_AREAS) + _REFRESH_SHARE) * pieces[-1].whole_s

    def part(self, one: Measured) -> Part:
        """A piece with its crops compiled and timed."""
        if one.margin_px is None:
            return Part(one.piece.name, None, 0.0, one.whole_s, one.piece.macs)
        seconds = {}
        for size in self._roomy(one.margin_px):
            self._crops.add(one.piece, size)
            run = partial(self._runner.run, one.piece, self._picture, self._kept, (0, 0, size[1], size[0]))
            seconds[size] = _timed(run)
        pattern = Pattern(self._free.picture_px, self._free.align_px, one.margin_px, seconds)
        return Part(one.piece.name, pattern, one.error, one.whole_s, one.piece.macs)

    def _roomy(self, margin: int) -> list[Size]:
        """The sizes that have room for the context. Raises UnsupportedNetwork where none has."""
        total, align = self._free.picture_px, self._free.align_px
        roomy = [
            size for size in self._sizes if all(side > 2 * margin + align or side == whole for side, whole in zip(size, total, strict=True))
        ]
        if not roomy:
            raise UnsupportedNetwork(
                f"{self._path}: needs {margin} px of context a side, no crop of {_shown(self._sizes)} has room for it; give larger "
                "recompute.splice.crop_px, a smaller margin_px, or use recompute.engine selective"
            )
        return roomy

    def _error_profile(self, piece: Piece) -> Float:
        """(distance,): how far a crop's answer lies from the whole network's at least so many pixels inside its edge, as a share of the
        range of that tensor; the worst counts, each by its 99.9 % of values. Of labels, the share that differs."""
        total, align = self._free.picture_px, self._free.align_px
        size = _fitted(_PROBE_SHARE * min(total), _PROBE_SHARE * min(total), self._free)
        self._crops.add(piece, size)
        y, x = ((whole - side) // 2 // align * align for whole, side in zip(total, size, strict=True))
        box = (x, y, x + size[1], y + size[0])
        found = self._runner.run(piece, self._picture, self._kept, box)
        depth = min(size) // 2
        profile = np.zeros(depth, np.float32)
        for name, spread in piece.gives.items():
            old = self._kept[name][(..., *spread.window(box))]
            far = np.abs(found[name] - old).reshape(-1, *old.shape[-2:]).max(axis=0)
            span = span_of(self._kept[name])
            for distance in range(0, depth, align):
                rows, columns = (_within(side, count, distance) for side, count in zip(size, far.shape, strict=True))
                inside = far[rows, columns]
                worst = loss(inside, span) if inside.size else 0.0
                profile[distance : distance + align] = np.maximum(profile[distance : distance + align], worst)
        return profile


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
