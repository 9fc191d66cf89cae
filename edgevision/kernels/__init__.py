"""The arithmetic: one file per operation, the same file name in `plain` (NumPy, the oracle) and `compiled` (Numba, in registers)."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

from edgevision.errors import InputError
from edgevision.kernels.blocks import Attend, Grid, Kept
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


def open_attend(name: str, grid: Grid, kept: Kept, crew: Any, lanes: int | None = None) -> Attend:
    """Attention over the kept blocks of one layer of one camera, from the set of kernels that `name` says. Imports it only now.

    `crew`: threads to share with other layers, see `Backend.crew`, or how many of its own.
    """
    backend, crew = open_backend(name, lanes), open_crew(name, crew)
    if backend.name == "plain":
        from edgevision.kernels.plain import attend as plain

        return plain.Attend(grid, kept)
    from edgevision.kernels.compiled import attend as compiled

    return compiled.Attend(grid, kept, crew, lanes)


def open_measurements(name: str, weights: Any, channels: int, step: float, crew: Any) -> tuple[tuple[Any, Any], Any]:
    """Measurements of one layer's keys and of its values, see `plain/compress.py`, and what makes floats of them. Imports it only now.

    The values' are to take the same tokens as the keys', just after them. `crew` as for `open_attend`.
    """
    backend, crew = open_backend(name), open_crew(name, crew)
    if backend.name == "plain":
        from edgevision.kernels.plain import compress as plain

        return (plain.Measurements(weights, channels, step), plain.Measurements(weights, channels, step)), plain.spread
    from edgevision.kernels.compiled import compress as compiled

    keys = compiled.Measurements(weights, channels, step, crew)
    return (keys, compiled.Measurements(weights, channels, step, crew, beside=keys)), compiled.spread


def open_crew(name: str, crew: Any) -> Any:
    """Threads of one's own, where `crew` says how many; else the ones that it is."""
    return open_backend(name).crew(crew) if isinstance(crew, int) else crew


def open_select(name: str, crew: Any = 1) -> Any:
    """What chooses key blocks: the functions of `plain/select.py`, whose rows the threads of a `crew` share, as for `open_attend`."""
    if open_backend(name).name == "plain":
        return import_module("edgevision.kernels.plain.select")
    from edgevision.kernels.compiled.select import Select

    return Select(open_crew(name, crew))


def open_lack(name: str) -> ModuleType:
    """The functions that compare kept sets: see `plain/lack.py`."""
    return import_module(f"edgevision.kernels.{open_backend(name).name}.lack")


def open_gather(name: str) -> ModuleType:
    """Attention where each query has keys of its own: see `plain/gather.py`."""
    return import_module(f"edgevision.kernels.{open_backend(name).name}.gather")


def cpu_has_bf16() -> bool:
    """Whether the CPU that kernels are compiled for multiplies bf16 in one instruction."""
    from edgevision.kernels.compiled.cpu import detect

    return detect().has_bf16
