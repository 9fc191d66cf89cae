"""A head that is asked by name: what changed is enough, one more name moves no other's answer, letters are what a name is known by."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.errors import InputError
from edgevision.kernels.plain.runs import scan
from edgevision.networks.attention.csat import plane
from edgevision.networks.names import NamedHead, NamedState, meaning, read_names, rows_of, write_names

NAMES = ("crazing", "rolled-in_scale", "pitted surface")
TEXT, DIM, CHANNELS, SIZE = 6, 8, 12, (4, 4)


@pytest.fixture
def head() -> NamedHead:
    random = np.random.default_rng(2)

    def drawn(*shape):
        return random.standard_normal(shape).astype(np.float32)

    return NamedHead(
        NAMES,
        drawn(32, TEXT),
        drawn(TEXT, DIM),
        drawn(TEXT, DIM),
        drawn(CHANNELS, DIM),
        drawn(CHANNELS, DIM),
        drawn(3, 2 * DIM + 1),
        4,
        SIZE,
    )


def tokens(seed: int):
    return np.random.default_rng(seed).standard_normal((*SIZE, CHANNELS)).astype(np.float32)


def test_n_grams_are_those_of_words_between_their_ends():
    assert len(rows_of("ab", 99)) == 3 + 2 + 1  # <a ab b> <ab ab> <ab>
    assert rows_of("Rolled-in_Scale", 64) == rows_of("rolled in scale", 64)
    with pytest.raises(InputError, match="needs a letter"):
        rows_of("--", 64)


def test_after_changes_the_answer_is_that_of_a_first_look(head):
    state, values = NamedState(head), plane(tokens(0))
    shares = state.first(values.values)
    assert shares.sum() == pytest.approx(1)
    for seed in range(3):
        values.live[...] = np.random.default_rng(seed).random(SIZE) < 0.3
        values.values[values.live != 0] = tokens(seed + 1)[values.live != 0]
        values.live_px = scan(values.live, values.live, values.extent)
        assert state.next(values).tobytes() == NamedState(head).first(values.values).tobytes()


def test_a_name_that_is_added_moves_no_others_answer(head):
    before, more = NamedState(head).first(tokens(3)), head.added("scratches")
    after = NamedState(more).first(tokens(3))
    np.testing.assert_allclose(after[:3] / after[:3].sum(), before, rtol=1e-4)
    assert 0 < after[3] < 1
    with pytest.raises(InputError, match="knows this name already"):
        more.added("scratches")


def test_names_with_letters_in_common_mean_alike(head):
    letters = np.random.default_rng(0).standard_normal((512, 400)).astype(np.float32)
    one, two, other = (meaning(letters, name) for name in ("scratch", "scratches", "blowhole"))
    assert one @ two > 2 * abs(one @ other)


def test_a_file_gives_the_same_head_and_others_are_refused(head, tmp_path):
    path = tmp_path / "names.npz"
    write_names(path, head)
    assert NamedState(read_names(path)).first(tokens(5)).tobytes() == NamedState(head).first(tokens(5)).tobytes()
    path.write_bytes(b"no")
    with pytest.raises(InputError, match="is no head of names"):
        read_names(path)
    with pytest.raises(InputError, match="no such file"):
        read_names(tmp_path / "none.npz")
