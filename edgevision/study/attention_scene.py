"""Tokens to measure attention on: a scene of a few materials in patches, and squares of it that become another scene.

In: a map, heads, a seed. Out: planes of queries, keys and values, and at every shot which tokens are new. What makes attention worth
choosing in is there as in a trained network: tokens are like their neighbours and like others of their material, wherever these lie. Tokens
of nothing but noise would have nothing to choose from: a hybrid runs dense on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgevision.kernels.forms import NO_LIVE, Float, Plane
from edgevision.networks.attention import Tokens
from edgevision.records import Mask

MATERIALS = 12
PATCH, GRADIENT = 10, 6  # tokens over which materials, and their shade, stay much the same
SHARES = (0.8, 0.5, 0.35)  # of the material, its shade and noise in a token


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Queries, keys and values (row, column, channel), in one tensor; the planes share their live bytes."""

    query: Plane
    key: Plane
    value: Plane

    def mark(self, live: Mask) -> None:
        """These tokens have changed."""
        for plane in (self.query, self.key, self.value):
            plane.live[...] = live
            plane.live_px = int(live.sum())
            plane.extent[...] = NO_LIVE
            for row in np.flatnonzero(live.any(axis=1)):
                columns = np.flatnonzero(live[row])
                plane.extent[row] = columns[0], columns[-1]


def shots(tokens: Tokens, changed: float, seed: int) -> Iterator[tuple[Scene, Mask]]:
    """The same planes again and again: all new, then a square of `changed` of the tokens at a fresh place each time."""
    random, (rows, columns), channels = np.random.default_rng(seed), tokens.key, tokens.channels
    qkv = _tokens(tokens, random)
    scene = Scene(*(_plane(qkv[:, :, place * channels : (place + 1) * channels]) for place in range(3)))
    live = np.ones(tokens.key, np.bool_)
    scene.mark(live)
    yield scene, live
    side = max(1, round((changed * tokens.keys) ** 0.5))
    height, width = min(side, rows), min(side, columns)
    while True:
        top, left = int(random.integers(0, rows - height + 1)), int(random.integers(0, columns - width + 1))
        live = np.zeros(tokens.key, np.bool_)
        live[top : top + height, left : left + width] = True
        qkv[live] = _tokens(tokens, random)[live]
        scene.mark(live)
        yield scene, live


def _tokens(tokens: Tokens, random: np.random.Generator) -> Float:
    """(row, column, queries, keys and values of all heads). Materials are the same in every scene of a seed's sequence."""
    rows, columns = tokens.key
    kinds = np.random.default_rng(MATERIALS).standard_normal((MATERIALS, tokens.channels))
    where = _smooth((rows, columns), MATERIALS, PATCH, random).argmax(axis=2)
    shade = _smooth((rows, columns), tokens.channels, GRADIENT, random)
    material, gradient, noise = SHARES
    seen = material * kinds[where] + gradient * shade
    parts = [seen + noise * random.standard_normal(seen.shape) for _ in range(3)]
    return np.concatenate(parts, axis=2).astype(np.float32)


def _smooth(size: tuple[int, int], channels: int, cell: int, random: np.random.Generator) -> Float:
    """(row, column, channel): random values `cell` tokens apart, and straight lines between."""
    grid = random.standard_normal((size[0] // cell + 2, size[1] // cell + 2, channels))
    (y, dy), (x, dx) = (np.divmod(np.arange(length) / cell, 1) for length in size)
    first, second = y.astype(int), x.astype(int)
    dy, dx = dy[:, None, None], dx[None, :, None]
    upper = (1 - dx) * grid[first][:, second] + dx * grid[first][:, second + 1]
    lower = (1 - dx) * grid[first + 1][:, second] + dx * grid[first + 1][:, second + 1]
    return np.asarray((1 - dy) * upper + dy * lower, np.float32)


def _plane(values: Float) -> Plane:
    height, width = values.shape[:2]
    extent = np.empty((height, 2), np.int32)
    extent[...] = NO_LIVE
    return Plane(values, 0, 0, height, width, np.zeros((height, width), np.uint8), extent)


def empty_plane(tokens: Tokens) -> Plane:
    """Room for what attention makes of them."""
    return _plane(np.zeros((*tokens.query, tokens.channels), np.float32))
