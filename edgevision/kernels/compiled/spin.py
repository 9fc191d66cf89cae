"""Waiting without sleep: a thread that is about to be needed looks at a number until it changes. To wake a core that sleeps takes a virtual
machine as long as a small step of a network."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from edgevision.kernels.compiled.jit import kernel

_I64 = ir.IntType(64)


@intrinsic
def look(context, address):
    """The int64 at an address as another thread has just written it, after a pause that is kind to a core's other thread."""

    def code(context, builder, signature, arguments):
        pause = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.pause")
        builder.call(pause, [])
        return builder.load_atomic(builder.inttoptr(arguments[0], _I64.as_pointer()), "acquire", 8)

    return types.int64(types.int64), code


@intrinsic
def cycles(context):
    """A clock of the CPU, about as many ticks a second as its nominal frequency."""

    def code(context, builder, signature, arguments):
        function = builder.module.declare_intrinsic("llvm.readcyclecounter", (), ir.FunctionType(_I64, []))
        return builder.call(function, [])

    return types.int64(), code


@kernel
def spin(signal, seen, limit):
    """Until signal[0] (int64) is another than `seen`, or for `limit` ticks; what it is then."""
    address, began = signal.ctypes.data, cycles()
    now = look(address)
    while now == seen and cycles() - began < limit:
        now = look(address)
    return now
