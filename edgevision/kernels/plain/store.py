"""Values between float32 and the way a tensor holds them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Float, Store

F = np.float32


def decode(held: NDArray[Any], store: Store) -> Float:
    """The values of what a tensor holds."""
    if store.kind == "bf16":
        return np.asarray((held.astype(np.uint32) << 16).view(np.float32))
    if store.kind == "u8":
        return np.asarray((held.astype(np.int32) - store.zero).astype(np.float32) * F(store.scale))
    return np.asarray(held)


def encode(values: Float, store: Store) -> NDArray[Any]:
    """How a tensor holds these values. In u8 NaN becomes 0."""
    if store.kind == "bf16":
        return _rounded_half(np.ascontiguousarray(values))
    if store.kind == "u8":
        with np.errstate(invalid="ignore", over="ignore"):
            steps = values * F(store.inverse) + F(store.zero)
        steps = np.where(steps > F(0), steps, F(0))
        return np.asarray(np.rint(np.where(steps < F(255), steps, F(255))).astype(np.uint8))
    return values


def _rounded_half(values: Float) -> NDArray[np.uint16]:
    """The upper 16 bits, rounded to nearest even; NaN stays NaN, quiet."""
    bits = values.view(np.uint32)
    with np.errstate(over="ignore"):
        rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), (bits >> 16) | 0x40, rounded).astype(np.uint16)
