"""Three ways to doubt what is skipped. Each says how much disagrees; what follows from that is `Trust`'s.

`EngineAudit`: is every step still what its inputs make it? Patches of each step are recomputed in place; nothing may move. If no patch of
any step does, Memory is `first(x_used)`, step by step (a spliced answer: within its tolerance). `MapAudit`: is the answer in use that of
the raw frame? Only this finds whatever the change map missed. `Audits.check_input`: does anything plainly differ and was left? That finds
a blind change map sooner, before there is a defect, and needs no run. While a camera runs dense, the second Memory is run on the very
picture that the first one was given, and both must say the same. Keeps: where the engine was looked at, a second Memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import EngineFault
from edgevision.recompute.camera_network import CameraNetwork
from edgevision.recompute.trust import AuditSettings, Trust
from edgevision.records import Mask, Notice

__all__ = ["Audit", "AuditSettings", "Audits", "EngineAudit", "MapAudit"]

Outputs = Mapping[str, NDArray[np.float32]]
Window = tuple[float, float, float, float]  # x1, y1, x2, y2 as shares of the picture

WHOLE: Window = (0.0, 0.0, 1.0, 1.0)
MISSED = 0.002  # the share of a picture that may plainly differ without being live: specks and edges
HASTE = 10  # times sooner than usual, map audits come after one that failed


class EngineAudit:
    """Recomputes patches of every step of one camera's Memory.

    In turn one where the frame is live, for there a kernel may go wrong, and the next of those that cover the picture, in a random order:
    what is not live may have been overwritten by whatever else shares the computer's memory.
    """

    def __init__(self, net: CameraNetwork, settings: AuditSettings = AuditSettings()) -> None:  # noqa: B008
        self._net, self._settings = net, settings
        self._random = np.random.default_rng(settings.seed)
        self._frames = self._turns = 0
        self._tiles: list[Window] = []

    def next(self, live: Mask | None = None) -> bool:
        """Call once a frame, after the network: audits when its turn has come. True if it did. Raises EngineFault: reset and go dense."""
        self._frames += 1
        if not self._settings.engine_every or self._frames % self._settings.engine_every:
            return False
        self._turns += 1
        self.check(self._around(live) if live is not None and self._turns % 2 else None)
        return True

    def check(self, window: Window | None = None) -> None:
        """Audit this patch of every step now, the next one in turn where none is given. Raises EngineFault if anything moved."""
        moved = self._net.verify(window or self._next_tile())
        if moved:
            name, pixels = next(iter(moved.items()))
            raise EngineFault(
                f"engine audit: step '{name}' moved at {pixels} pixels when it was recomputed; reset the Memory and run first()"
            )

    def _around(self, live: Mask) -> Window | None:
        """The patch about a live pixel, any of them; None where there is none."""
        rows = np.flatnonzero(live.any(axis=1))
        if not rows.size:
            return None
        row = int(self._random.choice(rows))
        column = int(self._random.choice(np.flatnonzero(live[row])))
        return self._patch((column + 0.5) / live.shape[1], (row + 0.5) / live.shape[0])

    def _patch(self, x: float, y: float) -> Window:
        """The patch with its middle there, moved into the picture."""
        side = self._settings.patch
        left, top = (min(max(0.0, middle - side / 2), 1.0 - side) for middle in (x, y))
        return left, top, min(1.0, left + side), min(1.0, top + side)

    def _next_tile(self) -> Window:
        if not self._tiles:
            side, count = self._settings.patch, math.ceil(1 / self._settings.patch - 1e-9)
            tiles = [self._patch((column + 0.5) * side, (row + 0.5) * side) for row in range(count) for column in range(count)]
            self._tiles = [tiles[place] for place in self._random.permutation(len(tiles))]
        return self._tiles.pop()


class MapAudit:
    """Runs the whole network on the raw frame, in a Memory of its own, and compares."""

    def __init__(self, net: CameraNetwork, settings: AuditSettings = AuditSettings()) -> None:  # noqa: B008
        self._settings = settings
        self._twin = net.sibling(has_foreign=False)  # its whole runs are to be our own, however many follow each other
        self._frames = 0
        self._last_ts: float | None = None

    def is_due(self, ts: float, haste: int = 1) -> bool:
        """Call once a frame: whether its turn has come, by frames or by time (s); `haste` times sooner than usual."""
        self._frames += 1
        if self._last_ts is None or ts < self._last_ts:
            self._last_ts = ts  # the first frame, or the clock was set back
        is_late = self._settings.map_every_s > 0 and (ts - self._last_ts) * haste >= self._settings.map_every_s
        if self._frames * haste < self._settings.map_every and not is_late:
            return False
        self._frames, self._last_ts = 0, ts
        return True

    def run(self, frame: NDArray[Any]) -> Outputs:
        """The whole network's answer on the raw frame; valid until the next run."""
        return self._twin.first(frame)

    def disagreement(self, raw: Outputs, outputs: Outputs) -> float:
        """Share of output values that lie further than the tolerance from what the raw frame gives: the worst output's."""
        shares = (float(np.mean(~(np.abs(raw[name] - outputs[name]) <= self._settings.tolerance))) for name in raw)
        return max(shares, default=0.0)

    def failed(self, disagreement: float) -> bool:
        """Whether that is more than the limit."""
        return disagreement > self._settings.limit


