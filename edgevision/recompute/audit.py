"""Three ways to doubt what is skipped. Each says how much disagrees; what follows from that is `Trust`'s.

`EngineAudit`: did the network take what it was given, is every step still what its inputs make it, and is the answer in use what came of
that? Patches are taken in and recomputed in place; nothing may move. If no patch of any step does, Memory is `first(x_used)`, step by step
(a spliced answer: within its tolerance), and x_used holds what was live. `MapAudit`: is the answer in use that of
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

from edgevision.errors import EngineFault, InputError
from edgevision.recompute.call import Call, Window
from edgevision.recompute.camera_network import CameraNetwork
from edgevision.recompute.trust import AuditSettings, Trust
from edgevision.records import Box, Costs, Mask, Notice

__all__ = ["Audit", "AuditSettings", "Audits", "EngineAudit", "MapAudit"]

Outputs = Mapping[str, NDArray[np.float32]]

WHOLE: Window = (0.0, 0.0, 1.0, 1.0)
MISSED, MISSED_ALL_OVER = 0.0003, 0.0001  # the share of some rows, of all, that may plainly differ without being live: specks
HASTE = 10  # times sooner than usual, audits come after one that failed
NOTED_ROWS = 8  # one row in so many is looked at for what is live


class Turn:
    """When something is due that comes every so many frames, or seconds if that is sooner; 0 seconds: frames alone count."""

    def __init__(self, every: int, every_s: float) -> None:
        self._every, self._every_s = every, every_s
        self._frames = 0
        self._last_ts: float | None = None

    def comes(self, ts: float, haste: int = 1) -> bool:
        """Call once a frame: whether the turn has come; `haste` times sooner than usual. A clock that was set back begins anew."""
        self._frames += 1
        if self._last_ts is None or ts < self._last_ts:
            self._last_ts = ts
        is_late = self._every_s > 0 and (ts - self._last_ts) * haste >= self._every_s
        if self._frames * haste < self._every and not is_late:
            return False
        self._frames, self._last_ts = 0, ts
        return True


class EngineAudit:
    """Recomputes patches of every step of one camera's Memory.

    In turn one where the frame is live, for there a kernel may go wrong and pixels may be lost on their way in, and the next of those that
    cover the picture, in a random order: what is not live may have been overwritten by whatever else shares the computer's memory. Where
    nothing is live it is one where something was since the last audit, for what was lost there is still missing; where nothing was, the
    next frame on which something is makes up for it.
    """

    def __init__(self, net: CameraNetwork, settings: AuditSettings = AuditSettings()) -> None:  # noqa: B008
        self._net, self._settings = net, settings
        self._random = np.random.default_rng(settings.seed)
        self._turn = Turn(settings.engine_every, settings.engine_every_s)
        self._turns = 0
        self._is_owed = False  # a patch where something is live, or was
        self._was_live: Mask | None = None  # on one of the frames since the last such patch
        self._lively = 0  # how many there were, as far as was looked
        self._frames = 0
        self._tiles: list[Window] = []

    def next(self, call: Call | None, ts: float, haste: int = 1) -> bool:
        """Call once a frame, after the network, with its last call: audits when its turn has come, `haste` times sooner than usual. True if
        it did. Raises EngineFault: reset and go dense."""
        if not self._settings.engine_every:
            return False
        is_due = self._turn.comes(ts, haste)
        self._turns += is_due
        self._is_owed |= is_due and self._turns % 2 == 1
        if call is not None:
            self._note(call.live)
        place = self._lively_place(call.live) if call is not None and self._is_owed else None
        if place is None and not is_due:
            return False
        self._is_owed &= place is None
        self.check(place, call)
        return True

    def _note(self, live: Mask) -> None:
        """Keep one of the masks in which something is live, any of them; some rows are looked at, others on each frame."""
        self._frames += 1
        if not live[self._frames % NOTED_ROWS :: NOTED_ROWS].any():
            return
        self._lively += 1
        if self._random.random() * self._lively < 1:
            self._was_live = live

    def _lively_place(self, live: Mask) -> Window | None:
        """A patch where this frame is live, else where one was since the last such patch; None where none was."""
        place = self._around(live)
        if place is None and self._was_live is not None:
            place = self._around(self._was_live)
        if place is not None:
            self._was_live, self._lively = None, 0
        return place

    def check(self, window: Window | None = None, call: Call | None = None) -> None:
        """Audit this patch now, the next one in turn where none is given: of every step, and with the last `call` of what went in and came
        out. Raises EngineFault if anything moved."""
        moved = self._net.verify(window or self._next_tile(), call)
        if moved:
            name, pixels = next(iter(moved.items()))
            raise EngineFault(f"engine audit: '{name}' moved at {pixels} pixels when it was made anew; reset the Memory and run first()")

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
        self._turn = Turn(settings.map_every, settings.map_every_s)
        self.runs = 0

    def is_due(self, ts: float, haste: int = 1) -> bool:
        """Call once a frame: whether its turn has come, by frames or by time (s); `haste` times sooner than usual."""
        return self._turn.comes(ts, haste)

    def run(self, frame: NDArray[Any]) -> Outputs:
        """The whole network's answer on the raw frame; valid until the next run."""
        self.runs += 1
        return self._twin.first(frame)

    def run_near(self, frame: NDArray[Any], near: Mask) -> Near:
        """The same wherever an answer sees nothing but `near` (H, W) of the frame, at the price of these pixels. Not before `run`."""
        self.runs += 1
        return Near(self._twin.next(frame, near), self._twin.changed, self._twin.costs)

    def disagreement(self, raw: Outputs, outputs: Outputs) -> float:
        """Share of output values that lie further than the tolerance from what the raw frame gives: the worst output's."""
        shares = (float(np.mean(~(np.abs(raw[name] - outputs[name]) <= self._settings.tolerance))) for name in raw)
        return max(shares, default=0.0)

    def failed(self, disagreement: float) -> bool:
        """Whether that is more than the limit."""
        return disagreement > self._settings.limit


