"""Pictures as the file's tensors: what NumPy makes of them, copied anew only where told that something changed."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.recompute.engine import SelectiveNetwork
from tests.recompute.test_engine import picture


@pytest.fixture
def tokens(writer, tmp_path):
    """The pixels of a picture one after another, whose border makes that a copy, and joined by an island with those of another."""
    g = writer((1, 3, 12, 16), 0)
    a = g.conv("image", 3, 6, 3)
    b = g.conv(a, 6, 6, 3)
    answers = []
    for name in (a, b):
        turned = g.node("Transpose", name, perm=[0, 2, 3, 1])
        answers.append(g.node("Reshape", turned, g.constant(np.array([1, 576, 2], np.int64))))
    joined = g.node("Concat", *answers, axis=1)
    return SelectiveNetwork.load(g.save(tmp_path / "tokens.onnx", answers[0], joined))


def test_answers_follow_every_call(tokens):
    rng, twin = np.random.default_rng(0), tokens.sibling()
    x = picture(rng, tokens)
    tokens.first(x)
    for share in (0.0, 0.02, 1.0, 0.0, 0.3):
        new, live = picture(rng, tokens), rng.random(tokens.input_shape[2:]) < share
        x = np.where(live, new, x)
        found, wanted = tokens.next(new, live), twin.first(x)
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_after_a_call_that_was_interrupted_nothing_old_is_given(tokens, monkeypatch):
    rng = np.random.default_rng(1)
    tokens.first(picture(rng, tokens))
    x, everywhere = picture(rng, tokens), np.ones(tokens.input_shape[2:], bool)
    with monkeypatch.context() as broken:
        broken.setattr(type(tokens._stages[-1]), "__call__", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            tokens.next(x, everywhere)
    found, wanted = tokens.first(x), tokens.sibling().first(x)
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
