"""Frames deeper than 8 bits, as networks take them."""

import numpy as np
import pytest

import edgevision as ev
from edgevision.compare.depth import EightBits


def test_upper_bits_where_live():
    image = np.arange(12, dtype=np.uint16).reshape(3, 4) << 8
    eight = EightBits(None)
    assert eight.of(image).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    live = np.zeros((3, 4), bool)
    live[1, 2] = True
    assert eight.of(image + np.uint16(256), live)[1, 2] == 7
    assert eight.of(image, np.zeros((3, 4), bool))[1, 2] == 7
    assert EightBits(12).of(np.full((1, 1), 4095, np.uint16)).tolist() == [[255]]
    plain = np.zeros((2, 2), np.uint8)
    assert eight.of(plain) is plain


@pytest.mark.parametrize("shape", [(96, 128), (96, 128, 3)])
def test_deep_and_gray_frames_go_through_the_whole_pipeline_like_bytes(tmp_path, shape):
    config = tmp_path / "line.yaml"
    config.write_text("cameras: {cam: {source: {type: synthetic}, compare: {bits: 12}}}")
    random = np.random.default_rng(0)
    scene = random.uniform(60, 180, shape)
    pipes = [ev.Pipeline.from_config(config) for _ in range(2)]
    for k in range(4):
        moved = scene.copy()
        moved[20:40, 10 * k : 10 * k + 20] += 50
        values = np.rint(moved + random.normal(0, 1, shape))
        deep, plain = (
            pipe.inspect(ev.Frame((values * unit).astype(dtype), k / 30, k))
            for pipe, unit, dtype in zip(pipes, (16, 1), (np.uint16, np.uint8), strict=True)
        )
        assert deep.verdict != ev.Verdict.NOT_INSPECTED
        assert (deep.verdict, len(deep.regions)) == (plain.verdict, len(plain.regions))
        assert deep.live_fraction == pytest.approx(plain.live_fraction, abs=0.05)
