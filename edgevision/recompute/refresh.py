"""A rolling band that hands the whole picture to the network once every `keyframe_s`, without a stall.

What stays just below the change map's threshold is refreshed so, at the latest then. In: frame times. Out: the rows due. Keeps the next
band and when it is due. Few wide bands cost less than many narrow ones, because each drags its receptive field along.
"""

from __future__ import annotations

BANDS = 10


class RollingRefresh:
    """One camera's band. `keyframe_s` 0 switches it off."""

    def __init__(self, keyframe_s: float, bands: int = BANDS):
        self._step_s = keyframe_s / bands
        self._bands = bands
        self.reset()

    def reset(self) -> None:
        """Begin again: the next frame is a whole one and starts the clock."""
        self._next = 0
        self._due_ts: float | None = None

    def rows(self, ts: float, height: int) -> slice | None:
        """The rows due at `ts` (seconds), None when none are. A clock that jumps back starts the interval anew."""
        if self._step_s <= 0:
            return None
        if self._due_ts is None or self._due_ts - ts > self._step_s:
            self._due_ts = ts + self._step_s
        if ts < self._due_ts:
            return None
        self._due_ts = ts + self._step_s
        band, self._next = self._next, (self._next + 1) % self._bands
        return slice(height * band // self._bands, height * (band + 1) // self._bands)
