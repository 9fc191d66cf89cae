"""The entrance of a network: checks what comes from outside, then takes it in at live pixels only. A refused call changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError
from edgevision.kernels.forms import NO_ENDS, NO_LIVE, Backend, Ends, Feed, Intake, Plane, Reach, Runs
from edgevision.recompute.call import Call, Window, patch_of
from edgevision.recompute.runs import axis_span, same, table
from edgevision.records import Mask


class Entrance:
    """Writes tensors, or frames once `take_frames` was called, into the network's first plane."""

    def __init__(self, plane: Plane, backend: Backend, runs: Runs) -> None:
        self.plane = plane
        self._backend = backend
        self._runs = runs
        self._size_px = (plane.height, plane.width)
        self._set_up(Intake(), self._size_px)

    def take_frames(self, intake: Intake, frame_px: tuple[int, int]) -> None:
        """Expect 8-bit frames of `frame_px` (height, width)."""
        self._set_up(intake, frame_px)

    def _set_up(self, intake: Intake, picture_px: tuple[int, int]) -> None:
        self._intake, self._picture_px = intake, picture_px
        extent = np.empty((picture_px[0], 2), np.int32)
        extent[...] = NO_LIVE
        self._mask = Plane(np.zeros((0, 0, 0), np.float32), 0, 0, *picture_px, np.zeros(picture_px, np.uint8), extent)
        self.follow()
        feed = Feed(self._mask, _reach(intake, picture_px, self._size_px))
        self._collect = self._backend.collector((feed,), self.plane, self._runs, 1)
        self._mark = self._backend.marker(self.plane, self._runs)
        self._backend.scan(self._mask.live, self._mask.live, self._mask.extent)  # compiled now, not when the second frame comes

    def follow(self) -> None:
        """Write to where the plane now is."""
        self._write = self._backend.bind_intake(self._intake, self.plane)

    @property
    def intake(self) -> Intake:
        """How pictures are taken in."""
        return self._intake

    @property
    def picture_px(self) -> tuple[int, int]:
        """(height, width) of the pictures it takes."""
        return self._picture_px

    def take_all(self, picture: NDArray[Any], begin: Callable[[], None]) -> int:
        """Take the whole picture, compared with nothing: all of it is live. Returns how many pixels that is.

        `begin` is called when all is found to be well and nothing is taken yet.
        """
        return self._take(self._checked(picture), True, begin, is_new=True)

    def take(self, picture: NDArray[Any], live: Mask, begin: Callable[[], None], ends: Ends | None = None) -> int:
        """Take the live pixels, and where the picture has moved those at the plane's `ends` in any case. Returns how many pixels of the
        plane changed. `begin` as for `take_all`; it is not called where nothing is live and nothing was.
        """
        picture = self._checked(picture)
        if not isinstance(live, np.ndarray) or live.dtype != np.bool_ or live.shape != self._picture_px:
            shown = f"{live.dtype} {live.shape}" if isinstance(live, np.ndarray) else type(live).__name__
            raise InputError(f"live is {shown}; it must be bool {self._picture_px}, one for each pixel of the picture")
        flags = np.ascontiguousarray(live).view(np.uint8)
        self._mask.live_px = self._backend.scan(flags, self._mask.live, self._mask.extent)
        if self._mask.live_px == 0 and self.plane.live_px == 0 and ends is None:
            return 0
        return self._take(picture, self._mask.live_px == self._mask.size_px, begin, ends or NO_ENDS)

    def verify(self, call: Call, window: Window) -> int:
        """Take what a call gave in a patch of the picture, (x1, y1, x2, y2) as shares of it, once more: how many pixels of the plane moved.

        After a `take` of the same there are none: of what is live, and of what is not where that is kept and a pixel of the plane is one of
        the picture. What is live in the plane stays as it was.
        """
        place = patch_of(window, self._picture_px)
        moved = self._retaken(call.picture, place, call.live[place])
        if call.kept is not None and self._intake.resize is None:
            moved += self._retaken(call.kept, place, ~call.live[place])
        return moved

    def _retaken(self, picture: NDArray[Any], place: tuple[slice, slice], wanted: Mask) -> int:
        """How many pixels of the plane move when what is wanted at that place of the picture is taken once more."""
        if not wanted.any():
            return 0
        patch, plane = np.zeros(self._picture_px, np.uint8), self.plane
        patch[place] = wanted
        self._backend.scan(patch, self._mask.live, self._mask.extent)
        before = plane.live.copy(), plane.extent.copy(), plane.live_px
        count, _ = self._collect(False, NO_ENDS)
        self._write(self._checked(picture), self._runs, count)
        moved = int(np.count_nonzero(plane.live))
        plane.live[...], plane.extent[...], plane.live_px = before
        return moved

    def _take(self, picture: NDArray[Any], everything: bool, begin: Callable[[], None], ends: Ends = NO_ENDS, is_new: bool = False) -> int:
        count, _ = self._collect(everything, ends)
        if self._intake.table is None:
            row, column = self._backend.first_bad(picture, self._runs, count)
            if row >= 0:
                self.plane.live_px = 0
                raise InputError(
                    f"x is {picture[:, row, column].tolist()} at row {row}, column {column}; live pixels must be finite numbers"
                )
        begin()
        self._write(picture, self._runs, count, is_new)
        self.plane.live_px = self._mark(count)
        return self.plane.live_px

    def _checked(self, picture: NDArray[Any]) -> NDArray[Any]:
        """The picture as the kernel takes it: (C, H, W) float32 or (H, W, C) uint8."""
        if self._intake.table is not None:
            return self._checked_frame(picture)
        wanted = (1, self.plane.padded.shape[2], *self._size_px)
        if not isinstance(picture, np.ndarray) or picture.dtype != np.float32 or picture.shape != wanted:
            raise InputError(f"x is {_shown(picture)}; it must be float32 {wanted}, or call set_preprocess to give 8-bit frames")
        return np.ascontiguousarray(picture[0])

    def _checked_frame(self, frame: Any) -> NDArray[Any]:
        channels = self.plane.padded.shape[2]
        height, width = self._picture_px
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape[:2] != (height, width):
            raise InputError(f"the frame is {_shown(frame)}; it must be uint8 ({height}, {width}) or ({height}, {width}, 3)")
        if frame.ndim == 2 and channels in (1, 3):
            return np.broadcast_to(frame[:, :, None], (height, width, channels))
        if frame.ndim != 3 or frame.shape[2] != channels:
            raise InputError(f"the frame is {_shown(frame)}, the network takes {channels} channel(s); convert the frame")
        return np.asarray(frame)


def _shown(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def _reach(intake: Intake, picture_px: tuple[int, int], size_px: tuple[int, int]) -> Reach:
    if intake.resize is None:
        return same(*size_px)
    rows, columns = axis_span(intake.resize.rows, picture_px[0]), axis_span(intake.resize.columns, picture_px[1])
    return table(rows, columns, picture_px[1])
