"""What sums lack after a change: a case worked by hand, then compiled against plain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.kernels import open_lack
from edgevision.kernels.blocks import Changes, Kept
from edgevision.networks.attention import Tokens

BACKENDS = ("plain", "compiled")


def tables(blocks, heads, room):
    grid = Tokens((2, 2 * blocks), (2, 2 * blocks), heads, 2, 2).grid()
    return grid, Changes.none(grid, 2 * blocks, room)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_stays_is_exchanged_token_by_token_and_what_leaves_as_it_was(backend):
    grid, changes = tables(4, 1, 2)
    changes.slots[:] = -1, 0, -1, 1  # blocks 1 and 3 moved, with 1 and 2 tokens of 4
    before = np.zeros((4, 1, 4), np.bool_)
    before[0, 0, [0, 1]] = before[1, 0, [1, 2]] = before[2, 0, [0, 2]] = True
    after = before.copy()
    after[1, 0] = [False, False, True, True]
    after[2, 0] = [False, True, True, False]
    reached = np.array([[True], [True], [True], [False]])
    lacking = open_lack(backend).note(changes, (before, after), reached, (grid.keys, np.array([1, 2], np.int32)))
    own = [changes.sources[row, 0, : changes.counts[row, 0]].tolist() for row in range(4)]
    assert own[0] == [-5, 6], "block 1 stays: what its token was goes, what it is comes"
    assert own[1] == [4, -7], "block 3 comes as it is, block 1 goes as it was"
    assert own[2] == [-1, 2], "block 0 goes, block 1 comes"
    assert own[3] == []
    assert lacking[:, 0].tolist() == [2, 8, 8, 0]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(1, 3), st.integers(0, 999))
def test_compiled_equals_plain(blocks, heads, seed):
    random, found = np.random.default_rng(seed), []
    before, after = (random.random((blocks, heads, blocks)) < 0.5 for _ in range(2))
    reached, moved = random.random((blocks, heads)) < 0.7, np.flatnonzero(random.random(blocks) < 0.4)
    counts = random.integers(1, 5, len(moved)).astype(np.int32)
    for backend in BACKENDS:
        grid, changes = tables(blocks, heads, max(len(moved), 1))
        kept, mask = Kept.room(grid, blocks), before.copy()
        kept.fill(before)
        changes.slots[moved] = np.arange(len(moved))
        lack = open_lack(backend)
        lacking = lack.note(changes, (before, after), reached, (grid.keys, counts))
        listed = np.where(np.arange(2 * blocks) < changes.counts[:, :, None], changes.sources, 0)
        exchanged = lack.exchange(mask, np.asfortranarray(after), kept)
        assert (mask == after).all()
        found.append((lacking, listed, changes.counts, exchanged, np.where(kept.is_there, kept.blocks, -1), kept.counts))
    for own, other in zip(*found, strict=True):
        assert (own == other).all()
