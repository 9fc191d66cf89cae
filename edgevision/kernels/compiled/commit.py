"""New values of a run wait in a strip, a small array that stays in the cache, until they are compared with Memory and stored.

For kernels that do not make their values vector by vector (see `strip`): fill an array of floats, (pixel, channel), then `commit_strip` it.
`bind` makes `outline = Outline.of(target, gate, lanes)`, gives ShapeType(CommitShape(*outline.literals)) in the signature and passes None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.strip import Piece, Shape, Writer, write_strip


@dataclass(frozen=True)
class CommitShape(Shape):
    """New values lie in memory as floats, pixel after pixel."""

    places: ClassVar[tuple[str, ...]] = (*Shape.places, "strip", "strip_step")

    def writer(self, builder: Any, places: list[Any], numbers: list[Any]) -> Writer:
        """What emits it."""
        return CommitWriter(builder, self, places, numbers)


class CommitWriter(Writer):
    """Emits loads."""

    def begin(self, pixel: Any) -> None:
        """Where the pixel's new values are."""
        self.new = self.step("strip", "strip_step", pixel)

    def values(self, channel: Any, piece: Piece, pixels: int) -> list[Any]:
        """They are there."""
        return [self.read(self.new, channel, piece, "f32")]


@kernel
def commit_strip(strip, pixels, channels, target, target_step, live, gate, full, numbers, shape):
    """Encode, compare, store and mark `pixels` pixels; `target` and `live` are addresses of the first. The strip is used up.

    `full` and `numbers` are those of the Outline.
    """
    first = np.int64(strip.ctypes.data)
    write_strip((target, target_step, live, pixels, full, first, 0, first, channels * 4), (gate, *numbers), shape)


@intrinsic
def _floats(context, address):
    signature = types.CPointer(types.float32)(types.int64)

    def code(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, code


@intrinsic
def _words(context, address):
    signature = types.CPointer(types.int32)(types.int64)

    def code(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, code


@intrinsic
def _bytes(context, address):
    signature = types.CPointer(types.uint8)(types.int64)

    def code(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, code


@kernel
def floats(address, count):
    """`count` floats at an address."""
    return carray(_floats(address), (count,))


@kernel
def words(address, count):
    """The same as 32-bit integers."""
    return carray(_words(address), (count,))


@kernel
def pixels_of_words(address, pixels, channels):
    """(pixel, channel) 32-bit integers at an address."""
    return carray(_words(address), (pixels, channels))


@kernel
def flags(address, count):
    """`count` bytes at an address."""
    return carray(_bytes(address), (count,))


@kernel
def commit_pixel(new, old, channels, gate):
    """Store one pixel, from address to address, if any channel moved beyond the gate (gate 0: in any bit). Whether it did."""
    moved = 0
    if gate > 0:
        values, before = floats(new, channels), floats(old, channels)
        for c in range(channels):
            moved |= not abs(values[c] - before[c]) <= gate
    else:
        bits, bits_before = words(new, channels), words(old, channels)
        for c in range(channels):
            moved |= bits[c] ^ bits_before[c]
    if moved != 0:
        source, target = words(new, channels), words(old, channels)
        for c in range(channels):
            target[c] = source[c]
    return moved != 0


@kernel
def commit(strip, pixels, channels, target, target_step, live, gate):
    """Store the pixels of a strip that moved, and mark them. Addresses are of the first. The strip is used up."""
    marks = flags(live, pixels)
    first = np.int64(strip.ctypes.data)
    if gate > 0 or target_step != channels * 4:
        for pixel in range(pixels):
            if commit_pixel(first + pixel * channels * 4, target + pixel * target_step, channels, gate):
                marks[pixel] = 1
        return
    new, old = words(first, pixels * channels), words(target, pixels * channels)
    for place in range(pixels * channels):
        bits, before = new[place], old[place]
        old[place] = bits
        new[place] = bits ^ before
    differs = pixels_of_words(first, pixels, channels)
    if channels == 3:
        for pixel in range(pixels):
            marks[pixel] |= (differs[pixel, 0] | differs[pixel, 1] | differs[pixel, 2]) != 0
        return
    for pixel in range(pixels):
        moved = 0
        for c in range(channels):
            moved |= differs[pixel, c]
        marks[pixel] |= moved != 0
