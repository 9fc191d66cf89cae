"""Every way to attend: the laws that hold for all of them, then what each promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.errors import InputError
from edgevision.kernels import open_attend
from edgevision.kernels.blocks import ALL, Kept
from edgevision.kernels.forms import NO_LIVE, Plane
from edgevision.networks.attention import Tokens
from edgevision.networks.attention.dense import Dense, Unit
from edgevision.networks.attention.hybrid import Hybrid, HybridSettings, static_blocks
from edgevision.networks.attention.sparsifiner import Predictor, Sparsifiner, SparsifinerSettings

LAYER = Tokens((7, 9), (7, 9), 2, 6, 2)  # 20 blocks, ragged at both ends
POOLED = Tokens((4, 5), (8, 10), 2, 6, 2)
METHODS = {
    "unit": Unit(),
    "dense": Dense(),
    "hybrid": Hybrid(HybridSettings(keep=0.2, correction="none")),
    "hybrid_p": Hybrid(HybridSettings(keep=0.5, mass=0.8, window=1)),
    "hybrid_delta": Hybrid(HybridSettings(keep=0.2, correction="delta")),
    "sparsifiner": Sparsifiner(),
    "exact": Sparsifiner(SparsifinerSettings(keep=0.2, exact=True)),
    "pruned": Sparsifiner(SparsifinerSettings(keep=0.2, prune=0.25)),
}


def plane(values) -> Plane:
    values = np.array(values, np.float32)
    height, width = values.shape[:2]
    return Plane(values, 0, 0, height, width, np.zeros((height, width), np.uint8), np.full((height, 2), NO_LIVE, np.int32))


class Layer:
    """One layer's planes, and a state over them. Tokens are random about a common direction, or as given."""

    def __init__(self, method, tokens: Tokens, seed: int = 0, backend: str = "compiled", has_gate: bool = False) -> None:
        random = np.random.default_rng(seed)
        self.tokens, self.random, self.method, self.backend = tokens, random, method, backend
        self.query, self.key, self.value = (
            plane(1 + random.standard_normal((*size, tokens.channels))) for size in (tokens.query, tokens.key, tokens.key)
        )
        self.target = plane(np.zeros((*tokens.query, tokens.channels)))
        self.state = method.open(tokens, backend, 1, has_gate)

    def run(self, everything: bool = True, gate: float = 0.0) -> int:
        return self.state.run(self.query, self.key, self.value, self.target, everything, np.array([gate], np.float32) if gate else None)

    def change(self, one: Plane, where) -> None:
        one.values[where] = 1 + self.random.standard_normal(one.values[where].shape)
        self.mark(one, where)

    @staticmethod
    def mark(one: Plane, where) -> None:
        one.live[...] = 0
        one.live[where] = 1
        one.live_px = int(one.live.sum())

    def still(self) -> None:
        for one in (self.query, self.key, self.value):
            self.mark(one, np.zeros(one.live.shape, bool))

    def fresh(self) -> np.ndarray:
        target = plane(np.zeros(self.target.values.shape))
        self.method.open(self.tokens, self.backend, 1).run(self.query, self.key, self.value, target, True, None)
        return target.values


def written_out(layer: Layer) -> np.ndarray:
    tokens = layer.tokens
    query, key, value = (
        one.values.reshape(-1, tokens.heads, tokens.head_dim).transpose(1, 0, 2).astype(np.float64)
        for one in (layer.query, layer.key, layer.value)
    )
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(tokens.head_dim)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    made = weights @ value / weights.sum(axis=2, keepdims=True)
    return made.transpose(1, 0, 2).reshape(layer.target.values.shape)


@pytest.mark.parametrize("tokens", [LAYER, POOLED], ids=["plain", "pooled"])
def test_dense_is_softmax_written_out(tokens):
    layer = Layer(Dense(), tokens)
    assert layer.run() == tokens.queries
    np.testing.assert_allclose(layer.target.values, written_out(layer), atol=2e-6)
    assert layer.state.macs == tokens.dense_macs


@pytest.mark.parametrize(
    "method",
    [
        Hybrid(HybridSettings(keep=1, correction="none")),
        Hybrid(HybridSettings(keep=1)),
        Hybrid(HybridSettings(keep=1, correction="delta")),
        Sparsifiner(SparsifinerSettings(keep=1)),
    ],
    ids=["none", "low_rank", "delta", "sparsifiner"],
)
def test_keeping_all_is_dense_bit_for_bit(method):
    dense, layer = Layer(Dense(), LAYER), Layer(method, LAYER)
    dense.run()
    layer.run()
    assert np.array_equal(dense.target.values, layer.target.values)


