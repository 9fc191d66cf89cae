"""Frames that make every kernel of the change map run once, so that none is compiled while a line runs.

In: a picture of the camera's kind. Out: a small scene with noise, light that changes by place, shake, and something that moves, leaves a
faint seam and comes to rest.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgevision.records import Image

SIZE_PX = 256, 320
MOVING_FRAMES, REST_FRAMES = 6, 3
NOISE_LEVELS = 1.5


def warm_up_frames(like: Image, settle_frames: int) -> Iterator[Image]:
    """Frames of `like`'s dtype and channels. `settle_frames`: of rest until a place is taken anew."""
    random = np.random.default_rng(0)
    height, width = SIZE_PX
    rows, columns = np.mgrid[:height, :width]
    texture = 60 + 60 * ((rows // 16 + columns // 16) % 2) + 20 * np.sin(rows / 9) * np.cos(columns / 7)
    unit = 1 if like.dtype == np.uint8 else 1 << 8
    for step in range(MOVING_FRAMES + min(settle_frames, 16) + REST_FRAMES):
        seen = np.roll(texture, step == 3, axis=1)
        place = 20 + 12 * min(step, MOVING_FRAMES)
        seen[80:140, place : place + 60] += 45
        seen[60:160, place : place + 90] += 3.0
        lamp = 1 + 0.04 * (step % 3) + 0.06 * (step % 2) * columns / width
        seen = seen * lamp + random.normal(0, NOISE_LEVELS, seen.shape)
        picture = np.clip(seen, 0, 255)[..., None] * unit
        whole = np.broadcast_to(picture, (*picture.shape[:2], 1 if like.ndim == 2 else like.shape[2]))
        shown = np.ascontiguousarray(whole[..., 0] if like.ndim == 2 else whole)
        yield shown.astype(np.uint8) if unit == 1 else shown.astype(np.uint16)
