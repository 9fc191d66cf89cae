"""Compressed attention: exact over any sequence, dense where nothing is compressed, and honest about what it cannot do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.errors import InputError
from edgevision.kernels.plain.runs import forget, scan
from edgevision.networks.attention import Opening, Tokens
from edgevision.networks.attention.csat import Csat, CsatState, plane
from edgevision.networks.attention.phi import Phi, block_means, random_signs, spread_tokens

HEADS, DIM = 2, 12


def mark(part):
    part.live_px = scan(part.live, part.live, part.extent)


class Scene:
    """Queries, keys and values of a small layer, and a target; what `change` touches is live."""

    def __init__(self, size, seed=0, queries=None):
        self.random = np.random.default_rng(seed)
        maps = [queries or size, size, size]
        self.planes = [plane(self.random.standard_normal((*each, HEADS * DIM)).astype(np.float32)) for each in maps]
        self.target = plane(np.zeros((*maps[0], HEADS * DIM), np.float32))

    def change(self, share):
        for part in self.planes:
            forget(part)
            hit = self.random.random(part.live.shape) < share
            part.values[hit] = self.random.standard_normal((int(hit.sum()), HEADS * DIM))
            part.live[...] = hit
            mark(part)

    def run(self, state, everything=False, gate=None, target=None):
        return state.run(*self.planes, target or self.target, everything, gate)

    def dense(self):
        query, key, value = (part.values.reshape(-1, HEADS, DIM).transpose(1, 0, 2).astype(np.float64) for part in self.planes)
        weights = np.exp(query @ key.transpose(0, 2, 1) / np.sqrt(DIM))
        made = weights / weights.sum(axis=2, keepdims=True) @ value
        return made.transpose(1, 0, 2).reshape(self.target.values.shape)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.sampled_from(["none", "denoise", "token"]), st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2]),
)  # fmt: skip
def test_after_any_sequence_as_if_run_anew(rows, columns, measurements, recovery, seed, threads):
    scene = Scene((rows, columns), seed)
    phi = Phi(random_signs(measurements, rows * columns, seed), (rows, columns))
    method = Csat(min(measurements, rows * columns), phi, recovery, sparsity=0.1)
    state = method.open(Tokens((rows, columns), (rows, columns), HEADS, DIM), crew=threads)
    scene.run(state, everything=True)
    for share in (0.2, 0.0, 0.7, 0.1):
        before = scene.target.values.copy()
        scene.change(share)
        scene.run(state)
        moved = (before.view(np.int32) != scene.target.values.view(np.int32)).any(axis=2)
        assert np.array_equal(moved, scene.target.live != 0)
    anew = plane(np.zeros_like(scene.target.values))
    scene.run(method.open(Tokens((rows, columns), (rows, columns), HEADS, DIM)), everything=True, target=anew)
    assert np.array_equal(anew.values.view(np.int32), scene.target.values.view(np.int32))


def test_compiled_is_plain():
    scene, method = Scene((7, 9)), Csat(6)
    tokens = Tokens((7, 9), (7, 9), HEADS, DIM)
    scene.run(method.open(tokens, "compiled"), everything=True)
    plain = plane(np.zeros_like(scene.target.values))
    scene.run(method.open(tokens, "plain"), everything=True, target=plain)
    assert np.array_equal(plain.values, scene.target.values)


@pytest.mark.parametrize(("phi", "recovery"), [(None, "none"), ("signs", "token")])
def test_as_many_measurements_as_tokens_and_exact_recovery_are_dense(phi, recovery):
    scene = Scene((5, 6), 3)
    learned = Phi(np.linalg.qr(np.random.default_rng(1).standard_normal((30, 30)))[0].astype(np.float32), (5, 6)) if phi else None
    state = Csat(30, learned, recovery).open(Tokens((5, 6), (5, 6), HEADS, DIM))
    scene.run(state, everything=True)
    assert np.abs(scene.target.values - scene.dense()).max() < (2e-3 if phi is None else 2e-2)


def test_equal_tokens_come_out_as_they_are():
    scene = Scene((8, 8))
    for part in scene.planes[1:]:
        part.values[...] = part.values[0, 0]
    scene.run(Csat(4).open(Tokens((8, 8), (8, 8), HEADS, DIM)), everything=True)
    assert np.abs(scene.target.values - scene.planes[2].values).max() < 2e-3


def test_queries_of_names_look_at_a_picture_and_a_gate_keeps_what_moved_little():
    scene = Scene((16, 16), queries=(1, 5))
    state = CsatState(Csat(64), (1, 5), (16, 16), (HEADS, DIM), Opening(has_gate=True))
    scene.run(state, everything=True)
    before, gate = scene.target.values.copy(), np.array([0.2], np.float32)
    scene.change(0.0)
    scene.planes[1].live[3, 3] = 1
    scene.planes[1].values[3, 3] += 0.1
    mark(scene.planes[1])
    assert scene.run(state, gate=gate) == 0  # no measurement moved by as much
    scene.planes[1].values[3, 3] += 3
    assert scene.run(state, gate=gate) == 5
    assert np.array_equal(scene.target.values, before)
    scene.planes[2].values[...] += 1
    scene.planes[2].live[...] = 1
    mark(scene.planes[2])
    assert scene.run(state, gate=gate) == 5
    assert np.abs(scene.target.values - before - 1).max() < 0.2


def test_fewer_measurements_while_running():
    scene = Scene((8, 8))
    state = CsatState(Csat(16), (8, 8), (8, 8), (HEADS, DIM))
    scene.run(state, everything=True)
    state.set(measurements=4)
    with pytest.raises(InputError, match="before a run of everything"):
        scene.run(state)
    scene.run(state, everything=True)
    assert state.measurements == 4


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (Csat(65), "measurements is 65; it must be 1 to 64, the layer's tokens; nearest: 64"),
        (Csat(0), "nearest: 1"),
        (Csat(8, Phi(np.ones((4, 64), np.float32), (8, 8))), "learnt with 4, so at most 4"),
        (Csat(4, span=0.0), "span is 0; it must be above 0"),
    ],
)
def test_what_cannot_be_is_refused(method, said):
    with pytest.raises(InputError, match=said):
        method.open(Tokens((8, 8), (8, 8), HEADS, DIM))


@pytest.mark.parametrize(("measurements", "size"), [(4, (8, 8)), (6, (7, 9)), (7, (5, 3)), (1, (3, 3)), (15, (5, 3))])
def test_block_means_are_means_that_cover_all(measurements, size):
    made = block_means(measurements, size)
    assert made.shape == (measurements, size[0] * size[1])
    assert made.sum(axis=1) == pytest.approx(1)
    assert (np.count_nonzero(made, axis=0) == 1).all()


def test_any_first_spread_tokens_lie_evenly_over_the_map():
    made = spread_tokens(144, (12, 12))
    assert sorted(made.argmax(axis=1)) == list(range(144))  # each token once
    assert np.array_equal(spread_tokens(10, (12, 12)), made[:10])
    for measurements in (12, 24, 48, 96):
        quarters = made[:measurements].reshape(measurements, 2, 6, 2, 6).sum(axis=(0, 2, 4))
        assert np.abs(quarters - measurements / 4).max() <= 2
    with pytest.raises(InputError, match="at most 9"):
        spread_tokens(10, (3, 3))


def test_a_learned_phi_fits_another_size():
    phi = Phi(block_means(4, (4, 4)), (4, 4))
    assert phi.fitted(4, (8, 8)).sum(axis=1) == pytest.approx(1)
    assert np.abs(Phi(block_means(4, (8, 8)), (8, 8)).fitted(4, (4, 4)) - block_means(4, (4, 4))).max() < 1e-6
    with pytest.raises(InputError, match="must be \\(measurements, 16\\)"):
        Phi(np.ones((4, 9), np.float32), (4, 4))
