"""Was a mark there already when the reference was taken? In: a region's box, a frame, the reference. Out: how alike. Keeps nothing.

What is looked at for months creeps: a screw never stops at quite the same angle, so its marks move by some pixels while its edges and its
gloss stay where they are. Compared pixel by pixel an old dent then is new where it lies now. So its own detail is looked for in the
reference, around where it lies: light and everything coarser than a dent do not count.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.records import Box, Image

ALIKE = 0.75  # correlation from which on most of what a region shows was there: more than half of its variance
DETAIL_PX = 6.0  # coarser than this is light and form
MARGIN_PX = 4  # around the region: a mark and where it ends


def is_known(box_px: Box, image: Image, reference: Image, reach_px: int) -> bool:
    """Whether the reference (H, W[, C]) shows the same within so many pixels of where the image shows the box."""
    return likeness(box_px, image, reference, reach_px) >= ALIKE


def likeness(box_px: Box, image: Image, reference: Image, reach_px: int) -> float:
    """The best correlation, -1..1, of what lies in and closely around the box with places up to `reach_px` off; 0 for a plain surface."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = _wider(box_px, MARGIN_PX, (height, width))
    left, top, right, bottom = _wider((x1, y1, x2, y2), reach_px, (height, width))
    sought = _detail(image, (x1, y1, x2, y2))
    found = cv2.matchTemplate(_detail(reference, (left, top, right, bottom)), sought, cv2.TM_CCOEFF_NORMED)
    best = float(found.max())
    return best if math.isfinite(best) and float(np.ptp(sought)) >= 1.0 else 0.0


def _detail(image: Image, box_px: Box) -> NDArray[np.float32]:
    """What is finer than DETAIL_PX there, in gray levels of an 8-bit picture."""
    left, top, right, bottom = _wider(box_px, math.ceil(3 * DETAIL_PX), image.shape[:2])
    piece = image[top:bottom, left:right]
    gray = np.asarray(piece if piece.ndim == 2 else cv2.cvtColor(piece, cv2.COLOR_BGR2GRAY), np.float32)
    gray /= np.float32(1 if image.dtype == np.uint8 else 257)
    fine = gray - cv2.GaussianBlur(gray, (0, 0), DETAIL_PX)
    return np.ascontiguousarray(fine[box_px[1] - top : box_px[3] - top, box_px[0] - left : box_px[2] - left])


def _wider(box_px: Box, by_px: int, size_px: tuple[int, ...]) -> Box:
    """The box with so much more on each side, within a picture of (height, width)."""
    x1, y1, x2, y2 = box_px
    return max(0, x1 - by_px), max(0, y1 - by_px), min(size_px[1], x2 + by_px), min(size_px[0], y2 + by_px)
