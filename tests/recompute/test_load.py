"""The shipped network on frames of any size: it takes the frame whole, pixel by pixel, and its answer lies where the frame is."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.recompute.load import load_for_frames, span_px_of
from edgevision.recompute.settings import RecomputeSettings


@pytest.mark.parametrize(("height", "width", "shape"), [(93, 141, (96, 144)), (96, 136, (96, 136)), (90, 160, (96, 160))])
@pytest.mark.parametrize("colour", [True, False])
def test_a_frame_of_any_size_lies_in_the_corner(height, width, shape, colour):
    net = load_for_frames(RecomputeSettings(), height, width)
    assert net.input_shape[2:] == span_px_of(net, height, width) == shape
    random = np.random.default_rng(0)
    frame = random.integers(0, 256, (height, width, 3) if colour else (height, width), np.uint8)
    net.first(frame)
    bgr = frame if colour else np.repeat(frame[:, :, None], 3, axis=2)
    padded = np.pad(bgr, ((0, shape[0] - height), (0, shape[1] - width), (0, 0)), mode="edge")
    assert np.allclose(
        net.used()[0], (padded[:, :, ::-1].transpose(2, 0, 1) / 255 - net.preprocess.mean[0]) / net.preprocess.std[0], atol=1e-5
    )
    live = np.zeros((height, width), bool)
    live[-3:, -5:] = True
    net.next(np.roll(frame, 7, axis=1), live)
    twin = net.sibling()
    frame[live] = np.roll(frame, 7, axis=1)[live]
    assert np.array_equal(twin.first(frame)["defect"], net._results()["defect"])


def test_progress_is_told_step_by_step():
    told: list[tuple[int, int]] = []
    net = load_for_frames(RecomputeSettings(), 96, 96, lambda ready, steps: told.append((ready, steps)))
    count = len(net.plan.steps)
    assert told == [(ready, count) for ready in range(1, count + 1)]
