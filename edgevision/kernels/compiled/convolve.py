"""Convolution over runs, every tile in registers. Output channels are taken in blocks of vectors, what is left over in one narrower block.
Groups are blocks with inputs of their own. A run shorter than a tile has been widened by the collector; the last tile overlaps.

With a gate over several blocks a pixel is judged by all its channels: the run goes to a strip first and is committed from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import types

from edgevision.kernels.compiled.activations import KINDS
from edgevision.kernels.compiled.blocking import Blocking, Part, split
from edgevision.kernels.compiled.commit import commit
from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.compiled.tile import COMPARE_BITS, COMPARE_GATE, STORE_ALL, Shape, ShapeType, pixels_of, tile
from edgevision.kernels.forms import Convolve, Float, Kernel, Plane, Runs


@kernel
def sweep(span, x, taps, weights, bias, place, live, residual, steps, numbers, wide, short):
    """One block of channels along one run: wide tiles, then short ones, the last of them set back to end where the run does.

    `span`: first pixel, end. `steps`: bytes a pixel of x, target, residual; x, place (in target or strip), live, residual are at pixel 0.
    """
    x_step, target_step, residual_step = steps
    at, stop = span
    while at + pixels_of(wide) <= stop:
        here, there, other = x + at * x_step, place + at * target_step, residual + at * residual_step
        tile(here, taps, weights, bias, there, live + at, other, residual_step, numbers, wide)
        at += pixels_of(wide)
    while at < stop:
        at = min(at, stop - pixels_of(short))
        here, there, other = x + at * x_step, place + at * target_step, residual + at * residual_step
        tile(here, taps, weights, bias, there, live + at, other, residual_step, numbers, short)
        at += pixels_of(short)


@kernel
def convolve(runs, begin, end, lines, taps, parts, numbers, gate, room, wide, short, rest_wide, rest_short):
    """runs[begin:end]. `lines`: address of pixel (0, 0), bytes a row, bytes a pixel, of input, target, live bytes, residual.

    `parts` (2, 9): see `_part_line`. `room`: pixels of the strip, 0 without one, and channels of a pixel.
    """
    longest, channels = room
    step = channels * 4 if longest > 0 else lines[5]
    steps = (lines[2], step, lines[11])
    strip = np.empty(max(longest * channels, 1), np.float32)
    scalars = (gate[0], numbers[0], numbers[1])
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        span, x, target = (start, stop), lines[0] + row * lines[1], lines[3] + row * lines[4]
        live, residual = lines[6] + row * lines[7], lines[9] + row * lines[10]
        place = np.int64(strip.ctypes.data) - start * step if longest > 0 else target
        for part in range(2):
            blocks, group_blocks, x_group, target_group, first = (
                parts[part, 0],
                parts[part, 1],
                parts[part, 2],
                parts[part, 3],
                parts[part, 4],
            )
            width, weights, weights_block, bias = parts[part, 5], parts[part, 6], parts[part, 7], parts[part, 8]
            for block in range(blocks):
                group = block // group_blocks
                xb, wb, bb = x + group * x_group, weights + block * weights_block, bias + block * width
                inside = group * target_group + first + (block - group * group_blocks) * width
                if part == 0:
                    sweep(span, xb, taps, wb, bb, place + inside, live, residual + inside, steps, scalars, wide, short)
                else:
                    sweep(span, xb, taps, wb, bb, place + inside, live, residual + inside, steps, scalars, rest_wide, rest_short)
        if longest > 0:
            commit(strip, stop - start, channels, target + start * lines[5], lines[5], live + start, gate[0])


@dataclass(frozen=True, eq=False)
class Packed:
    """A convolution's weights: for each part an array (block, kernel row, kernel column, input channel, lane) and a bias (block, lane)."""

    parts: tuple[Part, ...]
    weights: tuple[Float, ...]
    biases: tuple[Float, ...]


def pack(form: Convolve, blocking: Blocking) -> Packed:
    """The weights in the order of the sum, zeros in unused lanes."""
    outputs = form.weights.shape[0] // form.groups
    grouped = form.weights.reshape(form.groups, outputs, *form.weights.shape[1:])
    bias = form.bias.reshape(form.groups, outputs)
    parts = split(outputs, blocking)
    weights, biases = [], []
    for part in parts:
        width, stop = part.vectors * blocking.lanes, min(outputs, part.start + part.blocks * part.vectors * blocking.lanes)
        padded = np.zeros((form.groups, part.blocks * width, *form.weights.shape[1:]), np.float32)
        padded[:, : stop - part.start] = grouped[:, part.start : stop]
        blocked = padded.reshape(form.groups * part.blocks, width, *form.weights.shape[1:])
        weights.append(np.ascontiguousarray(blocked.transpose(0, 3, 4, 2, 1)))
        lanes = np.zeros((form.groups, part.blocks * width), np.float32)
        lanes[:, : stop - part.start] = bias[:, part.start : stop]
        biases.append(np.ascontiguousarray(lanes.reshape(-1, width)))
    return Packed(parts, tuple(weights), tuple(biases))


