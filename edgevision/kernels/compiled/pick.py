"""Values from elsewhere, over runs: channel shuffles, depth to space and back, padding, cropping, strided slices. Then the activation.

Channels whose sources lie side by side, or evenly spaced, are one stretch and copied in one loop.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from edgevision.kernels.compiled.activations import KINDS, activate
from edgevision.kernels.compiled.commit import commit, floats
from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.forms import Float, Kernel, Pick, Plane, Runs


@kernel
def pick(runs, begin, end, lines, size, places, stretches, numbers, gate, kind):
    """runs[begin:end]. `size`: channels, longest run. `places`: rows, columns, row_channel, column_channel of the form.

    `stretches` (stretch, 6): first channel, channels, down, across, source channel (-1: outside), step of the source channel.
    `numbers`: alpha, beta, fill.
    """
    channels, longest = size
    rows, columns, row_channel, column_channel = places
    strip = np.zeros(longest * channels, np.float32)
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        for column in range(start, stop):
            value = strip[(column - start) * channels : (column - start + 1) * channels]
            is_outside = rows[row] < 0 or columns[column] < 0
            for place in range(stretches.shape[0]):
                first, count, down, across = stretches[place, 0], stretches[place, 1], stretches[place, 2], stretches[place, 3]
                channel, step = stretches[place, 4], stretches[place, 5]
                if is_outside or channel < 0:
                    filled = activate(numbers[2], numbers[0], numbers[1], kind)
                    for c in range(count):
                        value[first + c] = filled
                    continue
                channel += row_channel[row] + column_channel[column]
                seen = floats(
                    lines[0] + (rows[row] + down) * lines[1] + (columns[column] + across) * lines[2] + channel * 4, (count - 1) * step + 1
                )
                if step == 1:
                    for c in range(count):
                        value[first + c] = activate(seen[c], numbers[0], numbers[1], kind)
                else:
                    for c in range(count):
                        value[first + c] = activate(seen[c * step], numbers[0], numbers[1], kind)
        target = lines[3] + row * lines[4] + start * lines[5]
        commit(strip, stop - start, channels, target, lines[5], lines[6] + row * lines[7] + start, gate[0])


def bind(form: Pick, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""
    source, number, one = sources[0], types.int64, types.float32[::1]
    lines = (
        source.values.ctypes.data, *source.values.strides[:2],
        target.values.ctypes.data, *target.values.strides[:2],
        target.live.ctypes.data, target.live.strides[0],
    )  # fmt: skip
    places = tuple(table.astype(np.int64) for table in (form.rows, form.columns, form.row_channel, form.column_channel))
    numbers = np.array([form.activation.alpha, form.activation.beta, form.fill], np.float32)
    kind = KINDS.index(form.activation.kind)
    signature = (
        types.int32[:, ::1], number, number, types.UniTuple(number, 8), types.UniTuple(number, 2),
        types.UniTuple(types.int64[::1], 4), types.int64[:, ::1], one, one, types.literal(kind),
    )  # fmt: skip
    code = specialize(pick, signature)
    stretches, size, keep = stretches_of(form.taps), (len(form.taps), target.width), (sources, target)

    def run(runs: Runs, begin: int, end: int, keep: object = keep) -> None:
        code(runs, begin, end, lines, size, places, stretches, numbers, gate, kind)

    return run


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
