"""What running selectively costs against running the whole network in OpenVINO: from measured step times and the live pixels.

In: bound steps after they ran. Out: estimates in seconds of an undisturbed run, and the break-even, a share of our own dense time.
Keeps the best time a pixel of each step took, and on disk, beside the kernels, the break-even by network, shape, precision, threads, CPU
and versions. All of this moves time only, never a result.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Plane
from edgevision.recompute.attention import BoundAttention
from edgevision.recompute.bound import BoundStep
from edgevision.recompute.island import Island

Steps = Sequence[BoundStep | Island | BoundAttention]
Index = NDArray[np.int64]

_RUN_S = 150e-9  # what a run costs besides its pixels, where not all pixels ran: those of a whole step are in its best time
_CELL_PX = 8
_SAMPLES = 24


class StepTimes:
    """Seconds a pixel of each step takes at its best; an island's are of its whole run. Learnt whenever most of a step ran."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._sizes = np.array([step.target.size_px if not isinstance(step, Island) else 1 for step in steps], np.float64)
        self._best_s = np.full(len(steps), np.inf)

    def learn(self) -> None:
        """Note the steps' last call."""
        pixels, seconds = self._column("pixels"), self._column("seconds")
        ran = pixels > 0.5 * self._sizes
        self._best_s[ran] = np.minimum(self._best_s[ran], seconds[ran] / pixels[ran])

    @property
    def has_news(self) -> bool:
        """Whether the last call ran most of the last step, to which all changes come: only then did it run most of many."""
        return len(self._steps) > 0 and bool(self._steps[-1].pixels > 0.5 * self._sizes[-1])

    @property
    def dense_s(self) -> float:
        """A whole run of all steps."""
        return float(self._sizes @ self._best_s)

    def last_s(self) -> float:
        """What the last call must have cost, were nothing else using the machine."""
        partly = [step for step in self._steps if not isinstance(step, Island) and step.pixels < step.target.size_px]
        runs = sum(step.run_count for step in partly)
        return float(self._column("pixels") @ self._best_s) + runs * _RUN_S

    def spent_s(self) -> float:
        """What the last call did cost."""
        return float(self._column("seconds").sum())

    def of_shares(self, shares: NDArray[np.float64]) -> float:
        """What a call would cost that runs so much of each step."""
        return float((shares * self._sizes) @ self._best_s)

    def _column(self, name: str) -> NDArray[np.float64]:
        return np.array([getattr(step, name) for step in self._steps], np.float64)


