"""Attention over kept blocks: worked by hand, then compiled against plain bit for bit, for every width of vectors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.kernels import open_attend
from edgevision.kernels.blocks import ALL, LIVE, MEND, NONE, Changes, Kept
from edgevision.kernels.forms import NO_LIVE, Plane
from edgevision.networks.attention import Tokens

EDGES = np.array([0.0, -0.0, 1e-40, 30.0, -30.0], np.float32)


def plane(values) -> Plane:
    values = np.array(values, np.float32)
    height, width = values.shape[:2]
    return Plane(values, 0, 0, height, width, np.zeros((height, width), np.uint8), np.full((height, 2), NO_LIVE, np.int32))


def planes_of(tokens: Tokens, random: np.random.Generator) -> list[Plane]:
    """Queries, keys, values, target, with some odd numbers among them."""
    made = [random.standard_normal((*size, tokens.channels)).astype(np.float32) for size in (tokens.query, tokens.key, tokens.key)]
    for values in made:
        where = random.random(values.shape) < 0.02
        values[where] = random.choice(EDGES, int(where.sum()))
    return [plane(values) for values in (*made, np.zeros((*tokens.query, tokens.channels)))]


def attended(backend: str, tokens: Tokens, kept: np.ndarray, planes: list[Plane], lanes: int | None = None, has_sums: bool = False):
    grid = tokens.grid()
    sets = Kept.room(grid, grid.blocks)
    sets.fill(kept)
    attend = open_attend(backend, grid, sets, 1, lanes)
    if has_sums:
        attend.hold_sums(Changes.none(grid, 2 * grid.blocks, grid.blocks))
    attend.pack(planes[1], planes[2], np.arange(grid.blocks, dtype=np.int32), True)
    return attend


@pytest.mark.parametrize("backend", ["plain", "compiled"])
def test_worked_by_hand(backend):
    """Four tokens in a row, blocks of two. Equal keys share alike; what is not kept does not count; a far greater score takes all."""
    tokens = Tokens((1, 4), (1, 4), 1, 1, 2)
    query, value = plane([[[0.0], [0.0], [0.0], [100.0]]]), plane([[[1.0], [3.0], [5.0], [9.0]]])
    key, target = plane([[[1.0], [1.0], [1.0], [2.0]]]), plane(np.zeros((1, 4, 1)))
    kept = np.array([[[True, False]], [[True, True]]])
    attend = attended(backend, tokens, kept, [query, key, value, target])
    ran, _ = attend.run(query, target, np.array([[ALL], [ALL]], np.uint8), 0.0)
    assert target.values.ravel().tolist() == [2.0, 2.0, 4.5, 9.0]
    assert ran.tolist() == [[2], [2]]
    assert target.live.tolist() == [[1, 1, 1, 1]]
    assert target.extent.tolist() == [[0, 3]]


@pytest.mark.parametrize("backend", ["plain", "compiled"])
def test_not_a_number_reaches_those_that_keep_it_and_nobody_else(backend):
    tokens = Tokens((2, 8), (2, 8), 1, 4, 2)
    planes = planes_of(tokens, np.random.default_rng(3))
    planes[1].values[0, 7] = np.nan
    kept = np.eye(4, dtype=bool)[:, None]
    attended(backend, tokens, kept, planes).run(planes[0], planes[3], np.full((4, 1), ALL, np.uint8), 0.0)
    assert np.isnan(planes[3].values[:, 6:]).all()
    assert np.isfinite(planes[3].values[:, :6]).all()


@settings(max_examples=12, deadline=None)
@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 6)),
    pooled=st.sampled_from([1, 2]),
    shape=st.sampled_from([(1, 8), (2, 20), (3, 5), (1, 100)]),
    unit=st.sampled_from([2, 4, 8]),
    gate=st.sampled_from([0.0, 0.3]),
    lanes=st.sampled_from([None, 4, 8]),
    seed=st.integers(0, 99),
)
def test_compiled_equals_plain(size, pooled, shape, unit, gate, lanes, seed):
    random = np.random.default_rng(seed)
    tokens = Tokens(size, (size[0] * pooled, size[1] * pooled), *shape, unit)
    blocks = tokens.grid().blocks
    kept = random.random((blocks, tokens.heads, blocks)) < 0.6
    kept[:, :, random.integers(blocks)] = True
    first, second = planes_of(tokens, random), None
    second = [plane(one.values) for one in first]
    live = (random.random(size) < 0.3).astype(np.uint8)
    wanted = random.choice([NONE, LIVE, MEND, ALL], (blocks, tokens.heads)).astype(np.uint8)
    found = []
    for backend, planes, width in (("plain", first, None), ("compiled", second, lanes)):
        planes[0].live[...] = live
        attend = attended(backend, tokens, kept, planes, width, has_sums=True)
        attend.shift[...] = 0.25
        ran = [*attend.run(planes[0], planes[3], np.full_like(wanted, ALL), 0.0)]
        planes[0].values[live != 0] += 1
        ran += attend.run(planes[0], planes[3], wanted, gate)
        found.append((*ran, planes[3].values.copy(), planes[3].live.copy(), planes[3].extent.copy()))
    for own, other in zip(*found, strict=True):
        assert own.tobytes() == other.tobytes()
