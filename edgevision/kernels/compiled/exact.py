"""The fused multiply-add of floats, rounded once: one instruction where the CPU has it."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from edgevision.kernels.compiled.activations import Arithmetic


@intrinsic
def fma(context, a, b, c):
    """a * b + c of floats, rounded once."""

    def code(context, builder, signature, arguments):
        return Arithmetic(builder, ir.FloatType()).call("fma", *arguments)

    return types.float32(types.float32, types.float32, types.float32), code