def test_units_do_not_mix():
    layer = Layer(Unit(), POOLED)
    layer.run()
    before = layer.target.values.copy()
    layer.change(layer.key, np.s_[2:4, 4:6])
    assert layer.run(everything=False) == 1
    moved = (layer.target.values != before).any(axis=2)
    assert np.argwhere(moved).tolist() == [[1, 2]]
    assert np.argwhere(layer.target.live).tolist() == [[1, 2]]


@settings(max_examples=8, deadline=None)
@given(name=st.sampled_from(sorted(METHODS)), tokens=st.sampled_from([LAYER, POOLED]), seed=st.integers(0, 999))
def test_after_any_changes_memory_is_that_of_a_first_run(name, tokens, seed):
    layer = Layer(METHODS[name], tokens, seed)
    layer.run()
    for _ in range(4):
        before, changed = layer.target.values.copy(), False
        for one in (layer.query, layer.key, layer.value):
            where = layer.random.random(one.live.shape) < layer.random.choice([0.0, 0.05, 0.3])
            layer.change(one, where)
        layer.run(everything=False)
        changed = (layer.target.values.view(np.int32) != before.view(np.int32)).any(axis=2)
        assert np.array_equal(changed, layer.target.live != 0), "live is what really moved"
        assert layer.state.kept().any(axis=2).all(), "no row is empty"
    assert layer.target.values.tobytes() == layer.fresh().tobytes()


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("gate", [0.0, 0.1])
def test_nothing_live_runs_nothing(name, gate):
    layer = Layer(METHODS[name], LAYER)
    layer.run(gate=gate)
    before = layer.target.values.copy()
    assert layer.run(everything=False, gate=gate) == 0
    assert np.array_equal(before, layer.target.values)
    assert not layer.target.live.any()


@pytest.mark.parametrize("name", sorted(METHODS))
def test_compiled_equals_plain_over_gated_changes(name):
    found = []
    for backend in ("plain", "compiled"):
        layer, ran = Layer(METHODS[name], LAYER, 4, backend, has_gate=True), []
        ran.append(layer.run(gate=0.2))
        for corner in range(3):
            for one in (layer.query, layer.key, layer.value):
                layer.change(one, np.s_[corner : corner + 3, corner : corner + 3])
            ran.append(layer.run(everything=False, gate=0.2))
        found.append((ran, layer.target.values.tobytes(), layer.target.live.tobytes(), layer.state.kept().tobytes(), layer.state.macs))
    assert found[0] == found[1]


@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(["unit", "dense", "hybrid", "sparsifiner", "pruned"]),
    tokens=st.sampled_from([LAYER, POOLED]),
    seed=st.integers(0, 999),
)
def test_with_a_gate_no_query_is_further_off_than_the_gate_whatever_came_before(name, tokens, seed):
    """Against attention over the same kept sets, made anew. Small changes, large ones, keys that draw all attention and give it back."""
    gate = 0.1
    layer = Layer(METHODS[name], tokens, seed, has_gate=True)
    layer.run(gate=gate)
    for turn in range(12):
        top, left = layer.random.integers(0, 4, 2)
        where = np.s_[top : top + 3, left : left + 2]
        for one in (layer.query, layer.value):
            layer.change(one, where if layer.random.random() < 0.8 else np.s_[:0])
        layer.change(layer.key, where)
        layer.key.values[where] *= 4.0 if turn % 3 == 1 else 1.0
        layer.run(everything=False, gate=gate)
        assert np.abs(layer.target.values - over_kept(layer)).max() <= gate + 1e-3


def over_kept(layer: Layer) -> np.ndarray:
    """Attention of all queries over what the state says that they keep."""
    grid = layer.tokens.grid()
    kept = Kept.room(grid, grid.blocks)
    kept.fill(layer.state.kept().transpose(1, 0, 2))
    attend, target = open_attend("compiled", grid, kept, 1), plane(np.zeros(layer.target.values.shape))
    attend.pack(layer.key, layer.value, np.arange(grid.blocks, dtype=np.int32), True)
    attend.run(layer.query, target, np.full(kept.counts.shape, ALL, np.uint8), 0.0)
    return target.values


