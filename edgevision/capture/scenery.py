"""Is this the scene that the camera has always shown, or is another camera at its path? In: pictures. Out: a fingerprint, a likeness.

A fingerprint is the picture in 64 x 48 gray points. Two are compared block by block, by how their patterns go together, whatever the light:
parts that come and go change some blocks, another scene changes nearly all. Keeps nothing.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.records import Image

WIDTH, HEIGHT = 64, 48
BLOCK = 8
LEAST_BLOCKS = 6  # with a pattern; with fewer nothing can be said of a scene
LEAST_CONTRAST = 4.0  # standard deviation in gray levels from which on a block has a pattern
ALIKE = 0.5  # correlation from which on two blocks show the same
SHIFT = 1  # points by which a camera may have been knocked: some 2 % of the picture

Fingerprint = NDArray[np.uint8]  # (48, 64)


def fingerprint(image: Image) -> Fingerprint:
    """The scene in a few thousand bytes, of uint8 or uint16 (H, W[, 3])."""
    small: NDArray[np.float32] = cv2.resize(image.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    gray = small.mean(axis=2) if small.ndim == 3 else small
    if image.dtype == np.uint16:
        gray = gray / max(1.0, float(gray.max()) / 255.0)
    return np.clip(np.rint(gray), 0, 255).astype(np.uint8)


def likeness(known: Fingerprint, seen: Fingerprint) -> float | None:
    """The share of the known scene's blocks with a pattern that are seen again; None for a scene without patterns, or a dark picture."""
    steps = range(-SHIFT, SHIFT + 1)
    shares = [_share(known, np.roll(seen, (down, right), (0, 1))) for down in steps for right in steps]
    found = [share for share in shares if share is not None]
    return max(found) if found else None


def _share(known: Fingerprint, seen: Fingerprint) -> float | None:
    first, second = _blocks(known), _blocks(seen)
    spread, others = first.std(axis=1), second.std(axis=1)
    has_pattern = spread >= LEAST_CONTRAST
    if has_pattern.sum() < LEAST_BLOCKS or (others >= LEAST_CONTRAST).sum() < LEAST_BLOCKS:
        return None
    products = (first * second).mean(axis=1)
    correlation = products / np.maximum(spread * others, 1e-6)
    return float((correlation[has_pattern] >= ALIKE).mean())


def _blocks(picture: Fingerprint) -> NDArray[np.float64]:
    """(block, point), each block about its own mean."""
    rows, columns = HEIGHT // BLOCK, WIDTH // BLOCK
    blocks = picture.astype(np.float64).reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(rows * columns, BLOCK * BLOCK)
    centred: NDArray[np.float64] = blocks - blocks.mean(axis=1, keepdims=True)
    return centred
