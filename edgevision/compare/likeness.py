"""Does a frame show the taught picture's part at all, or another product? In: frames. Out: nothing, or BadFrame. Keeps the picture's edges.

How much differs does not tell: a part that is gone may be half of the view, and another board may share most of its pixels. But where a
frame has edges, the taught picture's part has left some of its own: fixture, rest of a broken part, other tracks. Of another product none
of them lies where it did. Both are made small, so that some pixels off do not matter, and cut into cells; a cell with edges is alike where
the gradients of both correlate. That needs no light to be known.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.errors import BadFrame
from edgevision.records import Image

SIDE_PX = 160  # the longer one, of what is looked at
CELL_PX = 16
BLUR_PX = 1.0
EDGE_LEVELS = 6.0  # of a cell's gradient (Sobel, root of the mean square) from which it has edges
ALIKE = 0.5  # correlation
LEAST_SHARE = 0.2  # of the cells that count: with edges in fewer of them a frame says too little

Floats = NDArray[np.float32]


class Likeness:
    """One camera's. `allowed` (H, W) uint8: where pixels count; `unit`: a gray level of 8 bits in the picture's values."""

    def __init__(self, taught: Image, allowed: NDArray[np.uint8], unit: float = 1.0) -> None:
        height, width = taught.shape[:2]
        shrunk = SIDE_PX / max(height, width)
        self._size = max(round(width * shrunk), CELL_PX), max(round(height * shrunk), CELL_PX)
        self._unit = unit
        counted = cv2.resize(allowed.astype(np.float32), self._size, interpolation=cv2.INTER_AREA)
        self._counts = _by_cell(counted) > 0.5 * CELL_PX**2
        self._across, self._down = self._gradients(taught)
        self._power = _by_cell(self._across**2 + self._down**2)

    def share(self, image: Image) -> float | None:
        """Of the cells in which the frame (H, W[, C]) has edges: how many are alike. None where it has hardly any."""
        across, down = self._gradients(image)
        power = _by_cell(across**2 + down**2)
        has_edges = self._counts & (power > (EDGE_LEVELS * CELL_PX) ** 2)
        if np.count_nonzero(has_edges) < max(LEAST_SHARE * np.count_nonzero(self._counts), 1):
            return None
        product = _by_cell(across * self._across + down * self._down)
        alike = product > ALIKE * np.sqrt(power * self._power)
        return float(np.mean(alike[has_edges]))

    def refuse_other(self, image: Image, limit: float) -> None:
        """Raises BadFrame for a frame of which less than `limit` is alike."""
        share = self.share(image)
        if share is not None and share < limit:
            raise BadFrame(
                f"not the part of its template: of the places where the frame has edges {share:.0%} are as there, the limit is {limit:.0%} "
                "(compare.golden_likeness); is it another product, or does it lie elsewhere? Teach its template, or put it right"
            )

    def _gradients(self, image: Image) -> tuple[Floats, Floats]:
        small = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA).astype(np.float32) / self._unit
        gray = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        gray = cv2.GaussianBlur(gray, (0, 0), BLUR_PX)
        across, down = (np.asarray(cv2.Sobel(gray, cv2.CV_32F, *order), np.float32) for order in ((1, 0), (0, 1)))
        return across, down


def _by_cell(values: Floats) -> Floats:
    """Sums over whole cells, (cell row, cell column)."""
    rows, columns = values.shape[0] // CELL_PX, values.shape[1] // CELL_PX
    whole = values[: rows * CELL_PX, : columns * CELL_PX]
    return np.asarray(whole.reshape(rows, CELL_PX, columns, CELL_PX).sum(axis=(1, 3)), np.float32)
