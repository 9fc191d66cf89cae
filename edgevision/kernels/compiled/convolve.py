"""Convolution over runs, every tile in registers. The pixels of the runs are listed, a few hundred at a time; block of output channels by
block, tiles take them from the list, so that a tile may span runs and a block's weights serve the whole list while the cache holds them.

With a gate over several blocks a pixel is judged by all its channels: the list's values go to a strip first and are committed from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import carray, types
from numpy.typing import NDArray

from edgevision.kernels.compiled import store
from edgevision.kernels.compiled.activations import KINDS
from edgevision.kernels.compiled.blocking import Block, pixels, split
from edgevision.kernels.compiled.cpu import Cpu
from edgevision.kernels.compiled.dot import CHANNELS, WEIGHTS, arrange, cut, kind_for
from edgevision.kernels.compiled.finish import COMPARE_BITS, COMPARE_GATE, STORE_ALL
from edgevision.kernels.compiled.jit import address_of, call, kernel
from edgevision.kernels.compiled.native import at, native
from edgevision.kernels.compiled.store import decoded
from edgevision.kernels.compiled.tile import FIELDS, JOB, Shape, ShapeType, tiles
from edgevision.kernels.forms import Convolve, Float, Kernel, Plane

_PLACE = tuple(FIELDS[name] for name in ("sources", "targets", "marks", "residuals", "count"))
_BLOCK_FIELDS = (
    "source_shift", "target_shift", "residual_shift", "weights", "starts", "bias", "factors", "extras", "extra_count", "extra_weights"
)  # fmt: skip
_BLOCK = tuple(FIELDS[name] for name in _BLOCK_FIELDS)
_SIGNATURE = (
    types.int32[:, ::1], types.int64, types.int64, types.int64[:, ::1], types.int64[::1], types.int64[:, ::1], types.int64,
    types.UniTuple(types.int64, 2), types.float32[::1], types.float32[::1],
)  # fmt: skip
_LISTED_BYTES, _LEAST, _MOST, _UNIT = 256 * 1024, 48, 504, 24
_WORTH_CUTTING = 0.35  # at most this share of steps besides
_LONG_SUM = 5  # words for each byte of a value: a shorter sum is over before memory has answered
_FEW_WORDS = 4  # of a tap: written out, as a loop would cost more than they do


@kernel
def settle(listed, count, channels, gate, scale, zero, kind):
    """Pixels of the strip (addresses in listed[4]) that moved beyond the gate (gate 0 or open: in any bit) to their targets; mark them.

    Without a strip, `channels` 0, there is nothing to do.
    """
    held = channels * (4 >> kind)  # bytes: 4, 2, 1 by kind
    for pixel in range(count if channels > 0 else 0):
        new, old = listed[4, pixel], listed[1, pixel]
        bits, before = carray(at(new, np.uint8), (held,)), carray(at(old, np.uint8), (held,))
        moved = 0
        if gate > 0:
            after, values = carray(at(new, kind), (channels,)), carray(at(old, kind), (channels,))
            for c in range(channels):
                moved |= not abs(decoded(after[c], scale, zero, kind) - decoded(values[c], scale, zero, kind)) <= gate
        else:
            for byte in range(held):
                moved |= bits[byte] != before[byte]
        if moved != 0:
            for byte in range(held):
                before[byte] = bits[byte]
            carray(at(listed[2, pixel], np.uint8), (1,))[0] = 1


@kernel
def sweep(job, shape):
    """One block of channels over a list of pixels."""
    tiles(job, shape)


@kernel
def convolve(runs, begin, end, lines, job, blocks, room, strip_room, gate, numbers, kind):
    """runs[begin:end]. `lines`: address of pixel (0, 0), bytes a row, bytes a pixel, of input, target, live bytes, perhaps residual.

    `job`: a table for tiles (see `tile.JOB`), copied; `blocks` (block, 11): address of its code, then its part of the job.
    `room`: pixels listed at once; `strip_room`: channels and bytes of a pixel in the strip, 0 without one.
    """
    own, tables, (channels, pixel_bytes) = job.copy(), lines.shape[0], strip_room
    strip, listed = np.empty(room * pixel_bytes + 1, np.uint8), np.empty((5, room), np.int64)
    for table in range(4):
        own[_PLACE[table]] = listed[table].ctypes.data
    if channels > 0:
        own[_PLACE[1]] = listed[4].ctypes.data
        for place in range(room):
            listed[4, place] = strip.ctypes.data + place * pixel_bytes
    count = 0
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        while start < stop:
            more = min(stop - start, room - count)
            for table in range(tables):
                first, step = lines[table, 0] + row * lines[table, 1] + start * lines[table, 2], lines[table, 2]
                places = listed[table]
                for k in range(more):
                    places[count + k] = first + k * step
            start += more
            count += more
            if count == room:
                flush(own, count, blocks)
                settle(listed, count, channels, gate[0], numbers[2], numbers[3], kind)
                count = 0
    flush(own, count, blocks)
    settle(listed, count, channels, gate[0], numbers[2], numbers[3], kind)


@kernel
def flush(job, count, blocks):
    """All blocks over the pixels listed."""
    if count == 0:
        return
    job[_PLACE[4]] = count
    for block in range(blocks.shape[0]):
        for place in range(len(_BLOCK)):
            job[_BLOCK[place]] = blocks[block, place + 1]
        call(blocks[block, 0], job.ctypes.data)


@dataclass(frozen=True, eq=False)
class Weights:
    """A block's weights and, lane by lane, bias, factors and (times -zero) what the sums of bytes start from.

    `extras` (step, 3): kernel row, column and word of steps besides, with their weights in `extra_values`.
    """

    block: Block
    group: int
    bias: Float
    factors: Float
    sums: NDArray[np.int32]
    kind: str
    values: NDArray[Any]
    extras: NDArray[np.int64]
    extra_values: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Packed:
    """A convolution, and for each kind of sum that a camera asked for its weights in the order of the steps."""

    form: Convolve
    cpu: Cpu
    made: dict[str, tuple[Weights, ...]] = field(default_factory=dict)

    def weights(self, kind: str) -> tuple[Weights, ...]:
        """By block of output channels, group after group."""
        if kind not in self.made:
            self.made[kind] = _weights(self.form, self.cpu, kind)
        return self.made[kind]


def pack(form: Convolve, cpu: Cpu) -> Packed:
    """The weights, put in order for the first camera that shows how its source is held."""
    return Packed(form, cpu)


def _weights(form: Convolve, cpu: Cpu, kind: str) -> tuple[Weights, ...]:
    """Zeros in unused lanes and channels."""
    outputs, inputs = form.weights.shape[0] // form.groups, form.weights.shape[1]
    words = -(-inputs // CHANNELS[kind]) * int(np.prod(form.window.kernel))
    blocks = split(outputs, words * WEIGHTS[kind] * 4, cpu)
    made = []
    for group in range(form.groups):
        for block in blocks:
            chosen = slice(group * outputs + block.start, group * outputs + block.start + block.used)
            lanes = block.vectors * block.lanes
            padded = _filled(form.weights[chosen], lanes)  # (output, channel, row, column)
            steps = _steps(padded.transpose(2, 3, 1, 0), kind, block.lanes)
            factors = np.ones(block.used, np.float32) if form.factors is None else form.factors[chosen]
            sums = padded.sum((1, 2, 3), dtype=np.int32) if padded.dtype == np.int8 else np.zeros(lanes, np.int32)
            made.append(Weights(block, group, _filled(form.bias[chosen], lanes), _filled(factors, lanes), sums, *steps))
    return tuple(made)


def _steps(weights: NDArray[Any], kind: str, lanes: int) -> tuple[str, NDArray[Any], NDArray[np.int64], NDArray[Any]]:
    """`weights` (kernel row, column, channel, output) in the order of the steps, where the steps besides are, and their weights.

    The kind may become another: with many steps besides `quads` is slower than `pairs`.
    """
    if kind == "quads":
        main, rest = (arrange(part, kind, lanes) for part in cut(weights))
        needed = rest.any((3, 4, 5))
        if needed.mean() < _WORTH_CUTTING:
            return kind, main, np.argwhere(needed), np.ascontiguousarray(rest[needed])
        kind = "pairs"
    return kind, arrange(weights, kind, lanes), np.zeros((0, 3), np.int64), np.zeros(0, np.int8)


def _filled(values: NDArray[Any], length: int) -> NDArray[Any]:
    """With zeros behind."""
    whole = np.zeros((length, *values.shape[1:]), values.dtype)
    whole[: len(values)] = values
    return whole


def bind(form: Convolve, packed: Packed, sources: tuple[Plane, ...], target: Plane, gate: Float | None) -> tuple[Kernel, int]:
    """The kernel over these planes, and the shortest run it takes: any."""
    kind = kind_for(sources[0].store, packed.cpu)
    weights = packed.weights(kind)
    limit = np.zeros(1, np.float32) if gate is None else gate
    has_strip = gate is not None and len(weights) > 1
    mode = STORE_ALL if has_strip else COMPARE_BITS if gate is None else COMPARE_GATE
    channels = len(form.weights) if has_strip else 0
    numbers = _numbers(form, sources, target)
    starts = [one.sums * np.int32(-sources[0].store.zero) for one in weights]
    job = _job(form, sources[0], kind, numbers, limit)
    extras = [one.extras @ np.array([job[FIELDS["row_step"]], job[FIELDS["column_step"]], 4]) for one in weights]
    blocks = np.array(
        [
            _block_line(form, one, sources, target, _shape(form, one, packed.cpu, (sources, target), mode)) + own
            for one, own in zip(weights, _addresses(weights, starts, extras), strict=True)
        ],
        np.int64,
    )
    lines = _lines(form, sources, target)
    room = _room(form, sources[0])
    strip = channels, channels * target.padded.itemsize
    held = store.KINDS.index(target.store.kind)
    keep = (packed, sources, target, starts, extras)

    return native(convolve, (*_SIGNATURE, types.literal(held)), (lines, job, blocks, room, strip, limit, numbers, held), keep), 1


def _room(form: Convolve, source: Plane) -> int:
    """Pixels listed at once: enough to reuse a block's weights, few enough that their inputs stay in the cache."""
    fits = _LISTED_BYTES // (form.weights.shape[1] * form.groups * source.padded.itemsize)
    return int(min(max(fits // _UNIT * _UNIT, _LEAST), _MOST))


def _lines(form: Convolve, sources: tuple[Plane, ...], target: Plane) -> NDArray[np.int64]:
    """(address, bytes a row, bytes a pixel) of input, target, live bytes, residual, each at output pixel (0, 0)."""
    source, window = sources[0], form.window
    row, step, _ = source.padded.strides
    corner = source.padded.ctypes.data + (source.top - window.pad[0]) * row + (source.left - window.pad[1]) * step
    lines = [
        (corner, row * window.stride[0], step * window.stride[1]),
        (target.values.ctypes.data, *target.values.strides[:2]),
        (target.live.ctypes.data, target.live.strides[0], 1),
    ]
    if form.residual:
        lines.append((sources[1].values.ctypes.data, *sources[1].values.strides[:2]))
    return np.array(lines, np.int64)


def _job(form: Convolve, source: Plane, kind: str, numbers: Float, limit: Float) -> NDArray[np.int64]:
    """What all blocks share."""
    row, step, _ = source.padded.strides
    dilation, (columns, words) = form.window.dilation, _taps(form, source, kind)
    job = np.zeros(len(JOB), np.int64)
    known = {
        "row_step": dilation[0] * row, "column_step": dilation[1] * step, "rows": form.window.kernel[0], "columns": columns, "words": words,
        "numbers": numbers.ctypes.data, "gate": limit.ctypes.data,
    }  # fmt: skip
    for name, value in known.items():
        job[FIELDS[name]] = value
    return job


def _taps(form: Convolve, source: Plane, kind: str) -> tuple[int, int]:
    """(taps of a kernel row, whole words of each). A row whose taps lie side by side is one tap of all their words."""
    words, columns = -(-form.weights.shape[1] // CHANNELS[kind]), form.window.kernel[1]
    if form.window.dilation[1] == 1 and source.padded.strides[1] == words * 4 and not _is_odd(form, source):
        return 1, words * columns
    return columns, words - _is_odd(form, source)


def _is_odd(form: Convolve, source: Plane) -> bool:
    """Whether a word's second half may be another tensor's channel: not to be multiplied, even by 0, as it may be no number."""
    inputs = form.weights.shape[1]
    return source.store.kind == "bf16" and inputs % 2 == 1 and (form.groups > 1 or not source.has_filling)


def _numbers(form: Convolve, sources: tuple[Plane, ...], target: Plane) -> Float:
    """See `finish.NUMBERS`."""
    residual = store.numbers(sources[1].store)[:2] if form.residual else (0, 0)
    return np.array([form.activation.alpha, form.activation.beta, *store.numbers(target.store), *residual], np.float32)


def _shape(form: Convolve, one: Weights, cpu: Cpu, planes: tuple[tuple[Plane, ...], Plane], mode: int) -> Shape:
    """The code that a block needs."""
    sources, target = planes
    activation = form.activation.kind
    columns, words = _taps(form, sources[0], one.kind)
    if target.store.kind == "u8" and target.store.zero == 0 and activation == "relu":
        activation = "none"  # bytes are cut at 0 anyway
    return Shape(
        lanes=one.block.lanes,
        vectors=one.block.vectors,
        tail=one.block.tail,
        pixels=pixels(cpu, one.block.vectors, one.kind),
        dot=one.kind,
        words=words if words <= _FEW_WORDS else 0,
        is_odd=_is_odd(form, sources[0]),
        has_columns=columns > 1,
        activation=KINDS.index(activation),
        target=target.store.kind,
        has_zero=target.store.zero != 0,
        residual=sources[1].store.kind if form.residual else "",
        mode=mode,
        is_masked=cpu.lanes == 16,
        fetches=form.window.kernel[0] * columns * words >= _LONG_SUM * target.padded.itemsize,
    )


def _block_line(form: Convolve, one: Weights, sources: tuple[Plane, ...], target: Plane, shape: Shape) -> tuple[int, ...]:
    """Address of the code; source, target and residual shift."""
    outputs, inputs = form.weights.shape[0] // form.groups, form.weights.shape[1]
    first = one.group * outputs + one.block.start
    return (
        address_of(sweep, (types.int64, ShapeType(shape))), one.group * inputs * sources[0].padded.itemsize,
        first * target.padded.itemsize, first * sources[-1].padded.itemsize if form.residual else 0,
    )  # fmt: skip


def _addresses(weights: tuple[Weights, ...], starts: list[NDArray[np.int32]], extras: list[NDArray[np.int64]]) -> Iterator[tuple[int, ...]]:
    """Of each block's weights, starts, bias, factors; of the steps besides and how many; of their weights."""
    for one, start, extra in zip(weights, starts, extras, strict=True):
        yield (
            one.values.ctypes.data, start.ctypes.data, one.bias.ctypes.data, one.factors.ctypes.data,
            extra.ctypes.data, len(extra), one.extra_values.ctypes.data,
        )  # fmt: skip
