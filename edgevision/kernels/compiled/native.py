"""Kernels that machine code can start: each keeps its arguments in a block of memory, in the order of its machine registers and stack.

`native(function, signature, rest, keep)` is what every `bind` ends with: a kernel to call from Python, or, by `over(runs)`, three addresses
for `run_code`, which needs neither Python nor its lock. Kernels alike in the kinds of their arguments share the code that unpacks a block.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, intrinsic, models, register_model, unbox
from numpy.typing import NDArray

from edgevision.kernels.compiled.jit import address_of, kernel, specialize
from edgevision.kernels.compiled.store import HELD
from edgevision.kernels.forms import Runs

_I64, _I32, _POINTER = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
_BEGIN = 9  # what stands before it in a block: the array of runs
_START = (types.int64, types.int64, types.int64[::1], types.int64, types.int64, types.int64[::1])


class Arguments(types.Opaque):  # type: ignore[misc]
    """The types of a kernel's arguments as a type, so that code is made and kept for each list of them."""

    def __init__(self, kinds: tuple[Any, ...]) -> None:
        self.kinds = kinds
        super().__init__(name=f"arguments {kinds}")


register_model(Arguments)(models.OpaqueModel)


@unbox(Arguments)
def _unbox_arguments(kind, value, context):
    return NativeValue(context.context.get_dummy_value())


@intrinsic
def _unpack_and_call(context, code, block, begin, end, arguments):
    """Call a kernel by Numba's convention with the arguments of a block, but for `begin` and `end`; its status, 0 if all is well."""
    kinds = arguments.kinds

    def emit(context, builder, signature, values):
        convention = context.call_conv
        parts = convention._get_arg_packer(kinds).argument_types
        function = convention.get_function_type(types.void, kinds)
        taken = []
        for place, part in enumerate(parts):
            if place in (_BEGIN, _BEGIN + 1):
                taken.append(values[2 + place - _BEGIN])
                continue
            address = builder.add(values[1], ir.Constant(_I64, 8 * place))
            taken.append(builder.load(builder.inttoptr(address, part.as_pointer()), align=4))
        result, problem = (cgutils.alloca_once_value(builder, ir.Constant(_POINTER, None)) for _ in range(2))
        first = [builder.bitcast(given, kind) for given, kind in zip((result, problem), function.args[:2], strict=True)]
        status = builder.call(builder.inttoptr(values[0], function.as_pointer()), [*first, *taken])
        return builder.sext(status, _I64)

    return types.int64(types.int64, types.int64, types.int64, types.int64, arguments), emit


@kernel
def unpack(code, block, begin, end, status, arguments):
    """`status` is the address of a number that becomes another than 0 where the kernel failed."""
    failed = _unpack_and_call(code, block, begin, end, arguments)
    if failed != 0:
        put(status, failed)


