"""Kernels over the rows of arrays, shared by a crew. In: a kernel (runs, begin, end, arrays, ...), the kinds of its arguments, the
arguments, a number of rows. What the rows make must not depend on one another.

Kept: each kernel's link. It is made anew where an argument is another than last time, which costs as much as some hundred rows; so arrays
should be the same ones every time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from edgevision.kernels.compiled.chain import COST_PS, work
from edgevision.kernels.compiled.crew import Caller, Crew
from edgevision.kernels.compiled.jit import specialize
from edgevision.kernels.compiled.native import NativeKernel, native

EACH = 16  # rows of a run
_LINE, _TABLE = types.int64[::1], types.int32[:, ::1]


class Linked:
    """A kernel over these arguments; `runs` (run, 3): 0, first row, row after the last."""

    def __init__(self, made: NativeKernel, given: tuple[Any, ...], rows: int) -> None:
        self.given, self._made = given, made
        self.runs = np.zeros((rows, 3), np.int32)
        self.line: NDArray[np.int64] = np.array([*made.over(self.runs), *[0] * 5], np.int64)

    def takes(self, given: tuple[Any, ...], rows: int) -> bool:
        """Whether it is of the same arguments, and has room for so many runs."""
        pairs = zip(self.given, given, strict=True)
        return rows <= len(self.runs) and all(held is new or (not isinstance(held, np.ndarray) and held == new) for held, new in pairs)

    def cut(self, count: int) -> int:
        """So many rows into runs; how many of them: fewer rows than fill a few runs go one by one."""
        each = 1 if count <= EACH else EACH
        number = -(-count // each)
        self.runs[:number, 1] = np.arange(number) * each
        self.runs[:number, 2] = np.minimum(self.runs[:number, 1] + each, count)
        return number


class Rows:
    """One state's kernels over rows. Not for two threads at once."""

    def __init__(self, crew: Crew) -> None:
        self._caller = Caller(crew)
        self._work = specialize(work, (_LINE, _TABLE, *[types.int64] * 3, _LINE, _LINE))
        self._links: dict[Any, Linked] = {}

    def run(self, function: Any, kinds: tuple[Any, ...], given: tuple[Any, ...], count: int, row_ps: int) -> None:
        """`count` rows, of about `row_ps` each. Raises MemoryError where a kernel found no room."""
        if not count:
            return
        link = self._links.get(function)
        if link is None or not link.takes(given, count):
            made = native(function, (_TABLE, types.int64, types.int64, *kinds), given, given)
            link = self._links[function] = Linked(made, given, max(count, EACH))
        runs = link.cut(count)
        link.line[COST_PS] = row_ps
        self._caller.run(self._work, link.line, link.runs, 0, runs, count)
