"""New values of a run wait in a strip, a small array that stays in the cache, until they are compared with Memory and stored.

All kernels but the tiled convolution work so: fill a strip, then `commit` it.
"""

from __future__ import annotations

import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from edgevision.kernels.compiled.jit import kernel


@intrinsic
def _floats(context, address):  # type: ignore[no-untyped-def]
    signature = types.CPointer(types.float32)(types.int64)

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, code


@intrinsic
def _words(context, address):  # type: ignore[no-untyped-def]
    signature = types.CPointer(types.int32)(types.int64)

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, code


@intrinsic
def _bytes(context, address):  # type: ignore[no-untyped-def]
    signature = types.CPointer(types.uint8)(types.int64)

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, code


@kernel
def floats(address, count):  # type: ignore[no-untyped-def]
    """`count` floats at an address."""
    return carray(_floats(address), (count,))


@kernel
def words(address, count):  # type: ignore[no-untyped-def]
    """The same as 32-bit integers."""
    return carray(_words(address), (count,))


@kernel
def flags(address, count):  # type: ignore[no-untyped-def]
    """`count` bytes at an address."""
    return carray(_bytes(address), (count,))


@kernel
def commit(strip, pixels, channels, target, target_step, live, gate):  # type: ignore[no-untyped-def]
    """Store the pixels of a strip that moved beyond the gate in any channel (gate 0: in any bit), and mark them. Addresses are of the first."""
    marks = flags(live, pixels)
    first = np.int64(strip.ctypes.data)
    for pixel in range(pixels):
        new = floats(first + pixel * channels * 4, channels)
        old = floats(target + pixel * target_step, channels)
        if gate > 0:
            moved = 0
            for c in range(channels):
                moved |= not abs(new[c] - old[c]) <= gate
        else:
            moved = 0
            new_bits = words(first + pixel * channels * 4, channels)
            old_bits = words(target + pixel * target_step, channels)
            for c in range(channels):
                moved |= new_bits[c] ^ old_bits[c]
        if moved != 0:
            for c in range(channels):
                old[c] = new[c]
            marks[pixel] = 1
