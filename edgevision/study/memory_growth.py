"""What a piece of work needs of memory: measured in a process of its own. In: a function. Out: megabytes. Keeps nothing."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgevision.errors import Unavailable

_STATUS = Path("/proc/self/status")
_KB_PER_MB = 1024


def growth_mb(work: Callable[..., object], *arguments: Any) -> float:
    """How much the resident set grew at its highest. `work` and its arguments go to the other process. Raises Unavailable if that died."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_measured, work, arguments).result()
        except BrokenProcessPool as error:
            raise Unavailable("the process died while its memory was measured; give it more, or leave memory out") from error


def _measured(work: Callable[..., object], arguments: tuple[Any, ...]) -> float:
    with suppress(OSError):  # where it may not be reset, the highest so far is that of the imports, which is less than any network's
        Path("/proc/self/clear_refs").write_text("5")
    before = resident_mb("VmRSS")
    work(*arguments)
    return resident_mb("VmHWM") - before


def resident_mb(key: str) -> float:
    """VmRSS, now, or VmHWM, the highest so far, of this process."""
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines() if ":" in line)
    return int(lines[key].split()[0]) / _KB_PER_MB
