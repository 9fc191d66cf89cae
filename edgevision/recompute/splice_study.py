"""What is measured at load, on a picture of noise, before a network is spliced: context, times, and so which way is the cheapest.

In: a CropNetwork, settings. Out: a SplicePlan. Keeps nothing. The context needed is found by comparing a crop's answer with the whole
network's, from the crop's edge inwards. Ways are compared by what a square of 5 % of the picture would cost, from the measured times of
whole pieces and the areas of the crops that it would take.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial

import cv2
import numpy as np

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.kernels.forms import Float
from edgevision.recompute.anatomy import Piece, Spread
from edgevision.recompute.cover import Crop, Pattern
from edgevision.recompute.crops import CropNetwork
from edgevision.recompute.preprocess import Preprocess, build_intake
from edgevision.recompute.seams import inner, insert, loss, span_of
from edgevision.recompute.settings import SpliceSettings
from edgevision.recompute.splice_plan import Part, SplicePlan
from edgevision.records import Box

Size = tuple[int, int]

_AREAS: tuple[float, ...] = tuple(
    np.geomspace(1 / 40, 1 / 5, 12).tolist()
)  # of square crops, as shares of the picture: a tenth apart in width
_WIDE_AREA = 1 / 10  # of a crop twice as wide as high, and of one twice as high as wide
_PROBE_SHARE = 0.55  # side of the crop on which the margin is measured, as a share of the picture's shorter side
_PRICED_SHARE = 0.05  # of the picture changes, as one square, where ways are compared
_REFRESH_SHARE = 0.1  # of the changes are taken to move the context so far that the last piece runs whole
_FEATURE_WEIGHT = 0.1  # of an error of what the body gives, beside one of the answer, where the tail misses some context itself
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
    measured, refused = {}, {}
    for way in study.ways():
        try:
            measured[way] = study.measured(way)
        except UnsupportedNetwork as refusal:
            refused[way] = str(refusal)
    if not measured:
        raise UnsupportedNetwork(next(iter(refused.values())))
    prices = {way: study.price(pieces) for way, pieces in measured.items()}
    way = min(prices, key=lambda one: prices[one])
    if prices.get("tail", np.inf) <= _EXACT_WORTH * prices[way]:
        way = "tail"
    parts = tuple(study.part(one) for one in measured[way])
    crops.keep((part.name, size) for part in parts for size in (None, *part.sizes))
    return SplicePlan(
        path=path,
        shape=shape,
        way=way,
        prices=prices,
        priced_share=_PRICED_SHARE,
        refused={one: reason.removeprefix(f"{path}: ") for one, reason in refused.items()},
        parts=parts,
        pools=crops.pool_names,
        settings=settings,
        macs=crops.anatomy.whole.macs,
        align_px=crops.anatomy.align_px,
    )


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
        self._known: dict[tuple[str, float], Measured] = {}
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
        if way == "split":
            return [self._cropped(body, _FEATURE_WEIGHT), self._cropped(tail)]
        return [self._cropped(body), Measured(tail, self._whole(tail))]

    def _whole(self, piece: Piece) -> float:
        """Seconds of a whole run, the result of which is kept."""
        self._crops.add(piece)
        found = self._runner.run(piece, self._picture, self._kept)
        self._kept.update({name: np.array(array) for name, array in found.items() if name not in self._kept})
        return _timed(partial(self._runner.run, piece, self._picture, self._kept))

    def _cropped(self, piece: Piece, weight: float = 1.0) -> Measured:
        """`weight` is that of errors of what a body gives, beside those of the answer."""
        if (piece.name, weight) not in self._known:
            given, align = self._settings.margin_px, self._crops.anatomy.align_px
            errors = self._body_errors(piece, weight) if piece.name == "body" else self._own_errors(piece)
            last = min(self._probe_px) // 2 // align - 2
            margin = given if given is not None else self._margin(errors, last) * align
            self._roomy(margin)
            self._known[piece.name, weight] = Measured(piece, self._whole(piece), margin, errors(min(margin // align, last)))
        return self._known[piece.name, weight]

    def _margin(self, error: Callable[[int], float], last: int) -> int:
        """The smallest number of squares up to `last` beyond which no more than the tolerance is missing, by halving."""
        if not error(last) <= self._settings.tolerance:
            raise UnsupportedNetwork(
                f"{self._path}: {last * self._free.align_px} px inside a crop its answer still differs from the whole network's by "
                f"{error(last):.1%} of its range, recompute.splice.tolerance is {self._settings.tolerance:.1%}; raise it, give margin_px "
                "to accept that, or use engine selective"
            )
        low, high = -1, last
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if error(middle) <= self._settings.tolerance else (middle, high)
        return high

    @property
    def _probe_px(self) -> Size:
        side = _PROBE_SHARE * min(self._free.picture_px)
        return _fitted(side, side, self._free)

    def _probed(self, piece: Piece) -> tuple[Box, dict[str, Float]]:
        """A crop in the middle, and what the piece gives of it."""
        size, align = self._probe_px, self._free.align_px
        self._crops.add(piece, size)
        y, x = ((whole - side) // 2 // align * align for whole, side in zip(self._free.picture_px, size, strict=True))
        box = (x, y, x + size[1], y + size[0])
        found = self._runner.run(piece, self._picture, self._kept, box)
        return box, {name: np.array(array) for name, array in found.items()}

    def _own_errors(self, piece: Piece) -> Callable[[int], float]:
        """How far what a crop gives lies from the whole network's at least so many squares inside its edge, as a share of the range of
        that tensor; the worst counts, each by its 99.9 % of values. Of labels, the share that differs."""
        box, found = self._probed(piece)

        def error(squares: int) -> float:
            return self._worst(found, piece.gives, box, squares * self._free.align_px)

        return error

    def _body_errors(self, body: Piece, weight: float) -> Callable[[int], float]:
        """How far the answer lies from the whole network's when the tail reads a crop's tensors, without so many squares at its edge; or,
        weighted, how far these tensors themselves do right there, as one scene may hide what another shows."""
        box, found = self._probed(body)
        tail = self._crops.anatomy.halves[1]
        outputs = self._crops.anatomy.outputs.values()

        @cache
        def error(squares: int) -> float:
            distance = squares * self._free.align_px
            crop = Crop(box, (box[0] + distance, box[1] + distance, box[2] - distance, box[3] - distance))
            mixed = {name: np.array(self._kept[name]) for name in body.gives}
            insert(mixed, found, body.gives, crop)
            answer = self._runner.run(tail, self._picture, {**self._kept, **mixed})
            late, early = ({name: spread for name, spread in piece.gives.items() if name in outputs} for piece in (tail, body))
            cut = {name: array[(..., *late[name].window(box))] for name, array in answer.items() if name in late}
            own = weight * self._worst(found, body.gives, box, distance, is_edge=True)
            return max(self._worst(cut, late, box, 0), self._worst(found, early, box, distance), own)

        return error

    def _worst(self, found: Mapping[str, Float], spreads: Mapping[str, Spread], box: Box, distance: int, is_edge: bool = False) -> float:
        """The error of what was found of a box, at least that far inside, or in the one square after that; the worst tensor's."""
        core = (box[0] + distance, box[1] + distance, box[2] - distance, box[3] - distance)
        errors = [0.0]
        for name, spread in spreads.items():
            far = np.abs(inner(found[name], spread, Crop(box, core)) - self._kept[name][(..., *spread.window(core))])
            if is_edge:
                rows, columns = (max(1, count * self._free.align_px // (stop - start)) for count, start, stop in _sides(far, core))
                within = np.ones(far.shape[-2:], bool)
                within[rows:-rows, columns:-columns] = False
                far = far[..., within]
            errors.append(loss(far, span_of(self._kept[name])))
        return max(errors)

    def price(self, pieces: list[Measured]) -> float:
        """Seconds of one square, with its share of witnesses and of whole runs of the last piece."""
        height, width = self._free.picture_px
        side, price = math.sqrt(_PRICED_SHARE * height * width), 0.0
        for one in pieces:
            if one.margin_px is None:
                return price + one.whole_s
            price += one.whole_s * min(1.0, math.pow(side + 4 * one.margin_px, 2) / (height * width))
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


def _sides(values: Float, box: Box) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """(cells, start, stop) of what lies on a box, down and across."""
    return (values.shape[-2], box[1], box[3]), (values.shape[-1], box[0], box[2])


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


def _timed(run: Callable[[], object], times: int = 3) -> float:
    """The fewest seconds, once warm: what else the machine does must not choose the way."""
    run()
    laps = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        laps.append(time.perf_counter() - began)
    return min(laps)