def bind(
    form: Convolve, packed: Packed, sources: tuple[Plane, ...], target: Plane, gate: Float | None, blocking: Blocking
) -> tuple[Kernel, int]:
    """The kernel over these planes, and the shortest run it takes."""
    has_strip = gate is not None and (len(packed.parts) > 1 or packed.parts[0].blocks * form.groups > 1)
    mode = STORE_ALL if has_strip else COMPARE_BITS if gate is None else COMPARE_GATE
    limit = np.zeros(1, np.float32) if gate is None else gate
    lines, taps = _lines(form, sources, target), _taps(form, sources[0])
    table = np.zeros((2, 9), np.int64)
    for place, part in enumerate(packed.parts):
        table[place] = _part_line(form, packed, place, part, blocking)
    channels = form.weights.shape[0]
    room = (target.width if has_strip else 0, channels)
    shapes = _shapes(form, packed.parts, blocking, (lines[2], channels * 4 if has_strip else lines[5]), mode, target.width)
    numbers = np.array([form.activation.alpha, form.activation.beta], np.float32)
    signature = (
        types.int32[:, ::1], types.int64, types.int64, types.UniTuple(types.int64, 12), types.UniTuple(types.int64, 5), types.int64[:, ::1],
        types.float32[::1], types.float32[::1], types.UniTuple(types.int64, 2), *(ShapeType(shape) for shape in shapes),
    )  # fmt: skip
    code = specialize(convolve, signature)
    keep = (packed, sources, target)

    def run(runs: Runs, begin: int, end: int, keep: object = keep) -> None:
        code(runs, begin, end, lines, taps, table, numbers, limit, room, None, None, None, None)

    return run, max(shape.pixels for shape in (shapes[1], shapes[3]))


def _lines(form: Convolve, sources: tuple[Plane, ...], target: Plane) -> tuple[int, ...]:
    """Address, bytes a row and bytes a pixel of input, target, live bytes, residual, each at output pixel (0, 0)."""
    source, window = sources[0], form.window
    row, step, _ = source.padded.strides
    corner = source.padded.ctypes.data + (source.top - window.pad[0]) * row + (source.left - window.pad[1]) * step
    residual = sources[1].values if form.residual else target.values
    return (
        corner, row * window.stride[0], step * window.stride[1],
        target.values.ctypes.data, *target.values.strides[:2],
        target.live.ctypes.data, target.live.strides[0], 1,
        residual.ctypes.data, *residual.strides[:2],
    )  # fmt: skip


def _taps(form: Convolve, source: Plane) -> tuple[int, int, int, int, int]:
    """Bytes between taps and how many there are. A kernel row whose taps lie side by side is one tap of all their channels."""
    window, inputs = form.window, form.weights.shape[1]
    row, step, _ = source.padded.strides
    rows, columns = window.kernel
    if window.dilation[1] == 1 and step == inputs * 4:
        inputs, columns = inputs * columns, 1
    return window.dilation[0] * row, window.dilation[1] * step, rows, columns, inputs


def _part_line(form: Convolve, packed: Packed, place: int, part: Part, blocking: Blocking) -> tuple[int, ...]:
    """(blocks of all groups, of one; input bytes a group, target bytes a group, first, bytes a block, weights, bytes a block, bias)."""
    outputs, inputs = form.weights.shape[0] // form.groups, form.weights.shape[1]
    weights, bias = packed.weights[place], packed.biases[place]
    width = part.vectors * blocking.lanes * 4
    return (
        part.blocks * form.groups, part.blocks, inputs * 4, outputs * 4, part.start * 4, width,
        weights.ctypes.data, weights.strides[0], bias.ctypes.data,
    )  # fmt: skip


def _shapes(form: Convolve, parts: tuple[Part, ...], blocking: Blocking, steps: tuple[int, int], mode: int, width: int) -> list[Shape]:
    """Wide and short tile of the first part and of the second (the first's again where there is none)."""
    shapes = []
    for part in (parts[0], parts[-1]):
        wide, short = blocking.pixels(part.vectors)
        short = short if width >= short else 1
        for pixels in (wide, short):
            kind = KINDS.index(form.activation.kind)
            shapes.append(Shape(blocking.lanes, pixels, part.vectors, part.tail, *steps, kind, int(form.residual), mode))
    return shapes
