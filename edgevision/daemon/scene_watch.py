"""Is the camera at this path still the one it was: its scene, compared with the one that is remembered, each time it is opened.

In: frames. Out: what is wrong, in words, or None. Kept: the remembered scene, on disk as a small picture that a person can look at. A scene
that is seen again takes the place of the remembered one, so that slow change is followed; another one never does by itself.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from edgevision.capture.camera import CameraSettings
from edgevision.capture.scenery import HEIGHT, WIDTH, Fingerprint, fingerprint, likeness
from edgevision.errors import Unavailable
from edgevision.records import Image

AGAIN_S = 2.0  # between two looks while nothing can be said yet, or while it is another scene


class SceneWatch:
    """One camera's scene. Used from its worker's main thread. `life` is anything that changes when the camera is opened anew."""

    def __init__(self, path: Path, settings: CameraSettings):
        self.settings = settings
        self._path = path
        self._known: Fingerprint | None = None
        self._has_read = False
        self._life: object = None
        self._is_settled = False
        self._looked_ts = float("-inf")
        self.trouble: str | None = None

    def look(self, image: Image, ts: float, life: object) -> str | None:
        """Take a frame; what is wrong with the scene, None when nothing is known to be. Costs nothing once that is settled."""
        if self.settings.scene_check == "off":
            return None
        if life != self._life:
            self._life, self._is_settled, self._looked_ts = life, False, float("-inf")
        if self._is_settled or 0 <= ts - self._looked_ts < AGAIN_S:
            return self.trouble
        self._looked_ts = ts
        self._compare(fingerprint(image))
        return self.trouble

    def forget(self) -> None:
        """What is seen next is how the scene looks from now on."""
        self._known, self._has_read = None, True
        self._is_settled, self.trouble, self._looked_ts = False, None, float("-inf")

    def _compare(self, seen: Fingerprint) -> None:
        known = self._read()
        share = likeness(seen if known is None else known, seen)
        if share is None:
            return  # too dark or too plain to tell; the next looks will
        if known is None or share >= self.settings.scene_likeness:
            try:
                self._keep(seen)
            except Unavailable:
                self._is_settled, self.trouble = True, None  # it is the right scene; only it cannot be remembered
            return
        self.trouble = (
            f"the picture is like {share:.0%} of the scene that this camera showed before, the limit is {self.settings.scene_likeness:.0%}:"
            " another camera, or it was moved; put it right, or ask learn_reference to take it as it is"
        )

    def _read(self) -> Fingerprint | None:
        """What is remembered; a file that is no such picture is as good as none."""
        if not self._has_read:
            self._has_read = True
            picture = cv2.imread(str(self._path), cv2.IMREAD_GRAYSCALE) if self._path.is_file() else None
            is_ours = picture is not None and picture.shape == (HEIGHT, WIDTH)
            self._known = picture.astype(np.uint8) if is_ours and picture is not None else None
        return self._known

    def _keep(self, seen: Fingerprint) -> None:
        self._known, self._has_read = seen, True
        self._is_settled, self.trouble = True, None
        draft = self._path.with_name(f"{self._path.stem}.new.png")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(cv2.imencode(".png", seen)[1].tobytes())
            os.replace(draft, self._path)
        except OSError as error:
            raise Unavailable(f"{self._path}: {error.strerror}; the scene cannot be remembered over a restart") from error
