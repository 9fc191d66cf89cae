"""A tensor that is a picture in another order of its numbers: what Reshape and Transpose make, without moving anything.

In: shapes and orders. Out: an Arrangement, perhaps as a Pick that carries it out, or an array. Keeps nothing.

Each dimension of the tensor is a list of digits, most significant first, as of a number with mixed bases. A digit walks along one axis of
the picture ("c", "h" or "w") in steps of `stride`. So a depth-to-space is [c0][h, c1][w, c2], and a sequence of tokens [][h, w][c].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Pick

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Digit:
    """`size` places along an axis, `stride` apart."""

    axis: str
    stride: int
    size: int


Dimension = tuple[Digit, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A picture's values cut into axes of these sizes, these axes in another `order`: a tensor's numbers in their order."""

    sizes: tuple[int, ...]
    order: tuple[int, ...]

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values (row, column, channel) so; a view where that is possible."""
        return values.reshape(self.sizes).transpose(self.order)


@dataclass(frozen=True, slots=True)
class Arrangement:
    """`picture` is (channels, height, width); `dimensions` of the tensor have every digit of every axis once, but none of size 1."""

    picture: tuple[int, int, int]
    dimensions: tuple[Dimension, ...]

    @classmethod
    def plain(cls, channels: int, height: int, width: int) -> Arrangement:
        """(1, C, H, W)."""
        return cls((channels, height, width), ((), whole("c", channels), whole("h", height), whole("w", width)))

    @property
    def shape(self) -> Shape:
        """Of the tensor."""
        return tuple(prod(digit.size for digit in dimension) for dimension in self.dimensions)

    @property
    def is_plain(self) -> bool:
        """Whether the tensor is the picture as it is."""
        return self == Arrangement.plain(*self.picture)

    @property
    def is_sound(self) -> bool:
        """Whether the dimensions together walk over every axis once."""
        digits = [digit for dimension in self.dimensions for digit in dimension]
        return all(prod(digit.size for digit in digits if digit.axis == axis) == self.size(axis) for axis in "chw")

    def size(self, axis: str) -> int:
        """Of the picture along an axis."""
        return self.picture["chw".index(axis)]

    def holds(self, place: int, axis: str) -> bool:
        """Whether a dimension is just this axis, in its order."""
        return self.dimensions[place] == whole(axis, self.size(axis))

    def with_axis(self, place: int, axis: str, size: int) -> Arrangement:
        """The same with another size of an axis that is a dimension by itself."""
        sizes = {name: self.size(name) for name in "chw"} | {axis: size}
        dimensions = (*self.dimensions[:place], whole(axis, size), *self.dimensions[place + 1 :])
        return Arrangement((sizes["c"], sizes["h"], sizes["w"]), dimensions)

    def taken(self, place: int, count: int) -> tuple[Arrangement, str] | None:
        """`count` places of a dimension, which one, and the axis they lie along; None where it has digits of several axes.

        The axis is counted anew: what is taken comes first, the axis's other digits follow.
        """
        dimension = self.dimensions[place]
        if len({digit.axis for digit in dimension}) != 1:
            return None
        axis = dimension[0].axis
        rest = self.rest(place, axis)
        inner = prod(digit.size for digit in rest)
        strides, stride = {}, inner
        for digit in rest:
            stride //= digit.size
            strides[digit] = Digit(axis, stride, digit.size)
        dimensions = [tuple(strides.get(digit, digit) for digit in other) for other in self.dimensions]
        dimensions[place] = (Digit(axis, inner, count),) if count > 1 else ()
        sizes = {name: self.size(name) for name in "chw"} | {axis: count * inner}
        return Arrangement((sizes["c"], sizes["h"], sizes["w"]), tuple(map(_merged, dimensions))), axis

    def rest(self, place: int, axis: str) -> list[Digit]:
        """The digits of an axis in the other dimensions, most significant first."""
        digits = [digit for other, dimension in enumerate(self.dimensions) for digit in dimension if digit.axis == axis and other != place]
        return sorted(digits, key=lambda digit: -digit.stride)

    def transposed(self, order: Sequence[int]) -> Arrangement:
        """The dimensions in another order."""
        return replace(self, dimensions=tuple(self.dimensions[place] for place in order))

    def reshaped(self, shape: Sequence[int]) -> Arrangement | None:
        """The same numbers in another shape; None where digits would have to be cut unevenly."""
        waiting = [digit for dimension in self.dimensions for digit in dimension][::-1]
        dimensions: list[Dimension] = []
        for size in shape:
            taken: list[Digit] = []
            while size > 1:
                if not waiting:
                    return None
                digit = waiting.pop()
                if digit.size > size:
                    inner, rest = divmod(digit.size, size)
                    if rest:
                        return None
                    waiting.append(replace(digit, size=inner))
                    digit = Digit(digit.axis, digit.stride * inner, size)
                elif size % digit.size:
                    return None
                taken.append(digit)
                size //= digit.size
            dimensions.append(_merged(taken))
        return None if waiting else replace(self, dimensions=tuple(dimensions))

    def pick(self) -> Pick | None:
        """The tensor (1, C, H, W) as a picture of its own; None where that mixes rows and columns."""
        if len(self.dimensions) != 4 or self.dimensions[0]:
            return None
        if "w" in _axes(self.dimensions[2]) or "h" in _axes(self.dimensions[3]):
            return None
        channels, rows, columns = self.dimensions[1:]
        return Pick(
            rows=offsets(rows, "h"),
            columns=offsets(columns, "w"),
            taps=np.stack([offsets(channels, axis) for axis in "hwc"], axis=1),
            row_channel=offsets(rows, "c"),
            column_channel=offsets(columns, "c"),
        )

    def array(self, values: NDArray[Any]) -> NDArray[Any]:
        """The tensor of a picture's values (row, column, channel); a view where that is possible."""
        return self.recipe().of(values).reshape(self.shape)

    def recipe(self) -> Recipe:
        """How its tensor is made of a picture's values, to be asked for once."""
        order = self._digits()
        places = {digit: place for place, digit in enumerate(order)}
        cut = tuple(digit.size for digit in order)
        return Recipe(cut, tuple(places[digit] for dimension in self.dimensions for digit in dimension))

    def picture_of(self, constant: NDArray[Any]) -> NDArray[Any] | None:
        """A constant that is broadcast over the tensor, as (row, column, channel), for the picture; None if it enlarges the tensor."""
        shape = (1,) * (len(self.dimensions) - constant.ndim) + constant.shape
        if len(shape) != len(self.dimensions) or any(given not in (1, size) for given, size in zip(shape, self.shape, strict=True)):
            return None
        full = [digit for given, dimension in zip(shape, self.dimensions, strict=True) for digit in dimension if given > 1]
        given_digits = [digit for dimension in self.dimensions for digit in dimension]
        cut = constant.reshape([digit.size if digit in full else 1 for digit in given_digits])
        order = self._digits()
        cut = cut.transpose([given_digits.index(digit) for digit in order])
        axes_full = {axis for axis in "hwc" if any(digit.axis == axis for digit in full)}
        wide = np.broadcast_to(cut, [digit.size if digit.axis in axes_full else 1 for digit in order])
        return np.ascontiguousarray(wide.reshape([self.size(axis) if axis in axes_full else 1 for axis in "hwc"]))

    def _digits(self) -> list[Digit]:
        """All digits in the order of a picture's values (row, column, channel)."""
        digits = [digit for dimension in self.dimensions for digit in dimension]
        return sorted(digits, key=lambda digit: ("hwc".index(digit.axis), -digit.stride))


def whole(axis: str, size: int) -> Dimension:
    """A dimension that is an axis from end to end."""
    return (Digit(axis, 1, size),) if size > 1 else ()


def _merged(digits: Sequence[Digit]) -> Dimension:
    merged = list(digits[:1])
    for digit in digits[1:]:
        last = merged[-1]
        if last.axis == digit.axis and last.stride == digit.stride * digit.size:
            merged[-1] = Digit(digit.axis, digit.stride, last.size * digit.size)
        else:
            merged.append(digit)
    return tuple(merged)


def _axes(dimension: Dimension) -> set[str]:
    return {digit.axis for digit in dimension}


def offsets(dimension: Dimension, axis: str) -> NDArray[np.int32]:
    """Where each place of the dimension lies along an axis of the picture."""
    places = np.arange(prod(digit.size for digit in dimension), dtype=np.int32)
    offsets = np.zeros_like(places)
    inner = len(places)
    for digit in dimension:
        inner //= digit.size
        if digit.axis == axis:
            offsets += (places // inner % digit.size * digit.stride).astype(np.int32)
    return offsets
