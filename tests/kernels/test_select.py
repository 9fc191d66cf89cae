"""What is worth a look: worked by hand, then compiled against plain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.kernels import open_attend, open_select
from edgevision.kernels.blocks import Budget, Kept
from edgevision.kernels.forms import NO_LIVE, Plane
from edgevision.kernels.plain.select import STEPS
from edgevision.networks.attention import Tokens

BACKENDS = ("plain", "compiled")


def plane(values) -> Plane:
    values = np.array(values, np.float32)
    height, width = values.shape[:2]
    return Plane(values, 0, 0, height, width, np.zeros((height, width), np.uint8), np.full((height, 2), NO_LIVE, np.int32))


def chosen(select, weights, fixed=(), budget=None, before=None) -> list[int]:
    row = np.array([weights], np.float32)
    mask = np.zeros(row.shape, np.uint8) if before is None else np.isin(np.arange(row.size), before)[None].astype(np.uint8)
    select.choose(row, np.isin(np.arange(row.size), fixed)[None].astype(np.uint8), budget or Budget(2), mask)
    return np.flatnonzero(mask[0]).tolist()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_heaviest_are_chosen_within_the_budget(backend):
    select = open_select(backend)
    assert chosen(select, [1, 3, 2, 3]) == [1, 3]
    assert chosen(select, [2, 2, 2, 2]) == [0, 1], "of equals the first"
    assert chosen(select, [1, 3, 2, 3], fixed=[0]) == [0, 1], "what is fixed counts"
    assert chosen(select, [1, 3, 2, 3], fixed=[0, 1, 2]) == [0, 1, 2], "and is never dropped"
    assert chosen(select, [5, 3, 1, 1], budget=Budget(4, mass=0.7)) == [0, 1], "the fewest that hold the mass"
    assert chosen(select, [9, 0, 0, 0], budget=Budget(4, least=2, mass=0.5)) == [0, 1]
    assert chosen(select, [0, 0, 0, np.inf]) == [0, 3]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_set_stays_until_another_is_worth_more_by_the_margin(backend):
    select, budget = open_select(backend), Budget(2, margin=0.1)
    assert chosen(select, [5, 4, 4.5, 0], budget=budget, before=[0, 1]) == [0, 1]
    assert chosen(select, [5, 4, 6, 0], budget=budget, before=[0, 1]) == [0, 2]
    assert chosen(select, [5, 4, 4.5, 0], budget=budget, before=[]) == [0, 2]
    assert chosen(select, [5, 4, 4.5, 0], fixed=[3], budget=budget, before=[0, 1]) == [0, 3]


@pytest.mark.parametrize("backend", BACKENDS)
def test_tokens_are_alike_when_they_point_one_way(backend):
    select, made = open_select(backend), np.zeros((2, 1), np.float32)
    bounds = np.array([[0, 1, 0, 2], [0, 1, 2, 4]], np.int32)
    select.coherence(plane([[[1.0, 2.0], [1.0, 2.0], [1.0, 0.0], [0.0, 1.0]]]), bounds, np.arange(2, dtype=np.int32), made)
    assert made.ravel().tolist() == [1.0, 0.0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_the_top_places_of_a_row_count_the_first_of_equals(backend):
    logits, up = np.array([[0.0, 3.0, 3.0, 3.0], [-9e9, -9e9, -9e9, 0.0]]), np.diag([1.0, 2.0, 4.0, 8.0])
    made, shares = np.zeros((2, 4), np.float32), np.ones((2, 4))
    open_select(backend).by_basis(logits, up, (1.0, 2), shares, made)
    third = np.rint(STEPS / (3 + np.exp(-3.0)))
    assert made.tolist() == [[0, 2 * third, 4 * third, 0], [0, 0, 0, 8 * STEPS]]
    assert shares.tolist() == [[0, third, third, 0], [0, 0, 0, STEPS]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_set_gets_only_as_much_better_as_it_must(backend):
    select = open_select(backend)
    assert chosen(select, [9, 8, 7, 3, 2, 1], budget=Budget(3, margin=0.3), before=[3, 4, 5]) == [0, 1, 3]
    assert chosen(select, [9, 8, 7, 3, 2, 1], fixed=[2], budget=Budget(3, margin=1.0), before=[3, 4, 5]) == [2, 3, 4]


@settings(max_examples=10, deadline=None)
@given(st.tuples(st.integers(2, 9), st.integers(2, 9)), st.sampled_from([(1, 4), (2, 9)]), st.integers(0, 99))
def test_compiled_equals_plain(size, shape, seed):
    random = np.random.default_rng(seed)
    tokens = Tokens(size, size, *shape, 2)
    grid = replace(tokens.grid(), has_summaries=True)
    query, key = (plane(random.standard_normal((*size, tokens.channels)) * 3) for _ in range(2))
    every = np.arange(grid.blocks, dtype=np.int32)
    fixed = (random.random((grid.blocks * tokens.heads, grid.blocks)) < 0.1).astype(np.uint8)
    budget = Budget(int(random.integers(1, grid.blocks + 1)), 1, float(random.choice([0.6, 1.0])), float(random.choice([0.0, 0.2])))
    found = []
    for backend in BACKENDS:
        select = open_select(backend, 2)
        attend = open_attend(backend, grid, Kept.room(grid, 1), 1)
        attend.pack(key, key, every, True)
        alike = np.zeros((grid.blocks, tokens.heads), np.float32)
        weights, mask = np.zeros((grid.blocks, tokens.heads, grid.blocks), np.float32), np.roll(fixed, 1, axis=1).copy()
        attend.take_query_means(query, every)
        select.coherence(key, grid.key, every, alike)
        select.rank(attend.query_means, attend.keys, grid, weights)
        select.choose(weights.reshape(-1, grid.blocks), fixed, budget, mask)
        logits, up = np.rint(5 * alike.astype(np.float64)), np.rint(9 * np.random.default_rng(seed).random((tokens.heads, grid.blocks)))
        made = np.zeros((grid.blocks, grid.blocks), np.float32)
        shares = np.ones(logits.shape)
        select.by_basis(logits, up, (2.5, 3), shares, made)
        found.append((attend.query_means, attend.key_means(every[1:]), alike, weights, mask, made, shares))
    for own, other in zip(*found, strict=True):
        assert own.tobytes() == other.tobytes()


def test_threads_share_the_rows_and_change_nothing():
    random = np.random.default_rng(0)
    logits, up = np.rint(random.standard_normal((300, 40)) * 1e5), np.rint(random.random((40, 50)) * 256)
    found, free = [], np.zeros((300, 50), np.uint8)
    for threads in (1, 3):
        select = open_select("compiled", threads)
        shares, made, mask = np.zeros(logits.shape), np.zeros((300, 50), np.float32), np.zeros((300, 50), np.uint8)
        for _ in range(2):  # the second time by links that are there
            made[...], shares[...] = 0, 0
            select.by_basis(logits, up, (65536.0, 8), shares, made)
            select.choose(made, free, Budget(5, margin=0.1), mask)
        found.append((shares, made, mask))
    assert (found[0][2].sum(axis=1) == 5).all()
    for own, other in zip(*found, strict=True):
        assert own.tobytes() == other.tobytes()
