"""A frame laid beside its template: by hand, and plain against compiled."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.kernels.compiled import beside as compiled
from edgevision.kernels.plain import beside as plain


@pytest.mark.parametrize("kernels", [plain, compiled])
def test_live_pixels_are_written_and_no_others(kernels):
    gray, template = np.array([10, 200, 30], np.uint8), np.array([40, 100, 30], np.uint8)
    room = np.full((3, 3), 7, np.uint8)
    kernels.lay_beside(gray, template, np.array([1, 1, 0], np.uint8), room)
    assert room.tolist() == [[10, 40, 30], [200, 100, 100], [7, 7, 7]]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 70), st.sampled_from([0.0, 0.05, 0.7, 1.0]))
def test_kernels_agree(seed, pixels, share):
    rng = np.random.default_rng(seed)
    gray, template = (rng.integers(0, 256, pixels).astype(np.uint8) for _ in range(2))
    live = (rng.random(pixels) < share).astype(np.uint8)
    rooms = [np.full((pixels, 3), 9, np.uint8) for _ in range(2)]
    for kernels, room in zip((plain, compiled), rooms, strict=True):
        kernels.lay_beside(gray, template, live, room)
    assert (rooms[0] == rooms[1]).all()
