"""The tokens of a block, and their mean, slow and plain: what `compiled/pack.py` lays out for products. In: planes. Out: arrays.

Keeps nothing; who keeps what is packed is `attend.py`.
"""

from __future__ import annotations

import numpy as np

from edgevision.kernels.blocks import Whole
from edgevision.kernels.forms import Float, Plane
from edgevision.kernels.plain.commit import Indices
from edgevision.kernels.plain.store import decode


def places_of(bounds: Whole) -> tuple[Indices, Indices]:
    """(rows, columns) of a block's tokens, row by row."""
    rows, columns = np.mgrid[bounds[0] : bounds[1], bounds[2] : bounds[3]]
    return rows.reshape(-1), columns.reshape(-1)


def tokens_of(plane: Plane, bounds: Whole, heads: int) -> Float:
    """(token, head, channel): a block's tokens, row by row."""
    rows, columns = places_of(bounds)
    return decode(plane.values[rows, columns], plane.store).reshape(len(rows), heads, -1)


def mean_of(tokens: Float) -> Float:
    """(head, channel): the tokens, added one after another, divided by their number."""
    total = np.zeros(tokens.shape[1:], np.float32)
    for token in tokens:
        total = total + token
    return np.asarray(total / np.float32(len(tokens)))
