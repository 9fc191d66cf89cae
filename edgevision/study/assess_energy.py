"""What a run costs besides time: CPU seconds, and joules where the PC tells them. In: a call. Out: its result and `Spent`.

The joules are the processor package's, from the kernel's RAPL counters, while the call ran; many PCs let only root read them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

RAPL = Path("/sys/class/powercap")


@dataclass(frozen=True, slots=True)
class Spent:
    """Wall seconds, CPU seconds of all threads, joules of the processor (None where nothing tells them)."""

    seconds: float
    cpu_s: float
    joules: float | None


class Meter:
    """Measures calls. `folder` is where the counters lie."""

    def __init__(self, folder: Path = RAPL) -> None:
        self._counters = [zone / "energy_uj" for zone in sorted(folder.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        self._counters = [path for path in self._counters if os.access(path, os.R_OK)]
        self._ranges = [_read(path.parent / "max_energy_range_uj") or 2**32 for path in self._counters]

    @property
    def has_energy(self) -> bool:
        """Whether joules can be read here."""
        return bool(self._counters)

    def measured(self, call: Callable[[], T]) -> tuple[T, Spent]:
        """The call's result, and what it cost."""
        joules, cpu_s, began = self._microjoules(), time.process_time(), time.perf_counter()
        result = call()
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
        return result, Spent(seconds, cpu_s, self._since(joules))

    def _microjoules(self) -> list[int | None]:
        return [_read(path) for path in self._counters]

    def _since(self, before: list[int | None]) -> float | None:
        """Joules; a counter that has run over begins again at 0."""
        total = 0.0
        for earlier, later, whole in zip(before, self._microjoules(), self._ranges, strict=True):
            if earlier is None or later is None:
                return None
            total += (later - earlier) % whole
        return total / 1e6 if before else None


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
