"""Pictures for people: a frame with what was found drawn on it, and the place enlarged beside it."""

from __future__ import annotations

from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.records import Defect, Event, Image, Verdict

COLOURS = MappingProxyType({Verdict.NG: (60, 60, 235), Verdict.WARN: (40, 170, 250)})
CAPTION_PX = 36
ZOOM_PX = 300
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_event(image: Image, event: Event, caption: str) -> NDArray[np.uint8]:
    """The frame (H, W, 3) with the event's outline and box, an enlarged detail in a corner and a caption line below."""
    picture = colour(image)
    defect = event.defect
    tint = COLOURS.get(defect.level, (200, 200, 200))
    detail = _detail(picture, defect, tint)
    cv2.polylines(picture, [np.array(defect.region.polygon, np.int32)], True, tint, 1, cv2.LINE_AA)
    x1, y1, x2, y2 = defect.region.box_px
    cv2.rectangle(picture, (x1 - 6, y1 - 6), (x2 + 6, y2 + 6), tint, 2)
    write_on(picture, f"{defect.region.label} {defect.region.score:.2f}", (x1 - 6, y1 - 6), tint, 0.6)
    _inset(picture, detail, is_left=(x1 + x2) / 2 > picture.shape[1] / 2, tint=tint)
    bar = np.full((CAPTION_PX, picture.shape[1], 3), 32, np.uint8)
    cv2.putText(bar, caption, (12, 24), FONT, 0.6, (235, 235, 235), 1, cv2.LINE_AA)
    return np.vstack([picture, bar])


def colour(image: Image) -> NDArray[np.uint8]:
    """A copy as uint8 (H, W, 3), whatever the depth and colour of the camera."""
    if image.dtype != np.uint8:
        image = (image >> 8).astype(np.uint8)
    return np.array(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)) if image.ndim == 2 else image.astype(np.uint8).copy()


def write_on(picture: NDArray[np.uint8], words: str, corner: tuple[int, int], tint: tuple[int, int, int], size: float = 0.45) -> None:
    """Above that corner of a box, or as near as all of it can be read; on a dark bar, as a picture may be of any lightness."""
    (width, height), below = cv2.getTextSize(words, FONT, size, 1)
    x = max(2, min(corner[0], picture.shape[1] - width - 2))
    y = corner[1] - 8 if corner[1] > height + 12 else corner[1] + height + 6
    cv2.rectangle(picture, (x - 2, y - height - 2), (x + width + 2, y + below), (20, 20, 20), cv2.FILLED)
    cv2.putText(picture, words, (x, y), FONT, size, tint, 1, cv2.LINE_AA)


def _detail(picture: NDArray[np.uint8], defect: Defect, tint: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The defect's surroundings, enlarged to a square."""
    height, width = picture.shape[:2]
    x, y = (int(value) for value in defect.region.centroid_px)
    x1, y1, x2, y2 = defect.region.box_px
    half = min(max(24, (x2 - x1 + y2 - y1) // 2 + 8), height // 2, width // 2)
    left, top = min(max(0, x - half), width - 2 * half), min(max(0, y - half), height - 2 * half)
    return np.asarray(cv2.resize(picture[top : top + 2 * half, left : left + 2 * half], (ZOOM_PX, ZOOM_PX), interpolation=cv2.INTER_CUBIC))


def _inset(picture: NDArray[np.uint8], detail: NDArray[np.uint8], is_left: bool, tint: tuple[int, int, int]) -> None:
    size = min(ZOOM_PX, picture.shape[0] - 16, picture.shape[1] // 2)
    if size < 64:
        return
    x = 8 if is_left else picture.shape[1] - size - 8
    y = picture.shape[0] - size - 8
    picture[y : y + size, x : x + size] = cv2.resize(detail, (size, size))
    cv2.rectangle(picture, (x, y), (x + size, y + size), tint, 2)
