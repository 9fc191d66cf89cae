"""From the network's grid to frame pixels: points, boxes, areas, outlines. Keeps nothing.

Points are measured from the frame's top left corner, so that pixel (0, 0) reaches from 0 to 1 and a box's middle is its mean corner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.records import Box, Polygon

MAX_CORNERS = 64  # keeps the message of a ragged region small


@dataclass(frozen=True, slots=True)
class Scale:
    """The ratio of a frame (height, width) to a network's grid: `grid` cells cover it, whole ones or not."""

    frame: tuple[int, int]
    grid: tuple[float, float]

    def point(self, x: float, y: float) -> tuple[float, float]:
        """A point of the grid, measured from its corner, in frame pixels."""
        return x * self.frame[1] / self.grid[1], y * self.frame[0] / self.grid[0]

    def box(self, box: Box) -> Box:
        """The smallest box of whole frame pixels that covers a box of grid pixels."""
        (x1, y1), (x2, y2) = self.point(box[0], box[1]), self.point(box[2], box[3])
        return math.floor(x1), math.floor(y1), min(self.frame[1], math.ceil(x2)), min(self.frame[0], math.ceil(y2))

    def area(self, pixels: int) -> int:
        """So many grid pixels in frame pixels."""
        return round(pixels * self.frame[0] * self.frame[1] / (self.grid[0] * self.grid[1]))


def outline(contour: NDArray[np.int32], scale: Scale, tolerance_px: float) -> Polygon:
    """A contour of grid pixels (point, 1, xy) as a polygon of at most `MAX_CORNERS` frame pixels; never fewer than three corners."""
    ratio = max(1e-9, min(scale.point(1.0, 1.0)))
    tolerance = tolerance_px / ratio
    corners = cv2.approxPolyDP(contour, tolerance, True)
    while len(corners) > MAX_CORNERS:
        tolerance = 2.0 * tolerance + 0.5
        corners = cv2.approxPolyDP(contour, tolerance, True)
    if len(corners) < 3:
        x, y, width, height = cv2.boundingRect(contour)
        x1, y1, x2, y2 = scale.box((x, y, x + width, y + height))
        return (x1, y1), (x2 - 1, y1), (x2 - 1, y2 - 1), (x1, y2 - 1)
    return tuple(_pixel(scale.point(x + 0.5, y + 0.5)) for x, y in corners.reshape(-1, 2).tolist())


def _pixel(point: tuple[float, float]) -> tuple[int, int]:
    return math.floor(point[0]), math.floor(point[1])
