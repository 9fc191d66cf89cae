"""The arithmetic: one file per operation, the same file name in `plain` (NumPy, the oracle) and `compiled` (Numba, in registers)."""

from __future__ import annotations

from edgevision.errors import InputError
from edgevision.kernels.blocks import Attend, Grid
from edgevision.kernels.forms import Backend


def open_backend(name: str, lanes: int | None = None) -> Backend:
    """A set of kernels: `plain`, or `compiled` for this CPU, or compiled with `lanes` (4, 8, 16) values a vector. Imports it only now."""
    if name == "plain":
        from edgevision.kernels.plain.backend import Plain

        return Plain()
    if name == "compiled":
        from edgevision.kernels.compiled.backend import Compiled

        return Compiled(lanes)
    raise InputError(f"backend is '{name}'; it must be compiled or plain")


def open_attend(name: str, grid: Grid, threads: int = 1, lanes: int | None = None) -> Attend:
    """Attention over blocks for one layer of one camera, from the set of kernels that `name` says. Imports it only now."""
    if name == "plain":
        from edgevision.kernels.plain import attend as plain

        return plain.Attend(grid, threads)
    if name == "compiled":
        from edgevision.kernels.compiled import attend as compiled

        return compiled.Attend(grid, threads, lanes)
    raise InputError(f"backend is '{name}'; it must be compiled or plain")


def cpu_has_bf16() -> bool:
    """Whether the CPU that kernels are compiled for multiplies bf16 in one instruction."""
    from edgevision.kernels.compiled.cpu import detect

    return detect().has_bf16