def test_a_gate_swallows_a_little_and_not_a_lot():
    layer = Layer(Dense(), LAYER, has_gate=True)
    layer.run(gate=0.05)
    before = layer.target.values.copy()
    layer.value.values[3, 3] += 0.1
    layer.mark(layer.value, np.s_[3:4, 3:4])
    layer.run(everything=False, gate=0.05)
    assert np.array_equal(layer.target.values, before)
    assert not layer.target.live.any()
    for _ in range(60):  # each too little, all together much: nothing creeps
        layer.value.values[3, 3] += 0.2
        layer.run(everything=False, gate=0.05)
    assert np.abs(layer.target.values - layer.fresh()).max() < 0.1
    assert not np.array_equal(layer.target.values, before)


class TestAdversaries:
    """METHODS 3: what breaks a careless choice."""

    tokens = Tokens((12, 12), (12, 12), 1, 8, 3)  # 16 blocks

    def layer(self, correction: str = "low_rank", **given) -> Layer:
        return Layer(Hybrid(HybridSettings(keep=0.2, correction=correction, **given)), self.tokens)

    @pytest.mark.parametrize("correction", ["low_rank", "delta"])
    def test_uniform_attention_is_corrected(self, correction):
        layer = self.layer(correction)
        layer.query.values[...] = 0
        layer.run()
        np.testing.assert_allclose(layer.target.values, written_out(layer), atol=1e-5)

    def test_a_needle_outside_the_window_is_found(self):
        layer = self.layer()
        layer.query.values[...] = 1
        layer.key.values[...] = layer.key.values * 0.1
        layer.key.values[10, 10] = 12
        layer.run()
        assert layer.state.kept()[:, :, 15].all()
        np.testing.assert_allclose(layer.target.values, written_out(layer), atol=1e-4)

    @pytest.mark.parametrize("correction", ["none", "low_rank", "delta"])
    def test_equal_keys_and_equal_values_are_exact(self, correction):
        layer = self.layer(correction)
        layer.key.values[...] = layer.key.values[0, 0]
        layer.value.values[...] = layer.value.values[0, 0]
        layer.run()
        np.testing.assert_allclose(layer.target.values, written_out(layer), atol=1e-5)

    def test_one_huge_key_stays_finite(self):
        layer = self.layer()
        layer.key.values[5, 5] = 1e18
        layer.run()
        assert np.isfinite(layer.target.values).all()
        assert layer.state.kept()[:, :, 5].all()

    def test_blocks_without_a_common_direction_are_never_dropped(self):
        layer = self.layer(coherence=0.5)
        layer.key.values[...] = 1
        layer.key.values[3:6, 6:9] = layer.random.standard_normal((3, 3, 8))
        layer.run()
        assert layer.state.kept()[:, :, 6].all()
        assert layer.state.kept().sum(axis=2).max() <= 4

    def test_probes_that_are_far_off_make_it_dense_for_a_while(self):
        layer = self.layer("none", error_limit=1e-4, error_frames=(1, 2), cool_down=2)
        layer.run()
        assert layer.state.error > 1e-4
        assert "dense" in layer.state.note
        layer.change(layer.key, np.s_[:1, :1])
        layer.run(everything=False)
        assert layer.state.kept().all()
        np.testing.assert_allclose(layer.target.values, written_out(layer), atol=1e-5)
        for _ in range(2):
            layer.run(everything=False)
        assert layer.state.kept().mean() < 0.5 or layer.state.note


def test_static_blocks_are_the_sink_and_the_neighbours():
    near = static_blocks((2, 3), 1, 1)
    assert np.flatnonzero(near[5]).tolist() == [0, 1, 2, 4, 5]


def test_the_predictors_mask_is_the_papers_on_pooled_tokens():
    """By floats, written out: the same blocks but where two are worth the same within the fixed point."""
    tokens = Tokens((8, 8), (8, 8), 1, 4, 2)
    random = np.random.default_rng(1)
    predictor = Predictor(*(random.standard_normal(shape).astype(np.float32) for shape in ((4, 2), (4, 2), (16, 3), (3, 16))))
    layer = Layer(Sparsifiner(SparsifinerSettings(keep=0.25, top=2), predictor), tokens)
    layer.run()
    means = [one.values.reshape(4, 2, 4, 2, 4).mean(axis=(1, 3)).reshape(16, 4).astype(np.float64) for one in (layer.query, layer.key)]
    asked, offered = means[0] @ predictor.query, means[1] @ predictor.key
    logits = asked @ (offered.T @ predictor.down)
    up = np.where(np.abs(predictor.up) <= 0.02, 0, np.abs(predictor.up))
    powers = np.exp(logits / 2)
    shares = np.where(logits >= np.sort(logits, axis=1)[:, -2:-1], powers / powers.sum(axis=1, keepdims=True), 0)
    predicted = shares @ up
    kept = layer.state.kept()[0]
    assert (kept.sum(axis=1) == 4).all()
    worst_kept, best_dropped = np.where(kept, predicted, np.inf).min(axis=1), np.where(kept, -np.inf, predicted).max(axis=1)
    assert (worst_kept >= best_dropped - 0.05).all()