@intrinsic(prefer_literal=True)
def at(context, address, kind):
    """An address as a pointer, for `carray`: to numbers of a type (np.uint8, np.int32, ...), or to values held by a store, KINDS[kind]."""
    if isinstance(kind, types.NumberClass):
        numbers = kind.instance_type
    elif isinstance(kind, types.IntegerLiteral):
        numbers = HELD[kind.literal_value]
    else:
        return None
    signature = types.CPointer(numbers)(types.int64, kind)

    def code(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, code


@intrinsic
def put(context, address, value):
    """Store an int64."""

    def code(context, builder, signature, arguments):
        builder.store(arguments[1], builder.inttoptr(arguments[0], _I64.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


@intrinsic
def run_code(context, unpacker, code, block, begin, end, status):
    """A kernel over runs[begin:end]; the first three are what `over` gave."""

    def emit(context, builder, signature, values):
        function = ir.FunctionType(_I32, [_POINTER.as_pointer(), _POINTER.as_pointer(), *[_I64] * 5, _POINTER])
        result, problem = (cgutils.alloca_once_value(builder, ir.Constant(_POINTER, None)) for _ in range(2))
        builder.call(builder.inttoptr(values[0], function.as_pointer()), [result, problem, *values[1:], ir.Constant(_POINTER, None)])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), emit


class NativeKernel:
    """A kernel over one camera's planes. `keep` are the objects whose addresses are among its arguments."""

    __slots__ = ("_addresses", "_block", "_code", "_function", "_rest", "_signature", "_start", "keep")

    def __init__(self, function: Any, signature: tuple[Any, ...], rest: tuple[Any, ...], keep: object) -> None:
        self._function, self._signature, self._rest, self.keep = function, signature, rest, keep
        self._code = specialize(function, signature)
        self._block: Any = None
        self._start: Any = None
        self._addresses = (0, 0, 0)

    def __call__(self, runs: Runs, begin: int, end: int) -> None:
        """From Python. Once there is a block, with what stands in it: the addresses there move."""
        if self._block is None:
            self._code(runs, begin, end, *self._rest)
            return
        unpacker, code, _ = self._addresses
        block, status = self._block[0], np.zeros(1, np.int64)
        if runs is not self._block[1]:
            block = block.copy()
            block[:_BEGIN] = list(_leaves(self._signature[0], runs))
        self._start(unpacker, code, block, begin, end, status)
        if status[0]:
            raise MemoryError("a kernel found no memory to work in")

    @property
    def arguments(self) -> Arguments:
        """Their types, as far as a block must tell them apart."""
        return Arguments(tuple(types.voidptr if isinstance(kind, types.Opaque) else _plain(kind) for kind in self._signature))

    def over(self, runs: Runs) -> tuple[int, int, int]:
        """Addresses of the code that unpacks, of the kernel's own, and of the block, for these runs; valid as long as the kernel is."""
        self._start = specialize(start, _START)  # compiled with the rest, not when an audit first asks
        given = zip(self.arguments.kinds, (runs, 0, 0, *self._rest), strict=True)
        self._block = np.array([leaf for kind, value in given for leaf in _leaves(kind, value)], np.int64), runs
        unpacker = address_of(unpack, (*[types.int64] * 5, self.arguments))
        self._addresses = unpacker, address_of(self._function, self._signature), int(self._block[0].ctypes.data)
        return self._addresses

    def slots(self, begin: int, end: int) -> Iterator[int]:
        """Addresses of the numbers, in the block and in tables that it points to, that are addresses of bytes begin .. end - 1."""
        tables = [] if self._block is None else [self._block[0], *_tables(self._rest)]
        for table in tables:
            flat = table.reshape(-1)
            for place in np.flatnonzero((flat >= begin) & (flat < end)):
                yield int(table.ctypes.data) + 8 * int(place)


@kernel
def start(unpacker, code, block, begin, end, status):
    """A kernel once, by what `over` gave."""
    run_code(unpacker, code, np.int64(block.ctypes.data), begin, end, np.int64(status.ctypes.data))


def _tables(value: object) -> Iterator[NDArray[np.int64]]:
    """The arrays of 64-bit numbers among a kernel's arguments."""
    if isinstance(value, tuple):
        for part in value:
            yield from _tables(part)
    elif isinstance(value, np.ndarray) and value.dtype == np.int64:
        yield value


def native(function: Any, signature: tuple[Any, ...], rest: tuple[Any, ...], keep: object) -> NativeKernel:
    """The kernel `function(runs, begin, end, *rest)` in machine code for exactly these types."""
    return NativeKernel(function, signature, rest, keep)


def _plain(kind: Any) -> Any:
    return types.int64 if isinstance(kind, types.IntegerLiteral) else kind


def _leaves(kind: Any, value: Any) -> Iterator[int]:
    """An argument as the numbers that Numba hands over for it."""
    if isinstance(kind, types.Array):
        yield from (0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides)
    elif isinstance(kind, types.BaseTuple):
        for part, own in zip(kind.types, value, strict=True):
            yield from _leaves(_plain(part), own)
    elif kind == types.float32:
        yield int.from_bytes(struct.pack("<f", value), "little")
    elif kind == types.int64:
        yield int(value)
    elif kind == types.voidptr:
        yield 0
    else:
        raise TypeError(f"a kernel's argument of type {kind} cannot be laid in a block")
