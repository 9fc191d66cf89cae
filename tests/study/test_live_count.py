"""Work counted from values: worked out by hand, against a loop over every window, and on a network file."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.study.live_count import MacLayer, Window, live_macs_share, live_positions
from edgevision.study.peers.layer_inputs import LayerInputs

PLAIN = Window((3, 3), (1, 1), (1, 1), (1, 1), (8, 8))
HALVING = Window((3, 3), (2, 2), (1, 1), (1, 1), (4, 4))


def one_pixel(row: int, column: int, size: int = 8) -> np.ndarray:
    changed = np.zeros((size, size), bool)
    changed[row, column] = True
    return changed


def test_a_pixel_reaches_the_windows_that_hold_it():
    live = live_positions(one_pixel(4, 4), PLAIN)
    assert live.sum() == 9
    assert live[3:6, 3:6].all()
    assert live_positions(one_pixel(0, 0), PLAIN).sum() == 4


def test_with_stride_2_an_odd_pixel_is_in_more_windows_than_an_even_one():
    assert np.argwhere(live_positions(one_pixel(4, 4), HALVING)).tolist() == [[2, 2]]
    assert np.argwhere(live_positions(one_pixel(3, 3), HALVING)).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_a_transposed_window_spreads_a_pixel():
    doubling = Window((2, 2), (2, 2), (1, 1), (0, 0), (16, 16), is_transposed=True)
    live = live_positions(one_pixel(3, 5), doubling)
    assert live.sum() == 4
    assert live[6:8, 10:12].all()


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_a_loop_over_every_window(seed):
    random = np.random.default_rng(seed)
    kernel, stride, dilation, pad = (tuple(int(v) for v in random.integers(low, high, 2)) for low, high in ((1, 5), (1, 4), (1, 3), (0, 3)))
    changed = random.random((11, 13)) < 0.05
    after = tuple((changed.shape[k] + 2 * pad[k] - (kernel[k] - 1) * dilation[k] - 1) // stride[k] + 1 for k in (0, 1))
    expected = np.zeros(after, bool)
    for y in range(after[0]):
        for x in range(after[1]):
            rows = [y * stride[0] - pad[0] + k * dilation[0] for k in range(kernel[0])]
            columns = [x * stride[1] - pad[1] + k * dilation[1] for k in range(kernel[1])]
            expected[y, x] = any(changed[r, c] for r in rows for c in columns if 0 <= r < 11 and 0 <= c < 13)
    assert np.array_equal(live_positions(changed, Window(kernel, stride, dilation, pad, after)), expected)


def test_layers_weigh_by_their_work():
    before = np.zeros((1, 1, 8, 8))
    after = before.copy()
    after[0, 0, 4, 4] = 1
    layers = [MacLayer("wide", (0,), 3000, PLAIN), MacLayer("still", (1,), 1000, PLAIN)]
    assert live_macs_share(layers, [before, before], [after, before]) == pytest.approx(3000 * 9 / 64 / 4000)
    assert live_macs_share([], [], []) == 0


def test_rows_of_a_product_count_alone_and_a_second_changing_factor_counts_for_all():
    before = np.zeros((1, 10, 4))
    after = before.copy()
    after[0, 3, 1] = 1
    assert live_macs_share([MacLayer("rows", (0,), 400, rows=10)], [before], [after]) == pytest.approx(0.1)
    assert live_macs_share([MacLayer("both", (0, 1), 400, rows=10)], [before, before], [before, after]) == 1


def test_a_file_s_layers_by_hand(chain, random_image):
    """8x8, a pixel at (4, 4): 9 of 64 positions of 18 multiplications each, then 9 of 16 of 18 each, as its changes are rows 3 to 5."""
    inputs = LayerInputs(chain(), (1, 1, 8, 8))
    after = random_image.copy()
    after[0, 0, 4, 4] += 1
    assert [layer.macs for layer in inputs.layers] == [64 * 18, 16 * 18]
    assert inputs.live_macs_share(random_image, after) == pytest.approx((9 * 18 + 9 * 18) / (80 * 18))
    assert inputs.live_macs_share(after, after) == 0


def test_what_a_relu_swallows_is_no_change(chain, random_image):
    inputs = LayerInputs(chain(offset=-1000.0), (1, 1, 8, 8))
    after = random_image.copy()
    after[0, 0, 4, 4] += 1
    assert inputs.live_macs_share(random_image, after) == pytest.approx(9 * 18 / (80 * 18))


@pytest.fixture
def random_image() -> np.ndarray:
    return np.random.default_rng(3).random((1, 1, 8, 8), dtype=np.float32)
