"""Do a camera's pictures stay what they were when it was set up: `recompute/shift.py` with frames, a place on disk, and the worker's words.

In: inspected frames. Out: notices. Kept: a file with what was learnt, for one source and one network; another network learns its own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgevision.compare.background import allowed_pixels
from edgevision.compare.settings import ChangeSettings
from edgevision.config import CameraConfig
from edgevision.errors import InputError
from edgevision.pipeline import Pipeline
from edgevision.recompute.door import Door, Light
from edgevision.recompute.shift import ShiftMonitor
from edgevision.recompute.shift_settings import ShiftSettings
from edgevision.records import Frame, Inspection, Mask, Notice, Scene, Verdict

log = logging.getLogger("edgevision")

MAX_FILE_BYTES = 4_000_000


class ShiftWatch:
    """One camera's. Used from its worker's main thread."""

    def __init__(self, path: Path, settings: ShiftSettings, compare: ChangeSettings = ChangeSettings()):  # noqa: B008
        self.settings = settings
        self._path = path
        self._compare = compare
        self._door = Door()
        self._monitor = ShiftMonitor(settings)
        self._frames = 0
        self._network: str | None = None  # whose features are compared
        self._texts: dict[str, str] = {}

    @classmethod
    def of(cls, path: Path, camera: CameraConfig) -> ShiftWatch:
        """As a camera's configuration has it."""
        return cls(path, camera.recompute.shift, camera.compare)

    def look(self, frame: Frame, inspection: Inspection, pipeline: Pipeline) -> Inspection:
        """The inspection with what is news of a shift; its OK a WARN where that is asked for."""
        if not self.settings.enabled or inspection.mode == "none" or inspection.scene is Scene.MISALIGNED:
            return inspection
        notices = self._sample(frame, inspection, pipeline)
        for notice in notices:
            self._texts.pop(notice.what, None)
            if not notice.is_over:
                self._texts[notice.what] = notice.text
        if notices:
            inspection = replace(inspection, notices=(*inspection.notices, *notices))
        if self._texts and self.settings.action == "warn" and inspection.verdict is Verdict.OK:
            return replace(inspection, verdict=Verdict.WARN, reason=next(iter(self._texts.values())))
        return inspection

    def forget(self) -> None:
        """What is seen next is how it looks from now on."""
        self._monitor.forget()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _sample(self, frame: Frame, inspection: Inspection, pipeline: Pipeline) -> tuple[Notice, ...]:
        self._frames += 1
        network = pipeline.network
        if self._frames % self.settings.every or network is None:
            return ()
        over: tuple[Notice, ...] = ()
        if self._network != network.sha256:
            height, width = frame.image.shape[:2]
            self._door = Door(self._compare.bits, looked_at(self._compare, height, width))
            self._begin(network.sha256)
        if not self._monitor.is_learnt:  # it was forgotten
            over = tuple(Notice("shift", what, "it is learnt anew how the pictures are", is_over=True) for what in self._texts)
        light = Light(inspection.gain, inspection.offset, pipeline.noise_measured, pipeline.shake_px)
        was_learnt = self._monitor.is_learnt
        sample = self._door.sample(frame.image, light, None if inspection.mode == "foreign" else network)
        notices = self._monitor.take(sample)
        if self._monitor.is_learnt and not was_learnt:
            self._keep()
        return over + notices

    def _begin(self, network: str) -> None:
        """Take up what was learnt with this network, if anything was."""
        self._network = network
        self._monitor.forget()
        try:
            with self._path.open("rb") as file:
                plain: dict[str, Any] = json.loads(file.read(MAX_FILE_BYTES))
            if plain["network"] == network:
                self._monitor.restore(plain)
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, RecursionError, InputError) as error:
            log.warning("%s: %s; it is learnt anew how the camera's pictures are", self._path, error)

    def _keep(self) -> None:
        draft = self._path.with_name(f"{self._path.name}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps({**self._monitor.plain(), "network": self._network}))
            os.replace(draft, self._path)
        except OSError as error:
            log.warning("%s: %s; after a restart it is learnt anew how the camera's pictures are", self._path, error.strerror)


def looked_at(compare: ChangeSettings, height: int, width: int) -> Mask | None:
    """What of a frame counts: inside the ROI, outside what is ignored; None for all of it."""
    allowed = allowed_pixels(compare, height, width)
    return None if allowed.all() else allowed.astype(bool)
