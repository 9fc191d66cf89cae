"""A frame beside its template, as a network takes it that compares the two. In: frames, live pixels. Out: uint8. Keeps room for a frame.

A pixel has three channels: the frame's gray level, the template's, and how far they are apart.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.compare.depth import EightBits
from edgevision.compare.image import read_only
from edgevision.kernels.compiled.beside import lay_beside
from edgevision.records import Image, Mask

CHANNELS = 3
MANY = 0.1  # share of live pixels from which on a picture in colour is laid out whole


class BesideTemplate:
    """One camera's frames beside one template, (H, W) or (H, W, 3) BGR, of as many bits as its frames."""

    def __init__(self, template: Image, bits: int | None) -> None:
        self._bits = EightBits(bits)
        self._template = _gray(self._bits.of(template)).copy()
        self._room = np.zeros((*self._template.shape, CHANNELS), np.uint8)
        self._apart = np.zeros_like(self._template)
        self._home = np.dstack([self._template, self._template, np.zeros_like(self._template)])
        self._lay(self._template, np.zeros(self._template.shape, np.bool_))  # compiled now, not when the second frame comes

    def of(self, image: Image, live: Mask | None = None) -> Image:
        """(H, W, 3) uint8, valid at live pixels (None: everywhere) until the next call; elsewhere it may be anything."""
        image = self._bits.of(image, live)
        if live is None:
            gray = _gray(image)
            cv2.absdiff(gray, self._template, self._apart)
            cv2.merge([gray, self._template, self._apart], self._room)
            return self._room
        if image.ndim == 2:
            self._lay(image, live)
            return self._room
        places = np.flatnonzero(live)
        if len(places) > MANY * self._template.size:
            return self.of(image)
        if len(places):
            gray = _gray(image.reshape(-1, 1, *image.shape[2:])[places])
            template = self._template.reshape(-1, 1)[places]
            self._room.reshape(-1, CHANNELS)[places] = cv2.merge([gray, template, cv2.absdiff(gray, template)])[:, 0]
        return self._room

    def _lay(self, gray: Image, live: Mask) -> None:
        """Renew the room at live pixels."""
        flags = np.ascontiguousarray(live).view(np.uint8)
        frame, taught, flags = (read_only(np.ascontiguousarray(one).reshape(-1)) for one in (gray, self._template, flags))
        lay_beside(frame, taught, flags, self._room.reshape(-1, CHANNELS))

    def put_back(self, gone: Mask) -> None:
        """The template beside itself again at these pixels of what `of` gave last."""
        cv2.copyTo(self._home, gone.view(np.uint8), self._room)


def _gray(image: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
