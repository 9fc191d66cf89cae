"""Which pixels of a camera's frames count. In: settings, a size. Out: a mask of them, and the box around them. Keeps nothing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.compare.settings import ChangeSettings
from edgevision.errors import InputError
from edgevision.records import Image


def allowed_pixels(settings: ChangeSettings, height: int, width: int) -> NDArray[np.uint8]:
    """1 where a change counts: inside the ROI, outside every ignored polygon. Raises InputError for a ROI outside the picture."""
    allowed = np.ones((height, width), np.uint8)
    if settings.roi is not None:
        allowed[:] = 0
        cv2.fillPoly(allowed, [np.array(settings.roi, np.int32)], 1)
        if not allowed.any():
            raise InputError(f"compare.roi lies outside the {width}x{height} picture; give its corners as [x, y] in frame pixels")
    for polygon in settings.ignore:
        cv2.fillPoly(allowed, [np.array(polygon, np.int32)], 0)
    if not allowed.any():
        raise InputError("compare.ignore covers the whole of what compare.roi leaves; nothing could ever be live: make it smaller")
    return allowed


def where_allowed(image: Image, other: Image, allowed: NDArray[np.uint8]) -> Image:
    """The image (H, W[, C]) where pixels count, the other one, of the same values, elsewhere; the image itself where all of them count."""
    if allowed.all():
        return image
    mask = allowed.astype(np.bool_)
    mixed: Image = np.where(mask if image.ndim == 2 else mask[:, :, None], image, other.reshape(image.shape))
    return mixed


def span_of(allowed: NDArray[np.uint8], channels: int) -> tuple[int, int, int, int]:
    """First row, row after the last, first value in a row, value after the last: the box around the allowed pixels."""
    rows, columns = np.flatnonzero(allowed.any(axis=1)), np.flatnonzero(allowed.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]) * channels, (int(columns[-1]) + 1) * channels