class Near(NamedTuple):
    """A run of a part beside: its outputs, their boxes that may differ from the run before, what it cost."""

    outputs: Outputs
    changed: Mapping[str, Box | None]
    costs: Costs


class Audit(NamedTuple):
    """What an audit came to: the share that disagrees, where the map was audited; in words why it failed, None where it passed; `doubt`,
    what it found and took for a close call, so that the frame is not OK although the audit passed."""

    disagreement: float | None
    trouble: str | None
    doubt: str | None = None


class Audits:
    """Both audits of one camera and what follows from them. The engine is checked after it has run, the map by a run of its own."""

    def __init__(self, net: CameraNetwork, settings: AuditSettings) -> None:
        self._engine = EngineAudit(net, settings)
        self._map = MapAudit(net, settings) if settings.map_every else None
        self._trust = Trust(settings)
        self._settings = settings
        self._input_turn = Turn(settings.engine_every, settings.engine_every_s)
        self._dense_frames = 0
        self._is_close = False  # was the last map audit a close call
        self._random = np.random.default_rng(settings.seed)

    def is_dense(self, ts: float) -> bool:
        """Whether the camera must run the whole network at `ts`, because it lost the trust."""
        return self._trust.is_dense(ts)

    def check_engine(self, call: Call, ts: float) -> None:
        """Call once a frame, after the network, with its last call. Raises EngineFault: reset, run anew, and `note_fault`."""
        if self.is_dense(ts):
            self._check_dense(call.picture, call.outputs)
            return
        self._dense_frames = 0
        if self._trust.is_doubted:
            self._engine.check(WHOLE, call)
            if self._map is None:
                self._trust.note(None, ts)
        else:
            self._engine.next(call, ts, self._haste)

    @property
    def _haste(self) -> int:
        return HASTE if self._trust.is_wary else 1

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

    def check_input(self, missed: Callable[[float, np.random.Generator | None], float], ts: float, is_part: bool = False) -> str | None:
        """Call once a frame that is not whole: why what was left of it is too much, else None. `missed(levels, random)` measures, at most
        so many levels being plain, in some rows or, given no `random`, all over: a triggered part, and while in doubt.

        It needs no defect to find a blind change map, costs no run, and comes as often as the engine's audit.
        """
        is_due = self._input_turn.comes(ts, self._haste) or self._trust.is_doubted
        if self.is_dense(ts) or not self._settings.engine_every or not is_due:
            return None
        is_all_over = is_part or self._trust.is_wary
        limit = MISSED_ALL_OVER if is_all_over else MISSED
        share = missed(self._settings.levels, None if is_all_over else self._random)
        if share <= limit:
            return None
        off = f"{share:.2%} of the picture is plainly off what the network was given"
        trouble = f"input audit: {off}, and was not live, the limit is {limit:.2%}; see compare.pixel_threshold and recompute.audit_levels"
        self._trust.note(trouble, ts)
        return trouble

    def is_map_due(self, ts: float) -> bool:
        """Call once a frame: whether the raw frame should be looked at whole."""
        if self._map is None or self.is_dense(ts):
            return False
        return self._map.is_due(ts, self._haste) or self._trust.is_doubted or self._is_close

    @property
    def has_twin(self) -> bool:
        """Whether there is a second Memory, in which `run_whole` runs."""
        return self._map is not None

    @property
    def close_margin(self) -> float:
        """How near its limit, as a logarithm of odds, a defect that only one answer shows is a close call."""
        return self._settings.close_margin

    def run_whole(self, frame: NDArray[Any]) -> Outputs:
        """The whole network's answer on the raw frame, for `conclude`. Call it when a map audit is due."""
        return {} if self._map is None else self._map.run(frame)

    @property
    def runs(self) -> int:
        """How often the second Memory was run."""
        return 0 if self._map is None else self._map.runs

    def run_near(self, frame: NDArray[Any], near: Mask) -> Near:
        """What the whole network says of the raw frame wherever it sees nothing but `near` (H, W). Raises InputError before a whole run."""
        if self._map is None or not self._map.runs:
            raise InputError("the second Memory is empty; call run_whole first")
        return self._map.run_near(frame, near)

    def conclude(self, raw: Outputs, outputs: Outputs, unlike: str | None, ts: float, is_close: bool = False) -> Audit:
        """Compare the two answers; `unlike` says in words which defect one of them shows and the other does not, None for none.

        With `is_close` that defect lies so near to its limit that it may be chance: the next frame is looked at, too, and only if the
        answers differ there again has the audit failed.
        """
        disagreement = 0.0 if self._map is None else self._map.disagreement(raw, outputs)
        trouble = None if unlike is None else f"map audit: {unlike}"
        if self._map is not None and self._map.failed(disagreement):
            limit = f"the limit is {self._settings.limit:.2%}"
            trouble = f"map audit: {disagreement:.2%} of the answer is not that of the whole network on the raw frame, {limit}"
        elif is_close and trouble is not None and not (self._is_close or self._trust.is_doubted):
            self._is_close = True
            return Audit(disagreement, None, f"{trouble}; it is a close call")
        self._is_close = False
        self._trust.note(trouble, ts)
        return Audit(disagreement, trouble)

    def check(self, picture: NDArray[Any], outputs: Outputs, live: Mask, ts: float, raw: NDArray[Any]) -> Audit | None:
        """All at once, where nothing is judged and a lost trust changes nothing: the map audit when one was due. Raises EngineFault.

        `picture` is what the network was given, `raw` the frame as it was taken.
        """
        if self.is_dense(ts):
            return None
        self.check_engine(Call(picture, live, outputs), ts)
        return self.conclude(self.run_whole(raw), outputs, None, ts) if self.is_map_due(ts) else None

    def take_notices(self) -> tuple[Notice, ...]:
        """What is to be told since the last call."""
        return self._trust.take_notices()
