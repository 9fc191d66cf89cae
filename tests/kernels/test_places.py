"""Places of a frame that lie off by their own ways: by hand, then plain against compiled."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.compare.light import Lamp
from edgevision.kernels.compiled import places as compiled
from edgevision.kernels.plain import places as plain


@pytest.mark.parametrize("kernels", [plain, compiled])
def test_tiles_are_read_from_where_they_are_seen_and_the_border_goes_on(kernels):
    image = np.arange(12, dtype=np.uint8).reshape(2, 6)
    tiles, out = np.array([[[0, 1], [0, 0], [1, -5]]]), np.zeros_like(image)
    kernels.move_places(image, 1, 2, tiles, out)
    assert out.tolist() == [[1, 2, 2, 3, 6, 6], [7, 8, 8, 9, 6, 6]]


@pytest.mark.parametrize("kernels", [plain, compiled])
def test_a_zone_without_points_goes_with_its_neighbour_and_no_shift_is_taken_that_is_hardly_better(kernels):
    costs, shifts = np.zeros((1, 2, 3, plain.WIDE), np.int32), np.zeros((1, 2, 2), np.int64)
    costs[0, 0, :, :3] = 100
    costs[0, 0, 2, 1] = 10
    assert kernels.choose_shifts(costs, 192, shifts) == 2
    assert shifts.tolist() == [[[1, 0], [1, 0]]]
    costs[0, 0, 2, 1] = 75
    assert kernels.choose_shifts(costs, 192, shifts) == 0
    costs[:] = 0
    assert kernels.choose_shifts(costs, 192, shifts) == 0  # nothing to go by: nothing is moved


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3]), st.sampled_from([np.uint8, np.uint16]), st.sampled_from([1, 4, 7]))
def test_kernels_agree(seed, channels, dtype, reach):
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(40, 56)), int(rng.integers(40, 60))
    used, image = (rng.integers(0, np.iinfo(dtype).max, (height, width * channels)).astype(dtype) for _ in range(2))
    lamp, margin = Lamp((height, width, channels), np.dtype(dtype), 0 if dtype is np.uint8 else 8), max(reach + 1, plain.WIDE - reach) + 1
    points = np.stack([rng.integers(margin, side - margin, (4, 4)) for side in (height, width)], axis=-1)
    points[..., 1] *= channels
    points[rng.random((4, 4)) < 0.2] = -1
    results = []
    for kernels in (plain, compiled):
        costs, shifts = np.ones((2, 2, 2 * reach + 1, plain.WIDE), np.int32), np.zeros((2, 2, 2), np.int64)
        tiles, out = np.zeros((-(-height // 8), -(-width // 8), 2), np.int64), np.zeros_like(image)
        kernels.place_costs(image, used, lamp.light, points, channels, 4000, costs)
        count = kernels.choose_shifts(costs, 300, shifts)
        kernels.spread_shifts(shifts, (height, width), 8, tiles)
        kernels.move_places(image, channels, 8, tiles, out)
        results.append((costs.tolist(), count, shifts.tolist(), tiles.tolist(), out.tolist()))
    assert results[0] == results[1]