def test_each_query_keeps_what_the_paper_says_and_attends_to_that_alone():
    """By floats, written out, with a predictor of single tokens; queries apart whose keys are worth the same within the fixed point."""
    tokens = Tokens((6, 6), (6, 6), 1, 4, 2)
    random = np.random.default_rng(1)
    predictor = Predictor(*(random.standard_normal(shape).astype(np.float32) for shape in ((4, 2), (4, 2), (36, 5), (5, 36))))
    layer = Layer(Sparsifiner(SparsifinerSettings(keep=0.25, top=3, exact=True), predictor), tokens)
    layer.run()
    query, key, value = (one.values.reshape(36, 4).astype(np.float64) for one in (layer.query, layer.key, layer.value))
    logits = (query @ predictor.query) @ ((key @ predictor.key).T @ predictor.down)
    powers = np.exp(logits / 2 - (logits / 2).max(axis=1, keepdims=True))
    shares = np.where(logits >= np.sort(logits, axis=1)[:, -3, None], powers / powers.sum(axis=1, keepdims=True), 0)
    worth = shares @ np.where(np.abs(predictor.up) <= 0.02, 0, np.abs(predictor.up))
    order = np.sort(worth, axis=1)
    is_clear = order[:, -9] - order[:, -10] > 0.02
    assert is_clear.sum() > 12
    scores = np.where(worth >= order[:, -9, None], query @ key.T / 2, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    wanted = weights @ value / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(layer.target.values.reshape(36, 4)[is_clear], wanted[is_clear], atol=1e-5)


def test_single_tokens_that_keep_all_are_dense():
    dense, layer = Layer(Dense(), POOLED), Layer(Sparsifiner(SparsifinerSettings(keep=1, exact=True)), POOLED)
    dense.run()
    layer.run()
    np.testing.assert_allclose(layer.target.values, dense.target.values, atol=2e-6)
    with pytest.raises(InputError, match=r"the predictor's down is \(20, 20\); these tokens need \(80, 20\)"):
        Sparsifiner(SparsifinerSettings(exact=True), Predictor.start(POOLED)).open(POOLED)


def test_pruned_blocks_are_looked_at_by_nobody_and_look_at_themselves():
    layer = Layer(METHODS["pruned"], LAYER)
    layer.run()
    kept = layer.state.kept()
    alone = np.flatnonzero((kept.sum(axis=2) == 1).all(axis=0) & kept.any(axis=0).diagonal())
    assert len(alone) >= 5
    assert all(kept[:, :, block].sum() == LAYER.heads for block in alone[:5] if kept[:, :, block].sum() <= LAYER.heads)


@pytest.mark.parametrize("method", [Sparsifiner(), Hybrid()], ids=["sparsifiner", "hybrid"])
def test_few_tokens_run_dense_and_say_so(method):
    layer = Layer(method, Tokens((14, 14), (14, 14), 2, 8))
    layer.run()
    assert "196 keys" in layer.state.note
    np.testing.assert_allclose(layer.target.values, written_out(layer), atol=2e-6)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (((4, 4), (4, 4), 0, 8), "heads is 0; it must be 1 or more"),
        (((4, 4), (9, 8), 1, 8), r"whole multiple, the same each way, such as \(8, 8\)"),
        (((4, 4), (8, 8), 1, 8, 3), "unit is 3; queries are pooled by 2, so it must be a multiple, such as 4"),
    ],
)
def test_tokens_that_cannot_be_are_refused(given, says):
    with pytest.raises(InputError, match=says):
        Tokens(*given)


def test_a_predictor_of_another_size_is_refused():
    learned = Predictor.start(Tokens((8, 8), (8, 8), 2, 6, 2))
    with pytest.raises(InputError, match=r"predictor's down is \(16, 16\); these tokens need \(20, 16\)"):
        Sparsifiner(predictor=learned).open(LAYER)
