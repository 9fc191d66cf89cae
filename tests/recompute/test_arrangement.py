"""Reshape and Transpose as another order of a picture's numbers: always what NumPy makes of it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.kernels import open_backend
from edgevision.kernels.forms import NO_LIVE, Plane
from edgevision.recompute.arrangement import Arrangement

SHAPE = (12, 4, 6)


def splits(count: int) -> list[list[int]]:
    """All ways to write a number as ordered factors."""
    return [[count]] + [[first, *rest] for first in range(2, count) if count % first == 0 for rest in splits(count // first)]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data())
def test_like_numpy_after_any_chain(data):
    values = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    tensor, arrangement = values[None], Arrangement.plain(*SHAPE)
    for _ in range(data.draw(st.integers(1, 4))):
        if data.draw(st.booleans()):
            order = data.draw(st.permutations(range(tensor.ndim)))
            tensor, arrangement = tensor.transpose(order), arrangement.transposed(order)
        else:
            shape = [n for size in tensor.shape for n in data.draw(st.sampled_from(splits(size) if size > 1 else [[1]]))]
            after = arrangement.reshaped(shape)
            tensor, arrangement = tensor.reshape(shape), after
    assert arrangement is not None
    assert arrangement.shape == tensor.shape
    assert np.array_equal(arrangement.array(values.transpose(1, 2, 0)), tensor)
    constant_shape = [size if data.draw(st.booleans()) else 1 for size in tensor.shape]
    constant = np.arange(np.prod(constant_shape), dtype=np.float32).reshape(constant_shape)
    picture = arrangement.picture_of(constant)
    assert picture is not None
    spread = np.broadcast_to(picture, values.transpose(1, 2, 0).shape)
    assert np.array_equal(arrangement.array(spread), np.broadcast_to(constant, tensor.shape))


def plane(values: np.ndarray) -> Plane:
    height, width, _ = values.shape
    return Plane(values, 0, 0, height, width, np.zeros((height, width), np.uint8), np.full((height, 2), NO_LIVE, np.int32))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(block=st.sampled_from([1, 2, 3]), order=st.permutations(range(1, 6)), to_space=st.booleans())
def test_what_can_be_picked_is_picked_right(block, order, to_space):
    """Any order of the pieces of a picture cut in blocks."""
    shape = (9, 2, 4) if to_space else (2, 6, 6)
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    if to_space:
        cut = [1, block, block, 9 // block // block if block != 2 else 1, 2, 4]
        if np.prod(cut) != values.size:
            return
    else:
        cut = [1, 2, 6 // block, block, 6 // block, block]
    arrangement = Arrangement.plain(*shape).reshaped(cut)
    tensor = values.reshape(cut).transpose(0, *order)
    sizes = tensor.shape[1:]
    for target in ([1, sizes[0], sizes[1] * sizes[2], sizes[3] * sizes[4]], [1, sizes[0] * sizes[1] * sizes[2], sizes[3], sizes[4]]):
        made = arrangement.transposed([0, *order]).reshaped(target)
        form = made.pick() if made is not None else None
        if form is None:
            continue
        expected = tensor.reshape(target)[0].transpose(1, 2, 0)
        out = plane(np.zeros(expected.shape, np.float32))
        kernel, _ = open_backend("compiled").bind(form, None, (plane(np.ascontiguousarray(values.transpose(1, 2, 0))),), out, None)
        runs = np.array([(row, 0, out.width) for row in range(out.height)], np.int32)
        kernel(runs, 0, len(runs))
        assert np.array_equal(out.values, expected)


def test_tokens_of_windows_cut_unevenly_are_refused():
    assert Arrangement.plain(3, 4, 6).reshaped((1, 5, 4, 6)) is None
    assert Arrangement.plain(4, 6, 5).reshaped((1, 10, 12)) is None
    assert Arrangement.plain(3, 4, 6).transposed((0, 1, 3, 2)).pick() is None
