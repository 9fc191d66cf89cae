"""What a caller may say to an engine, checked before anything is done. In: arguments. Out: the same, or InputError. Keeps nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict, TypeGuard

import numpy as np

from edgevision.errors import InputError
from edgevision.kernels.forms import Backend

Progress = Callable[[int, int], object]

_MOST_PX = 1 << 24


class Means(TypedDict, total=False):
    """What a network may use: at most so much a camera for all its `memories` (one, or two with a map audit), and which kernels.

    `backend` is `compiled`, `plain`, or a Backend. `foreign` is `never`, or `auto`: a scene that stays busy may run in OpenVINO; then
    results are not bit-identical to `first`, and `costs` say so. `progress` is called with the steps that are ready and how many there
    are, as kernels that must be compiled take half a minute. `may_move`: the network can follow a picture that is shifted.
    """

    memory_limit_mb: float | None
    memories: int
    foreign: str
    progress: Progress
    backend: str | Backend
    may_move: bool


def check_load(path: object, precision: object, threads: object, input_shape: object, means: Mapping[str, Any]) -> tuple[int, ...] | None:
    """What `load` is given, but for gates; the input shape as whole numbers."""
    if not isinstance(path, str | Path):
        raise InputError(f"path is {path!r}; it must be the path of an .onnx file or of the .xml of an OpenVINO IR")
    unknown = set(means) - set(Means.__annotations__)
    if unknown:
        raise InputError(f"{min(unknown)}: no such argument; besides those of `load` there are {', '.join(Means.__annotations__)}")
    if precision not in ("auto", "f32", "bf16", "int8"):
        raise InputError(f"precision is '{precision}'; it must be auto, f32, bf16 or int8")
    if not _is_whole(threads) or not 1 <= threads <= 256:
        raise InputError(f"threads is {threads!r}; it must be a whole number between 1 and 256")
    _check_means(means)
    return _checked_shape(input_shape)


def _check_means(means: Mapping[str, Any]) -> None:
    foreign, backend = means.get("foreign", "never"), means.get("backend", "compiled")
    limit, memories, progress = means.get("memory_limit_mb"), means.get("memories", 1), means.get("progress")
    if foreign not in ("auto", "never"):
        raise InputError(f"foreign is '{foreign}'; it must be auto or never")
    if means.get("may_move", False) and foreign == "auto":
        raise InputError("may_move is True and foreign is 'auto'; OpenVINO keeps nothing that could move; leave one of them out")
    if backend not in ("compiled", "plain") and not callable(getattr(backend, "bind", None)):
        raise InputError(f"backend is {backend!r}; it must be compiled or plain")
    if limit is not None and (not isinstance(limit, int | float | np.integer | np.floating) or not limit > 0):
        raise InputError(f"memory_limit_mb is {limit!r}; it must be a number above 0; leave it out for no limit")
    if not _is_whole(memories) or memories < 1:
        raise InputError(f"memories is {memories!r}; it must be a whole number, at least 1")
    if progress is not None and not callable(progress):
        raise InputError(f"progress is {progress!r}; it must be a function of the steps that are ready and how many there are")


def _checked_shape(shape: Any) -> tuple[int, ...] | None:
    if shape is None:
        return None
    sides = tuple(shape) if isinstance(shape, tuple | list | np.ndarray) else ()
    if len(sides) != 4 or not all(_is_whole(side) and 1 <= side <= _MOST_PX for side in sides):
        raise InputError(f"input_shape is {shape!r}; it must be four whole numbers above 0, as (1, 3, 720, 1280)")
    return tuple(int(side) for side in sides)


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int | np.integer)


def check_gates(gate: object) -> None:
    """One gate, or gates by step."""
    for value in gate.values() if isinstance(gate, Mapping) else (gate,):
        if not isinstance(value, int | float | np.integer | np.floating) or not 0 <= value < 1:
            raise InputError(f"gate is {value!r}; it must be a number, at least 0 and below 1, a share of a step's output range")


def check_window(window: Any) -> None:
    """A patch, (x1, y1, x2, y2) as shares of the picture."""
    shares = tuple(window) if isinstance(window, tuple | list | np.ndarray) else ()
    if len(shares) != 4 or not all(isinstance(share, int | float | np.integer | np.floating) for share in shares):
        raise InputError(f"window is {window!r}; it must be (x1, y1, x2, y2), shares of the picture from 0 to 1")
    x1, y1, x2, y2 = (float(share) for share in shares)
    if not (0 <= x1 <= x2 <= 1 and 0 <= y1 <= y2 <= 1) or math.isnan(x1 + y1 + x2 + y2):
        raise InputError(f"window is {(x1, y1, x2, y2)}; it must be (x1, y1, x2, y2) with 0 <= x1 <= x2 <= 1 and 0 <= y1 <= y2 <= 1")
