"""Transposed convolution without multiplying by the zeros between its inputs: each output phase (row mod stride, column mod stride) is a
small convolution of its own, and all phases, joined as channels, are dealt out to their pixels.

In: a node and the Reader. Out: what it means, entered there. Raises Unfit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Convolve, Pick, Window
from edgevision.recompute.arrangement import Arrangement
from edgevision.recompute.node import Node
from edgevision.recompute.operations import Join, Unfit
from edgevision.recompute.reader import Reader


@dataclass(frozen=True, slots=True)
class Phase:
    """Along one axis: outputs `first` + n * stride are a convolution by the kernel's `taps`, beginning at input n - `pad`."""

    first: int
    taps: tuple[int, ...]
    pad: int
    dilation: int

    @property
    def geometry(self) -> tuple[int, int, int]:
        """What phases must share to be one convolution."""
        return len(self.taps), self.pad, self.dilation


def phases_of(stride: int, kernel: int, dilation: int, pad: int) -> list[Phase]:
    """Every phase along an axis: output o has tap k of input i where o = i * stride + k * dilation - pad."""
    phases = []
    for first in range(stride):
        offsets = {(first + pad - k * dilation) // stride: k for k in range(kernel) if (first + pad - k * dilation) % stride == 0}
        order = sorted(offsets)
        start = order[0] if order else 0
        phases.append(Phase(first, tuple(offsets[offset] for offset in order), -start, dilation // gcd(stride, dilation)))
    return phases


def transposed(node: Node, reader: Reader) -> None:
    """ConvolutionBackpropData, GroupConvolutionBackpropData."""
    seen = reader.floats(node)
    if not seen.arrangement.is_plain:
        raise Unfit(f"{node.op} of a rearranged picture")
    weights = np.ascontiguousarray(reader.constant(node, 1), dtype=np.float32)
    groups = weights.shape[0] if node.op.startswith("Group") else 1
    kernel = weights.reshape(groups, -1, *weights.shape[-3:])  # (group, input channel, output channel, row, column)
    output = reader.shapes[node.outputs[0]]
    size = output[1], output[2], output[3]
    stride = [int(step) for step in node.attributes["strides"]]
    pads = _pads(node, reader, kernel.shape[3:], output)
    rows, columns = (phases_of(stride[a], kernel.shape[3 + a], int(node.attributes["dilations"][a]), pads[a]) for a in (0, 1))
    result = replace(reader.result(node, Arrangement.plain(*size)), inputs=(seen.picture,))
    if stride == [1, 1]:
        result = _with_whole(result, node, reader, groups, (rows, columns))
        reader.emit(result, _convolution(kernel, rows, columns), (seen.picture,), size)
        return
    row_groups, column_groups = _grouped(rows, groups > 1), _grouped(columns, groups > 1)
    phase_px = -(-output[2] // stride[0]), -(-output[3] // stride[1])
    parts: list[str] = []
    for above in row_groups:
        for left in column_groups:
            form, part = _convolution(kernel, above, left), reader.part(node, f"phase{len(parts)}")
            part = _with_whole(part, node, reader, groups, (above, left))
            parts.append(reader.emit(part, form, (seen.picture,), (len(form.weights), *phase_px)))
    joined = _join(node, reader, parts, (output[1] * stride[0] * stride[1], *phase_px))
    reader.emit(result, _dealt(row_groups, column_groups, output), (joined,), size)


def _pads(node: Node, reader: Reader, kernel: tuple[int, ...], output: tuple[int, ...]) -> list[int]:
    """Rows and columns cut off before the picture; where the file gives the output's size, what is too much is shared out."""
    mode = str(node.attributes.get("auto_pad", "explicit")).lower()
    if mode == "valid":
        return [0, 0]
    if mode not in ("same_upper", "same_lower"):
        return [int(pad) for pad in node.attributes["pads_begin"]]
    pads, source = [], reader.shapes[node.inputs[0]]
    for axis in (0, 1):
        full = (
            (source[2 + axis] - 1) * int(node.attributes["strides"][axis])
            + (kernel[axis] - 1) * int(node.attributes["dilations"][axis])
            + 1
        )
        total = max(0, full + int((node.attributes.get("output_padding") or [0, 0])[axis]) - output[2 + axis])
        pads.append(total // 2 if mode == "same_upper" else total - total // 2)
    return pads


def _grouped(phases: list[Phase], is_apart: bool) -> list[list[Phase]]:
    """Phases of one geometry together, where all geometries have equally many; else each by itself."""
    groups: dict[tuple[int, int, int], list[Phase]] = {}
    for phase in phases:
        groups.setdefault(phase.geometry, []).append(phase)
    if is_apart or len({len(group) for group in groups.values()}) != 1:
        return [[phase] for phase in phases]
    return list(groups.values())


def _convolution(kernel: NDArray[Any], rows: list[Phase], columns: list[Phase]) -> Convolve:
    """The phases rows x columns, which share their geometry, as one convolution; its channels are theirs, one after another."""
    weights = [_weights(kernel, row.taps, column.taps) for row in rows for column in columns]
    outputs = np.concatenate(weights, axis=0)
    window = Window(outputs.shape[2:], dilation=(rows[0].dilation, columns[0].dilation), pad=(rows[0].pad, columns[0].pad))
    return Convolve(window, outputs, np.zeros(len(outputs), np.float32), groups=len(kernel))


def _with_whole(part: Node, node: Node, reader: Reader, groups: int, phases: tuple[list[Phase], list[Phase]]) -> Node:
    """The part with whole-numbered weights, where the file has them."""
    found = reader.whole_weights(node, 1)
    if found is None:
        return part
    shape = (groups, -1, *found[0].shape[-3:])
    steps, scale = (
        np.concatenate([_weights(array.reshape(shape), row.taps, column.taps) for row in phases[0] for column in phases[1]], axis=0)
        for array in found
    )
    return reader.enter_weights(part, steps, scale)


def _weights(kernel: NDArray[Any], rows: tuple[int, ...], columns: tuple[int, ...]) -> NDArray[Any]:
    """(output channel, input channel of its group, row, column); one tap of 0 where a phase has none."""
    if not rows or not columns:
        return np.zeros((kernel.shape[0] * kernel.shape[2], kernel.shape[1], max(1, len(rows)), max(1, len(columns))), kernel.dtype)
    chosen = kernel[:, :, :, rows][..., columns].transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(chosen.reshape(-1, *chosen.shape[2:]))


def _join(node: Node, reader: Reader, parts: list[str], size: tuple[int, int, int]) -> str:
    if len(parts) == 1:
        return parts[0]
    part = replace(reader.part(node, "phases"), inputs=tuple(parts))
    return reader.enter(part, Join(tuple(parts), is_private=True), size)


def _dealt(rows: list[list[Phase]], columns: list[list[Phase]], output: tuple[int, ...]) -> Pick:
    """Each pixel takes the channels of its phase."""
    channels, down, across = output[1], len(rows[0]), len(columns[0])
    row_starts, column_starts = np.zeros(down * len(rows), np.int32), np.zeros(across * len(columns), np.int32)
    for place, group in enumerate(rows):
        for inside, phase in enumerate(group):
            row_starts[phase.first] = (place * len(columns) * down * across + inside * across) * channels
    for place, group in enumerate(columns):
        for inside, phase in enumerate(group):
            column_starts[phase.first] = (place * down * across + inside) * channels
    y, x = np.arange(output[2]), np.arange(output[3])
    nothing = np.zeros(channels, np.int32)
    return Pick(
        rows=(y // len(row_starts)).astype(np.int32),
        columns=(x // len(column_starts)).astype(np.int32),
        taps=np.stack([nothing, nothing, np.arange(channels, dtype=np.int32)], axis=1),
        row_channel=row_starts[y % len(row_starts)],
        column_channel=column_starts[x % len(column_starts)],
    )
