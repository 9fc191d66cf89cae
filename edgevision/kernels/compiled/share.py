"""One step's runs for several threads, without Python: the caller takes shares from the front, helpers from the back, until none is left.

A *board* (int64, BOARD slots) is where they meet. The shares that are left are one number, (how often the board was used, first, end), so
that taking one is a single compare-and-exchange and a helper that comes late can take none of another step. Sharing a step costs about a
microsecond. A helper without work looks at the board for a while and then sleeps in the kernel of the system until the next step is shared.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.native import at, run_code
from edgevision.kernels.compiled.spin import cycles, look

_I64, _I32 = ir.IntType(64), ir.IntType(32)
MOST_SHARES = 64
BOARD = 128  # slots; what different threads write lies on lines of its own
LEFT, DONE, EPOCH, ASLEEP, OVER = 0, 8 * 8, 16 * 8, 24 * 8, 32 * 8  # bytes from the board's beginning
JOB, STATUS, EDGES = 40 * 8, 44 * 8, 48 * 8
_PATIENCE = 60_000  # ticks of the CPU's clock for which the caller waits before it gives its core away
WAIT, WAKE = 128, 129  # futex operations, among threads of one process


@intrinsic
def _exchange(context, address, expected, wanted):
    """Store `wanted` where `expected` is; whether it was."""

    def code(context, builder, signature, values):
        pointer = builder.inttoptr(values[0], _I64.as_pointer())
        return builder.extract_value(builder.cmpxchg(pointer, values[1], values[2], "seq_cst", "seq_cst"), 1)

    return types.boolean(types.int64, types.int64, types.int64), code


@intrinsic
def _add(context, address, value):
    """Add in one step; what was there."""

    def code(context, builder, signature, values):
        return builder.atomic_rmw("add", builder.inttoptr(values[0], _I64.as_pointer()), values[1], "seq_cst")

    return types.int64(types.int64, types.int64), code


@intrinsic
def _publish(context, address, value):
    """Store, after all that was stored before."""

    def code(context, builder, signature, values):
        builder.store_atomic(values[1], builder.inttoptr(values[0], _I64.as_pointer()), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


@intrinsic
def _ask_system(context, entry, number, first, second, third):
    """The C library's `syscall` at address `entry`."""

    def code(context, builder, signature, values):
        function = builder.inttoptr(values[0], ir.FunctionType(_I64, [_I64] * 7).as_pointer())
        return builder.call(function, [*values[1:], *[ir.Constant(_I64, 0)] * 3])

    return types.int64(*[types.int64] * 5), code


@kernel
def take(board, is_caller):
    """The number of a share that nobody else has, or -1."""
    left = look(board + LEFT)
    while True:
        first, end = (left >> 8) & 255, left & 255
        if first >= end:
            return -1
        if _exchange(board + LEFT, left, left + 256 if is_caller else left - 1):
            return first if is_caller else end - 1
        left = look(board + LEFT)


@kernel
def do(board, share):
    """Run it, and say so. Whoever holds a share may read the board: it stays as it is until all are done."""
    job, edges = carray(at(board + JOB, np.int64), (3,)), carray(at(board + EDGES, np.int64), (MOST_SHARES + 1,))
    run_code(job[0], job[1], job[2], edges[share], edges[share + 1], board + STATUS)
    _add(board + DONE, 1)


@kernel
def share(board, link, runs, begin, end, shares, system):
    """The kernel of `link` over runs[begin:end] in so many shares; when it returns, all are done."""
    edges = carray(at(board + EDGES, np.int64), (MOST_SHARES + 1,))
    count = cut_evenly(runs, begin, end, min(shares, MOST_SHARES), edges)
    if count < 2:
        run_code(link[0], link[1], link[2], begin, end, board + STATUS)
        return
    job = carray(at(board + JOB, np.int64), (3,))
    job[0], job[1], job[2] = link[0], link[1], link[2]
    _publish(board + DONE, 0)
    _publish(board + LEFT, (((look(board + LEFT) >> 16) + 1) << 16) | count)
    _add(board + EPOCH, 1)
    if look(board + ASLEEP) > 0:
        _ask_system(system[0], system[1], board + EPOCH, WAKE, 1 << 20)
    mine = take(board, True)
    while mine >= 0:
        do(board, mine)
        mine = take(board, True)
    began = cycles()
    while look(board + DONE) < count:
        if cycles() - began > _PATIENCE:
            _ask_system(system[0], system[2], 0, 0, 0)


@kernel
def cut_evenly(runs, begin, end, shares, edges):
    """`edges` of at most so many shares of runs[begin:end], about equal pixels in each, none empty; how many."""
    total = 0
    for run in range(begin, end):
        total += runs[run, 2] - runs[run, 1]
    count, wanted, seen = 0, 1, 0
    edges[0] = begin
    for run in range(begin, end - 1):
        seen += runs[run, 2] - runs[run, 1]
        if seen * shares >= total * wanted:
            count += 1
            edges[count] = run + 1
            wanted = seen * shares // total + 1
    edges[count + 1] = end
    return count + 1


@kernel
def serve(board, patience, system):
    """A helper's life, until the board says that it is over. `patience`: ticks for which it looks for work before it sleeps."""
    place = np.int64(board.ctypes.data)
    idle = cycles()
    while look(place + OVER) == 0:
        epoch = look(place + EPOCH)
        mine = take(place, False)
        if mine >= 0:
            do(place, mine)
            idle = cycles()
        elif cycles() - idle > patience:
            _add(place + ASLEEP, 1)
            _ask_system(system[0], system[1], place + EPOCH, WAIT, epoch & 0xFFFFFFFF)
            _add(place + ASLEEP, -1)
            idle = cycles()
