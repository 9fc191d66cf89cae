"""Cells that tell a box, the likeliest boxes, and which of them are told: by hand, then plain against compiled."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.kernels.compiled import boxes as compiled
from edgevision.kernels.plain import boxes as plain

NAN = np.float32("nan")


@pytest.mark.parametrize("kernels", [plain, compiled])
def test_cells_that_are_likely_or_no_number_reach_from_their_middle(kernels):
    scores, reaches = np.zeros((2, 3, 2), np.float32), np.zeros((2, 3, 4), np.float32)
    scores[0, 2], reaches[0, 2] = (0.1, 0.5), (10, 3, -2, 11)
    scores[1, 0] = NAN, 0.0
    corners, found = kernels.sift_cells(scores, reaches, 0, np.float32(0.5), (16, 24))
    assert corners.tolist() == [[10, 1, 20, 15], [4, 12, 4, 12]]
    assert np.array_equal(found, [scores[0, 2], scores[1, 0]], equal_nan=True)
    assert kernels.sift_cells(scores, reaches, 1, np.float32(0.5), (16, 24))[0].tolist() == [[10, 1, 20, 15]]  # the first is no label
    assert len(kernels.sift_cells(scores, reaches, 0, np.float32(-np.inf), (16, 24))[0]) == 6


@pytest.mark.parametrize("kernels", [plain, compiled])
def test_the_likeliest_come_first_and_of_equals_the_first(kernels):
    scores = np.array([[0.2, 0.6], [0.9, 0.9], [0.1, 0.49], [0.6, 0.5], [NAN, 0.9]], np.float32)
    boxes = np.arange(20, dtype=np.float32).reshape(5, 4)
    corners, labels, values = kernels.rank_boxes(boxes, scores, np.float32(0.5), 9)
    assert corners[:, 0].tolist() == [4, 0, 12]
    assert labels.tolist() == [0, 1, 0]
    assert values.tolist() == [float(np.float32(0.9)), float(np.float32(0.6)), float(np.float32(0.6))]
    assert corners.dtype == values.dtype == np.float64
    assert kernels.rank_boxes(boxes, scores, np.float32(0.5), 2)[1].tolist() == [0, 1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 40), st.integers(1, 7), st.sampled_from([0.0, 0.01, 0.4, 1.0]))
def test_cells_are_sifted_and_ranked_alike(seed, rows, columns, values, share):
    """Across blocks of values that are looked at together, with NaN and with equals, at the limit too; boxes that lie by column."""
    rng, least = np.random.default_rng(seed), np.float32(0.3)
    scores = (rng.integers(0, 3, (rows, columns, values)) / 10).astype(np.float32)
    is_more = rng.random(scores.shape) < share / values
    scores[is_more] = rng.choice([least, NAN, 0.5, np.inf], np.count_nonzero(is_more)).astype(np.float32)
    reaches = rng.normal(3, 4, (rows, columns, 4)).astype(np.float32)
    reaches[rng.random(reaches.shape) < 0.02] = NAN
    start, code = int(rng.integers(0, values)), compiled.Boxes()
    sifted = [sift(scores, reaches, start, least, (96, 1000)) for sift in (plain.sift_cells, compiled.sift_cells, code.sift)]
    ranked = [
        rank(np.asfortranarray(sifted[0][0]), sifted[0][1][:, start:], least, most)
        for most in (2048, 3)
        for rank in (plain.rank_boxes, compiled.rank_boxes, code.rank)
    ]
    for own, *others in (sifted, ranked[:3], ranked[3:]):
        for other in others:
            for one, same in zip(own, other, strict=True):
                assert (one.shape, one.dtype, one.tobytes()) == (same.shape, same.dtype, same.tobytes())


@pytest.mark.parametrize("kernels", [plain, compiled])
def test_boxes_that_a_likelier_one_overlaps_go_and_pieces_become_one(kernels):
    corners = np.array([[0, 0, 10, 4], [1, 0, 11, 4], [8, 0, 18, 4], [16, 0, 26, 4], [0, 0, 10, 4.0]])
    labels, scores = np.array([0, 0, 0, 0, 1]), np.array([0.9, 0.8, 0.7, 0.64, 0.5])
    hulls, kept = np.zeros_like(corners), np.zeros(5, np.int64)
    assert kernels.tell_boxes(corners, labels, scores, 0.45, 0.0, hulls, kept) == 4
    assert kept[:4].tolist() == [0, 2, 3, 4]
    assert kernels.tell_boxes(corners, labels, scores, 0.45, 0.15, hulls, kept) == 2
    assert (hulls[:2].tolist(), kept[:2].tolist()) == ([[0, 0, 26, 4], [0, 0, 10, 4]], [0, 4])
    scores[3] = 0.62  # too faint to reach further: dropped
    assert kernels.tell_boxes(corners, labels, scores, 0.45, 0.15, hulls, kept) == 2
    assert hulls[0].tolist() == [0, 0, 18, 4]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 14), st.sampled_from([0.0, 0.15, 0.5]))
def test_boxes_are_told_alike(seed, count, join):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 20, (count, 2))
    corners = np.hstack([low, low + rng.integers(0, 12, (count, 2))]).astype(np.float64)
    labels, scores = rng.integers(0, 2, count), np.sort(rng.random(count))[::-1].copy()
    results = []
    for kernels in (plain, compiled):
        hulls, kept = np.zeros_like(corners), np.zeros(count, np.int64)
        told = kernels.tell_boxes(corners, labels, scores, 0.45, join, hulls, kept)
        results.append((told, hulls[:told].tolist(), kept[:told].tolist()))
    assert results[0] == results[1]
    assert len(set(results[0][2])) == results[0][0]
