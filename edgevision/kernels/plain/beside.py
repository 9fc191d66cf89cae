"""A frame laid beside its template, slow and plain: the oracle of `compiled/beside.py`. All arrays are flat, pixel after pixel.

gray, template, live   (N,) uint8
room                   (N, 3) uint8: the frame's gray level, the template's, how far they are apart
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def lay_beside(gray: Array, template: Array, live: Array, room: Array) -> None:
    """Write the live pixels, and no others."""
    where = live != 0
    seen, taught = gray[where], template[where]
    room[where] = np.stack([seen, taught, np.maximum(seen, taught) - np.minimum(seen, taught)], axis=1)
