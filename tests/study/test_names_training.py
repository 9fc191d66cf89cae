"""A head of names as torch sees it is the head that runs, and learns to tell what it was shown."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")
from edgevision.networks.names import NamedState, Remembered  # noqa: E402
from edgevision.study.train.names import TaughtHead, Tokens, accuracy_of, begun, fitted  # noqa: E402


def test_torch_and_the_head_that_runs_agree():
    head = begun(("scratches", "patches"), 12, (4, 4), 0)
    tokens = np.random.default_rng(0).standard_normal((4, 4, 12)).astype(np.float32)
    normed = torch.nn.functional.layer_norm(torch.from_numpy(tokens.reshape(1, 16, 12)), (12,), eps=1e-6)
    with torch.no_grad():
        shares = TaughtHead(head)(normed).softmax(1)[0].numpy()
    np.testing.assert_allclose(NamedState(head).first(tokens), shares, atol=2e-3)


def test_one_more_name_is_placed_without_moving_the_others():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    labels = torch.arange(90) % 3
    x = 0.3 * torch.randn(90, 16, 12)
    x[torch.arange(90), torch.arange(90) % 16, labels] += 4  # somewhere in the picture, one channel tells
    known, new = Tokens(x[labels < 2], labels[labels < 2]), Tokens(x[labels == 2], labels[labels == 2])
    memory = Remembered(known.means.astype(np.float16), known.labels.numpy(), np.arange(60))
    head = replace(fitted(begun(("first", "second"), 12, (4, 4), 0), known, seed=0, steps=120), memory=memory)
    more = head.placed("third", new.means, np.arange(30))
    assert np.array_equal(more.offsets[:2], head.offsets)
    assert np.array_equal(more.key, head.key)
    assert accuracy_of(more, Tokens(x, labels)) > 0.9
    assert accuracy_of(more, known) >= accuracy_of(head, known) - 0.02
