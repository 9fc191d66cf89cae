"""A head that is asked by name: what changed is enough, one more name moves no other's answer, letters are what a name is known by."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.errors import InputError
from edgevision.networks.likeness import likeness, likes, margin
from edgevision.networks.names import NamedHead, NamedState, Remembered, meaning, read_names, rows_of, write_names

NAMES = ("crazing", "rolled-in_scale", "pitted surface")
TEXT, DIM, CHANNELS, SIZE = 6, 8, 12, (4, 4)


@pytest.fixture
def head() -> NamedHead:
    random = np.random.default_rng(2)

    def drawn(*shape):
        return random.standard_normal(shape).astype(np.float32)

    memory = Remembered(np.concatenate([means(name, 20) for name in range(3)]), np.repeat(np.arange(3), 20), np.arange(60) // 2)
    return NamedHead(
        NAMES,
        drawn(32, TEXT),
        drawn(TEXT, DIM),
        drawn(TEXT, DIM),
        drawn(CHANNELS, DIM),
        drawn(CHANNELS, DIM),
        drawn(3, 2 * DIM + 1),
        np.zeros((3, CHANNELS + 1), np.float32),
        np.full(3, np.nan, np.float32),
        4,
        SIZE,
        "0123abcd",
        memory,
    )


def means(name: int, count: int):
    """Of crops that show this one: one channel higher than the others."""
    random = np.random.default_rng((7, name))
    return (0.2 * random.standard_normal((count, CHANNELS)) + np.eye(CHANNELS)[name]).astype(np.float16)


def tokens(seed: int):
    return np.random.default_rng(seed).standard_normal((*SIZE, CHANNELS)).astype(np.float32)


def test_n_grams_are_those_of_words_between_their_ends():
    assert len(rows_of("ab", 99)) == 3 + 2 + 1  # <a ab b> <ab ab> <ab>
    assert rows_of("Rolled-in_Scale", 64) == rows_of("rolled in scale", 64)
    with pytest.raises(InputError, match="needs a letter"):
        rows_of("--", 64)


def test_after_changes_the_answer_is_that_of_a_first_look(head):
    head = head.placed("scratches", means(3, 10), np.arange(10))
    state, values = NamedState(head), tokens(0)
    shares = state.first(values)
    assert shares.sum() == pytest.approx(1)
    for seed in range(3):
        live = np.random.default_rng(seed).random(SIZE) < 0.3
        values[live] = tokens(seed + 1)[live]
        assert state.next(values, live).tobytes() == NamedState(head).first(values).tobytes()


def test_a_name_that_is_added_moves_no_others_answer(head):
    before, more = NamedState(head).first(tokens(3)), head.added("scratches")
    after = NamedState(more).first(tokens(3))
    np.testing.assert_allclose(after[:3] / after[:3].sum(), before, rtol=1e-4)
    assert 0 < after[3] < 1
    with pytest.raises(InputError, match="knows this name already"):
        more.added("scratches")


def test_likeness_by_hand():
    crops = np.array([[0, 0], [0, 2], [4, 0], [4, 2]], np.float32)  # two names, 4 apart, each 1 to either side of its mean
    weights = likeness(crops, np.array([0, 0, 1, 1]), 2)
    found = likes(weights, np.array([[1, 9], [3, -9], [2, 0]], np.float32))
    assert found.argmax(axis=1)[:2].tolist() == [0, 1]  # only the channel that tells counts
    assert found[2, 0] == pytest.approx(found[2, 1])  # half way between


def test_names_are_placed_one_after_the_other_and_leave_the_taught_ones_alone(head):
    one = head.placed("scratches", means(3, 20), np.arange(20) // 2)
    two = one.placed("pits", means(4, 20), np.arange(20) // 2)
    taught = 5 * np.eye(3)[np.repeat(np.arange(3), 50)]
    crops = np.concatenate([means(name, 50) for name in range(3)])
    before, after = (np.pad(taught, ((0, 0), (0, more)), constant_values=99.0) for more in (1, 2))
    assert np.array_equal(two.scores(after, crops)[:, :3], taught)
    assert (one.scores(before, crops).argmax(axis=1) != taught.argmax(axis=1)).mean() <= 0.03
    assert (two.scores(after, crops).argmax(axis=1) != taught.argmax(axis=1)).mean() <= 0.05
    for name in (3, 4):
        found = two.scores(np.zeros((50, 5)), means(name, 70)[20:]).argmax(axis=1)
        assert (found == name).mean() > 0.9
    with pytest.raises(InputError, match="at least 2"):
        head.placed("pits", means(4, 5), np.zeros(5, int))


def test_a_margin_lets_few_over_among_pictures_not_learnt_from():
    random = np.random.default_rng(3)
    crops, shown, parts = random.standard_normal((400, 4)).astype(np.float32), np.arange(400) % 2, np.arange(400) // 4
    needed = margin(crops, shown, parts, 1)  # nothing tells the two apart
    found = likes(likeness(crops, shown, 2), random.standard_normal((4000, 4)).astype(np.float32))
    assert ((found[:, 1] - found[:, 0]) > needed).mean() < 0.03


def test_names_with_letters_in_common_mean_alike(head):
    letters = np.random.default_rng(0).standard_normal((512, 400)).astype(np.float32)
    one, two, other = (meaning(letters, name) for name in ("scratch", "scratches", "blowhole"))
    assert one @ two > 2 * abs(one @ other)


def test_a_file_gives_the_same_head_and_others_are_refused(head, tmp_path):
    path, head = tmp_path / "names.npz", head.placed("scratches", means(3, 10), np.arange(10))
    write_names(path, head)
    assert NamedState(read_names(path)).first(tokens(5)).tobytes() == NamedState(head).first(tokens(5)).tobytes()
    path.write_bytes(b"no")
    with pytest.raises(InputError, match="is no head of names"):
        read_names(path)
    with pytest.raises(InputError, match="no such file"):
        read_names(tmp_path / "none.npz")
