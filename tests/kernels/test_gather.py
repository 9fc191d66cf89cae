"""Attention with keys of each query's own: dense where all are kept, and compiled bit for bit as plain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.kernels import open_gather
from edgevision.networks.attention.csat import plane

BACKENDS = ("plain", "compiled")


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_keys_by_hand(backend):
    query, key = plane(np.array([[[2.0, 0.0]]], np.float32)), plane(np.array([[[1.0, 5.0], [0.0, 9.0], [0.0, 0.0]]], np.float32))
    value = plane(np.array([[[1.0, 0.0], [7.0, 7.0], [0.0, 1.0]]], np.float32))
    made = np.zeros((1, 1, 2), np.float32)
    kept = np.array([[[0, 2]]], np.int32)
    open_gather(backend).attend_each(np.array([[0, 0]], np.int32), (query, key, value), kept, np.float32(0.5), made)
    share = np.e / (np.e + 1)
    assert made.ravel() == pytest.approx([share, 1 - share], rel=1e-6)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 5), st.integers(1, 3), st.sampled_from([2, 16, 20]), st.integers(0, 999))
def test_compiled_equals_plain(side, heads, dim, seed):
    random, found = np.random.default_rng(seed), []
    planes = tuple(plane((random.standard_normal((side, side + 1, heads * dim)) * 3).astype(np.float32)) for _ in range(3))
    if seed % 5 == 0:
        planes[1].values[0, 0, 0] = np.nan
    tokens = side * (side + 1)
    most = int(random.integers(1, tokens + 1))
    kept = np.sort(np.argsort(random.random((tokens, heads, tokens)), axis=2)[:, :, :most].astype(np.int32), axis=2)
    todo = np.argwhere(random.random((tokens, heads)) < 0.7).astype(np.int32)
    for backend in BACKENDS:
        made = np.zeros((tokens, heads, dim), np.float32)
        open_gather(backend).attend_each(todo, planes, np.ascontiguousarray(kept), np.float32(dim**-0.5), made)
        found.append(made)
    assert np.array_equal(np.nan_to_num(found[0], nan=99.0).view(np.int32), np.nan_to_num(found[1], nan=99.0).view(np.int32))
