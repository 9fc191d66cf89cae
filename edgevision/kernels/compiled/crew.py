"""The threads that help one network: asleep until a step is shared (see `share`), gone when the network is.

Callers in several threads may have the same helpers: who finds them busy works alone. Helpers that a fork has lost, or that the system
wakes late, cost nothing but their help, as the caller never waits for a share that nobody has taken.
"""

from __future__ import annotations

import ctypes
import platform
import threading
import weakref
from functools import cache
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from edgevision.kernels.compiled.jit import specialize
from edgevision.kernels.compiled.share import BOARD, EPOCH, OVER, STATUS, WAKE, serve

WORTH_SHARING_NS, SHARE_NS = 20_000, 25_000
AWAKE_TICKS = 600_000  # of the CPU's clock, some 0.2 ms: longer than from one step of a network to the next
_LINE = types.int64[::1]


class Crew:
    """`threads` with the caller. `board` is where they meet, `system` what steps must know: see `system_calls`, then threads, the least
    nanoseconds of a step that is shared, and of a share."""

    def __init__(self, threads: int) -> None:
        self.board = np.zeros(BOARD, np.int64)
        self.system = np.array([*system_calls(), threads, WORTH_SHARING_NS, SHARE_NS], np.int64)
        self.threads, self._count = threads, threads - 1
        self._has_started = False
        self._busy = threading.Lock()
        weakref.finalize(self, _dismiss, self.board, self.system)

    def hold(self) -> bool:
        """Have the helpers for oneself until `release`; False if there are none to be had."""
        if not self._count or not self._busy.acquire(blocking=False):
            return False
        if not self._has_started:
            self._start()
        return True

    def release(self) -> None:
        """Others may have them."""
        self._busy.release()

    def _start(self) -> None:
        self._has_started = True
        code = specialize(serve, (_LINE, types.int64, _LINE))
        for place in range(self._count):
            life = threading.Thread(
                target=code, args=(self.board, AWAKE_TICKS, self.system), name=f"edgevision-kernel-{place + 1}", daemon=True
            )
            life.start()


class Caller:
    """One state's way to the helpers: with them where they are to be had, alone where others have them. Not for two threads at once."""

    def __init__(self, crew: Crew) -> None:
        self._crew, self._alone = crew, Crew(1)

    def run(self, code: Any, *given: Any) -> None:
        """`code(*given, board, system)`, as steps are shared. Raises MemoryError where a kernel found no room."""
        has_help = self._crew.hold()
        crew = self._crew if has_help else self._alone
        try:
            code(*given, crew.board, crew.system)
            has_failed = crew.board[STATUS // 8] != 0
            if has_failed:
                crew.board[STATUS // 8] = 0
        finally:
            if has_help:
                self._crew.release()
        if has_failed:
            raise MemoryError("a kernel found no memory to work in")


def _dismiss(board: NDArray[np.int64], system: NDArray[np.int64]) -> None:
    """Every helper's life is over."""
    board[OVER // 8] = 1
    board[EPOCH // 8] += 1
    call = ctypes.CFUNCTYPE(ctypes.c_long, *[ctypes.c_long] * 4)(int(system[0]))
    call(int(system[1]), board.ctypes.data + EPOCH, WAKE, 1 << 20)


@cache
def system_calls() -> tuple[int, int, int]:
    """Address of the C library's `syscall`; the numbers of futex and sched_yield."""
    entry = ctypes.cast(ctypes.CDLL(None).syscall, ctypes.c_void_p).value or 0
    return (entry, 98, 124) if platform.machine() == "aarch64" else (entry, 202, 24)
