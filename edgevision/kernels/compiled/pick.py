"""Values from elsewhere, over runs: channel shuffles, depth to space and back, padding, cropping, strided slices. Then the activation.

Channels whose sources lie side by side, or evenly spaced, are one stretch and copied in one loop.
"""

from __future__ import annotations

import numpy as np
from numba import carray, types
from numpy.typing import NDArray

from edgevision.kernels.compiled.activations import KINDS as ACTIVATIONS
from edgevision.kernels.compiled.activations import activate
from edgevision.kernels.compiled.commit import CommitShape, commit_strip
from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.native import at, native
from edgevision.kernels.compiled.store import BYTES, KINDS, decoded, numbers
from edgevision.kernels.compiled.strip import Outline, ShapeType
from edgevision.kernels.forms import Float, Kernel, Pick, Plane


@kernel
def pick(runs, begin, end, lines, size, places, stretches, ends, gate, given, kind, store, shape):
    """runs[begin:end]. `size`: channels, longest run, full vectors, bytes of a source's value. `places`: rows, columns, row_channel,
    column_channel of the form.

    `stretches` (stretch, 6): first channel, channels, down, across, source channel (-1: outside), step of the source channel.
    `ends`: alpha, beta, fill, the source's scale and zero.
    """
    channels, longest, full, width = size
    rows, columns, row_channel, column_channel = places
    strip = np.empty(longest * channels, np.float32)
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        for column in range(start, stop):
            value = strip[(column - start) * channels : (column - start + 1) * channels]
            is_outside = rows[row] < 0 or columns[column] < 0
            for place in range(stretches.shape[0]):
                first, count, down, across = stretches[place, 0], stretches[place, 1], stretches[place, 2], stretches[place, 3]
                channel, step = stretches[place, 4], stretches[place, 5]
                if is_outside or channel < 0:
                    filled = activate(ends[2], ends[0], ends[1], kind)
                    for c in range(count):
                        value[first + c] = filled
                    continue
                channel += row_channel[row] + column_channel[column]
                pixel = lines[0] + (rows[row] + down) * lines[1] + (columns[column] + across) * lines[2]
                seen = carray(at(pixel + channel * width, store), ((count - 1) * step + 1,))
                if step == 1:
                    for c in range(count):
                        value[first + c] = activate(decoded(seen[c], ends[3], ends[4], store), ends[0], ends[1], kind)
                else:
                    for c in range(count):
                        value[first + c] = activate(decoded(seen[c * step], ends[3], ends[4], store), ends[0], ends[1], kind)
        target, live = lines[3] + row * lines[4] + start * lines[5], lines[6] + row * lines[7] + start
        commit_strip(strip, stop - start, channels, target, lines[5], live, gate[0], full, given, shape)


def bind(form: Pick, sources: tuple[Plane, ...], target: Plane, gate: Float | None, lanes: int) -> Kernel:
    """The kernel over these planes."""
    source, number, one = sources[0], types.int64, types.float32[::1]
    outline = Outline.of(target, gate, lanes)
    lines = (source.values.ctypes.data, *source.values.strides[:2], *outline.lines)
    places = tuple(table.astype(np.int64) for table in (form.rows, form.columns, form.row_channel, form.column_channel))
    ends = np.array([form.activation.alpha, form.activation.beta, form.fill, *numbers(source.store)[:2]], np.float32)
    literals = (ACTIVATIONS.index(form.activation.kind), KINDS.index(source.store.kind))
    signature = (
        types.int32[:, ::1], number, number, types.UniTuple(number, 8), types.UniTuple(number, 4),
        types.UniTuple(types.int64[::1], 4), types.int64[:, ::1], one, one, types.UniTuple(types.float32, 3),
        *map(types.literal, literals), ShapeType(CommitShape(*outline.literals)),
    )  # fmt: skip
    size = (len(form.taps), target.width, outline.full, BYTES[source.store.kind])
    stretches, keep = stretches_of(form.taps), (sources, target)

    return native(pick, signature, (lines, size, places, stretches, ends, outline.gate, outline.numbers, *literals, None), keep)


def stretches_of(taps: NDArray[np.int32]) -> NDArray[np.int64]:
    """(stretch, 6): first channel, channels, down, across, source channel, step between source channels."""
    stretches: list[list[int]] = []
    for c, (down, across, channel) in enumerate(taps.tolist()):
        last = stretches[-1] if stretches else None
        if last is not None and last[2:4] == [down, across] and channel >= 0 and last[4] >= 0:
            step = channel - last[4] if last[1] == 1 else last[5]
            if step > 0 and channel == last[4] + last[1] * step:
                last[1], last[5] = last[1] + 1, step
                continue
        if last is not None and channel < 0 and last[4] < 0:
            last[1] += 1
            continue
        stretches.append([c, 1, down, across, channel, 1])
    return np.array(stretches, np.int64)
