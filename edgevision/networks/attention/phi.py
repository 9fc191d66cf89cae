"""Phi, what compresses tokens into measurements (METHODS 1): block means, tokens spread evenly, random or learned; fitted to any map.

In: a number of measurements and a map's size. Out: a matrix (measurement, token), tokens row by row. Keeps nothing. A learned Phi is
nested: its first m rows serve every smaller m, and so do those of `spread_tokens`, with which learning begins. METHODS begins with means;
where keys differ much a mean of them is like none, and attention over single ones of them is several times nearer to dense.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError
from edgevision.kernels.forms import Float

Size = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Phi:
    """A learned matrix: `rows` (measurement, token) over a map of `size` tokens."""

    rows: Float
    size: Size

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.rows.shape[1] != self.size[0] * self.size[1]:
            raise InputError(
                f"Phi is {self.rows.shape} over a map of {self.size}; it must be (measurements, {self.size[0] * self.size[1]})"
            )

    def fitted(self, measurements: int, size: Size) -> Float:
        """Its first rows over a map of another size, each with the sum it had. Raises InputError where it has too few."""
        if measurements > len(self.rows):
            raise InputError(f"measurements is {measurements}; this Phi was learnt with {len(self.rows)}, so at most {len(self.rows)}")
        chosen = self.rows[:measurements]
        if size == self.size:
            return chosen
        down, right = (_resampled(self.size[axis], size[axis]) for axis in (0, 1))
        pictures = chosen.reshape(measurements, *self.size)
        spread = np.einsum("yr,mrc,xc->myx", down, pictures, right, optimize=True).reshape(measurements, -1)
        before, after = chosen.sum(axis=1, keepdims=True), spread.sum(axis=1, keepdims=True)
        is_sum_kept = np.abs(after) > 1e-6 * np.abs(spread).sum(axis=1, keepdims=True)
        return np.asarray(spread * np.where(is_sum_kept, before / np.where(is_sum_kept, after, 1), 1), np.float32)


def block_means(measurements: int, size: Size) -> Float:
    """Each measurement the mean of a rectangle of tokens; the rectangles tile the map, as square and as equal as their number allows."""
    tall, wide = size
    choices = [(abs(np.log(rows * wide / (measurements // rows * tall))), rows) for rows in divisors(measurements)]
    fitting = [(skew, rows) for skew, rows in choices if rows <= tall and measurements // rows <= wide]
    if not fitting:
        return _line_means(measurements, tall * wide)
    rows = min(fitting)[1]
    down, right = _means(tall, rows), _means(wide, measurements // rows)
    return np.asarray(np.einsum("ry,cx->rcyx", down, right).reshape(measurements, -1), np.float32)


def spread_tokens(measurements: int, size: Size) -> Float:
    """Each measurement one token. Any first m lie evenly over the map, on no grid that a network's own could beat with: Halton's points.

    Raises InputError for more measurements than tokens.
    """
    tall, wide = size
    if measurements > tall * wide:
        raise InputError(f"measurements is {measurements}; a map of {tall} x {wide} has at most {tall * wide} tokens")
    rows: dict[int, None] = {}  # in the order in which they were found
    number = 0
    while len(rows) < measurements:
        number += 1
        rows.setdefault(int(_halton(number, 3) * tall) * wide + int(_halton(number, 2) * wide))
    return np.eye(tall * wide, dtype=np.float32)[list(rows)]


def random_signs(measurements: int, tokens: int, seed: int = 0) -> Float:
    """Rademacher: +-1 / sqrt(m)."""
    signs = np.random.default_rng(seed).integers(0, 2, (measurements, tokens)) * 2 - 1
    return np.asarray(signs / np.sqrt(measurements), np.float32)


def divisors(number: int) -> list[int]:
    """Of a positive number, ascending."""
    return [k for k in range(1, number + 1) if number % k == 0]


def _halton(number: int, base: int) -> float:
    """Place in 0 to 1: the number's digits mirrored at the point."""
    place, share = 0.0, 1.0
    while number:
        number, digit = divmod(number, base)
        share /= base
        place += digit * share
    return place


def _means(length: int, parts: int) -> NDArray[np.float64]:
    """(part, place): the mean of each of `parts` stretches of about equal length."""
    edges = np.linspace(0, length, parts + 1).round().astype(int)
    made = np.zeros((parts, length))
    for part, (begin, end) in enumerate(pairwise(edges)):
        made[part, begin:end] = 1 / (end - begin)
    return made


def _line_means(measurements: int, tokens: int) -> Float:
    """Stretches of tokens in reading order, where no grid of rectangles has so many."""
    return np.asarray(_means(tokens, measurements), np.float32)


def _resampled(before: int, after: int) -> NDArray[np.float64]:
    """(after, before): bilinear between places at the middle of equal cells; where many become one, their mean."""
    if after < before:
        edges = np.linspace(0, before, after + 1)
        places = np.arange(before)
        overlap = np.minimum(edges[1:, None], places + 1) - np.maximum(edges[:-1, None], places)
        weights = np.clip(overlap, 0, None)
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))
    at = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
    first = np.minimum(at.astype(int), before - 1)
    second = np.minimum(first + 1, before - 1)
    made = np.zeros((after, before))
    np.add.at(made, (np.arange(after), first), 1 - (at - first))
    np.add.at(made, (np.arange(after), second), at - first)
    return made