class Forecast:
    """How much of each step the input's live pixels can reach, without running one: on cells of 8 pixels, at 24 x 24 places a step."""

    def __init__(self, steps: Steps, entrance: Plane) -> None:
        self._shape = -(-entrance.height // _CELL_PX), -(-entrance.width // _CELL_PX)
        self._padded = np.zeros((entrance.height, self._shape[1] * _CELL_PX), np.uint8)
        whole = _Seen(_everything(entrance.height, entrance.height), _everything(entrance.width, entrance.width))
        seen = {id(entrance): _Seen(_itself(entrance.height), _itself(entrance.width))}
        places: dict[bytes, int] = {}
        self._places: list[tuple[Index, Index, Index, Index]] = []
        self._of_step: list[int] = []
        for step in steps:
            if isinstance(step, Island):
                seen.update((id(plane), whole.stretched(plane)) for plane in step.targets.values())
                own = whole
            elif isinstance(step, BoundAttention):
                own = seen[id(step.target)] = whole.stretched(step.target)
            else:
                own = seen[id(step.target)] = _through(step, seen)
            cells = own.cells()
            key = b"".join(part.tobytes() for part in cells)
            if key not in places:
                places[key] = len(self._places)
                self._places.append(cells)
            self._of_step.append(places[key])

    def shares(self, entrance: Plane) -> NDArray[np.float64]:
        """By step: the share of its pixels that see a live pixel of the input, and of an island whether it sees any."""
        if not entrance.live_px:
            return np.zeros(len(self._of_step))
        counts = np.zeros((self._shape[0] + 1, self._shape[1] + 1), np.int32)
        counts[1:, 1:] = self._cells(entrance.live).cumsum(axis=0, dtype=np.int32).cumsum(axis=1)
        reached = []
        for top, bottom, left, right in self._places:
            inside = counts[bottom][:, right] - counts[top][:, right] - counts[bottom][:, left] + counts[top][:, left]
            reached.append(np.count_nonzero(inside) / inside.size)
        return np.array(reached)[self._of_step]

    def _cells(self, live: NDArray[np.uint8]) -> NDArray[np.bool_]:
        self._padded[:, : live.shape[1]] = live
        eights = self._padded.view(np.uint64)
        return np.asarray(np.bitwise_or.reduceat(eights, np.arange(0, len(live), _CELL_PX), axis=0) != 0)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """For each row and each column of a tensor, the input's rows and columns that it sees: begin .. end - 1."""

    rows: tuple[Index, Index]
    columns: tuple[Index, Index]

    def cells(self) -> tuple[Index, Index, Index, Index]:
        """Of some rows and columns: top, bottom, left, right in cells, ends not included."""
        parts = []
        for begin, end in (self.rows, self.columns):
            chosen = np.unique(np.linspace(0, len(begin) - 1, _SAMPLES).astype(np.int64))
            parts += [begin[chosen] // _CELL_PX, -(-end[chosen] // _CELL_PX)]
        top, bottom, left, right = parts
        return top, np.maximum(bottom, top), left, np.maximum(right, left)

    def stretched(self, plane: Plane) -> _Seen:
        """The same for a plane all of which sees all."""
        return _Seen(_everything(plane.height, self.rows[1][0]), _everything(plane.width, self.columns[1][0]))


def _itself(size: int) -> tuple[Index, Index]:
    return np.arange(size), np.arange(1, size + 1)


def _everything(size: int, seen: int) -> tuple[Index, Index]:
    return np.zeros(size, np.int64), np.full(size, seen, np.int64)


def _through(step: BoundStep, seen: dict[int, _Seen]) -> _Seen:
    """What a step's target sees of the input, through all its sources."""
    target, rows, columns = step.target, [], []
    for plane, reach in zip(step.feeds, step.reaches, strict=True):
        before = seen[id(plane)]
        outputs = np.arange(target.width)
        begin = np.searchsorted(reach.last_column, outputs, side="left")
        end = np.searchsorted(reach.first_column, outputs, side="right")
        rows.append(_composed(reach.above, reach.below, before.rows))
        columns.append(_composed(begin, end, before.columns))
    return _Seen(_around(rows), _around(columns))


def _composed(begin: NDArray[Any], end: NDArray[Any], before: tuple[Index, Index]) -> tuple[Index, Index]:
    """Through one source. An output that sees nothing of it sees an empty stretch."""
    last = len(before[0]) - 1
    first = before[0][np.minimum(begin, last)]
    return first, np.where(end > begin, before[1][np.clip(end - 1, 0, last)], first)


def _around(spans: list[tuple[Index, Index]]) -> tuple[Index, Index]:
    return np.minimum.reduce([span[0] for span in spans]), np.maximum.reduce([span[1] for span in spans])


class Notebook:
    """The break-even of one network on one machine, in a file of `folder`. What cannot be read or kept is measured again."""

    def __init__(self, folder: Path, words: Sequence[str]) -> None:
        self._file = folder / f"break-even-{hashlib.sha256(chr(10).join(words).encode()).hexdigest()[:24]}.json"

    def read(self) -> float | None:
        """The share of our dense time that OpenVINO takes for the whole network, None when it is not known."""
        try:
            share = json.loads(self._file.read_text())["share"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return float(share) if isinstance(share, int | float) and 0 < share < 1e6 else None

    def write(self, share: float) -> None:
        """Keep it, whole or not at all."""
        draft = self._file.with_suffix(f".{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps({"share": share}))
            draft.replace(self._file)
        except OSError:  # a full or read-only disk: the next start measures again, which costs time only
            with suppress(OSError):
                draft.unlink()
