"""When the belt moves and where it is. In: settings. Out: `Moment` for any frame number. Keeps the start frame of each cycle.

Cycle i: the belt moves one pitch (speed up, run, slow down), then part i stands in the station.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from edgevision.capture.line.seeds import stream
from edgevision.capture.line.settings import SyntheticSettings
from edgevision.errors import InputError

RAMP = 0.3  # share of the move spent speeding up, and again slowing down


@dataclass(frozen=True, slots=True)
class Moment:
    """The belt at one frame: `cycle` is the part in or on its way to the station, `way` how many pitches the belt has made."""

    cycle: int
    way: float
    speed: float  # pitches a frame
    is_moving: bool
    frames_at_rest: int  # since the belt stopped; 0 while it moves


def travelled(share: float) -> float:
    """Way made (0..1) after a share (0..1) of a move: constant acceleration, constant speed, constant deceleration."""
    share = min(max(share, 0.0), 1.0)
    top = 1.0 / (1.0 - RAMP)
    if share < RAMP:
        return top * share * share / (2 * RAMP)
    if share > 1 - RAMP:
        return 1.0 - top * (1 - share) ** 2 / (2 * RAMP)
    return top * (share - RAMP / 2)


class Belt:
    """The schedule of one line; any frame may be asked for, in any order."""

    def __init__(self, settings: SyntheticSettings) -> None:
        self._settings = settings
        self._starts = [0]
        self._moves: list[int] = []

    def _reach(self, frame: int) -> None:
        while self._starts[-1] <= frame:
            rng = stream(self._settings.seed, "belt", len(self._moves))
            move = max(2, round(rng.uniform(*self._settings.move_s) * self._settings.fps))
            stand = max(1, round(rng.uniform(*self._settings.stand_s) * self._settings.fps))
            self._moves.append(move)
            self._starts.append(self._starts[-1] + move + stand)

    def at(self, frame: int) -> Moment:
        """Where the belt is at frame number `frame`. Raises InputError below 0."""
        if frame < 0:
            raise InputError(f"frame is {frame}; a line's frames count from 0")
        self._reach(frame)
        cycle = bisect_right(self._starts, frame) - 1
        since, move = frame - self._starts[cycle], self._moves[cycle]
        if since >= move:
            return Moment(cycle, cycle + 1.0, 0.0, False, since - move + 1)
        before, now = travelled(since / move), travelled((since + 1) / move)
        return Moment(cycle, cycle + now, now - before, True, 0)

    def standing(self, cycle: int) -> tuple[int, int]:
        """The frames [first, last) in which part `cycle` stands in the station."""
        while len(self._moves) <= cycle:
            self._reach(self._starts[-1])
        return self._starts[cycle] + self._moves[cycle], self._starts[cycle + 1]