class Audit(NamedTuple):
    """What an audit came to: the share that disagrees, where the map was audited; in words why it failed, None where it passed."""

    disagreement: float | None
    trouble: str | None


class Audits:
    """Both audits of one camera and what follows from them. The engine is checked after it has run, the map by a run of its own."""

    def __init__(self, net: CameraNetwork, settings: AuditSettings) -> None:
        self._engine = EngineAudit(net, settings)
        self._map = MapAudit(net, settings) if settings.map_every else None
        self._trust = Trust(settings)
        self._settings = settings
        self._dense_frames = self._frames = 0
        self._random = np.random.default_rng(settings.seed)

    def is_dense(self, ts: float) -> bool:
        """Whether the camera must run the whole network at `ts`, because it lost the trust."""
        return self._trust.is_dense(ts)

    def check_engine(self, picture: NDArray[Any], outputs: Outputs, live: Mask, ts: float) -> None:
        """Call once a frame, after the network was given `picture`. Raises EngineFault: reset, run anew, and `note_fault`."""
        if self.is_dense(ts):
            self._check_dense(picture, outputs)
            return
        self._dense_frames = 0
        if self._trust.is_doubted:
            self._engine.check(WHOLE)
            if self._map is None:
                self._trust.note(None, ts)
        else:
            self._engine.next(live)

    def _check_dense(self, picture: NDArray[Any], outputs: Outputs) -> None:
        """The first frames that run dense, then now and then one; after a fault, each until one passes."""
        every = self._settings.engine_every or self._settings.map_every
        if self._map is None or (self._dense_frames >= self._settings.n and self._dense_frames % every):
            self._dense_frames += 1
            return
        if self._map.disagreement(self._map.run(picture), outputs) > 0:
            self._dense_frames = 0
            raise EngineFault("dense audit: the whole network's answer is not what the same network gives beside it; restart the service")
        self._dense_frames += 1

    def note_fault(self, error: EngineFault, ts: float) -> None:
        """The engine was found wrong; its Memory is about to be forgotten."""
        if not self.is_dense(ts):
            self._trust.note(str(error), ts)

    def check_input(self, missed: Callable[[float, np.random.Generator], float], ts: float) -> str | None:
        """Call once a frame that is not whole: why what was left of it is too much, else None. `missed(levels, random)` measures.

        It needs no defect to find a blind change map, costs no run, and comes as often as the engine's audit.
        """
        self._frames += 1
        every = self._settings.engine_every
        if self.is_dense(ts) or not every or (self._frames % every and not self._trust.is_doubted):
            return None
        share = missed(self._settings.levels, self._random)
        if share <= MISSED:
            return None
        off = f"{share:.1%} of the picture is over {self._settings.levels:g} gray levels off what the network was given"
        trouble = f"input audit: {off}, and was not live, the limit is {MISSED:.1%}; see compare.pixel_threshold"
        self._trust.note(trouble, ts)
        return trouble

    def is_map_due(self, ts: float) -> bool:
        """Call once a frame: whether the raw frame should be looked at whole."""
        if self._map is None or self.is_dense(ts):
            return False
        return self._map.is_due(ts, HASTE if self._trust.is_wary else 1) or self._trust.is_doubted

    @property
    def has_twin(self) -> bool:
        """Whether there is a second Memory, in which `run_whole` runs."""
        return self._map is not None

    def run_whole(self, frame: NDArray[Any]) -> Outputs:
        """The whole network's answer on the raw frame, for `conclude`. Call it when a map audit is due."""
        return {} if self._map is None else self._map.run(frame)

    def conclude(self, raw: Outputs, outputs: Outputs, unlike: str | None, ts: float) -> Audit:
        """Compare the two answers; `unlike` says in words which defect one of them shows and the other does not, None for none."""
        disagreement = 0.0 if self._map is None else self._map.disagreement(raw, outputs)
        trouble = None if unlike is None else f"map audit: {unlike}"
        if self._map is not None and self._map.failed(disagreement):
            limit = f"the limit is {self._settings.limit:.2%}"
            trouble = f"map audit: {disagreement:.2%} of the answer is not that of the whole network on the raw frame, {limit}"
        self._trust.note(trouble, ts)
        return Audit(disagreement, trouble)

    def check(self, frame: NDArray[Any], outputs: Outputs, live: Mask, ts: float) -> Audit | None:
        """All at once, where nothing is judged and a lost trust changes nothing: the map audit when one was due. Raises EngineFault."""
        if self.is_dense(ts):
            return None
        self.check_engine(frame, outputs, live, ts)
        return self.conclude(self.run_whole(frame), outputs, None, ts) if self.is_map_due(ts) else None

    def take_notices(self) -> tuple[Notice, ...]:
        """What is to be told since the last call."""
        return self._trust.take_notices()
