"""The file of weights: what is written is read, what belongs to another network is refused in one line."""

from __future__ import annotations

import re

import numpy as np
import pytest

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.networks.turbovit import TurboViTSpec
from edgevision.networks.turbovit_weights import random_turbovit, read_turbovit, write_turbovit

SMALL = TurboViTSpec((1, 1), (8, 16), (1, 2), (16, 32), (False, True), ("unit", "dense"), unit=4, labels=("a", "b"), trained_px=32)


def test_what_is_written_is_read(tmp_path):
    made = random_turbovit(SMALL, seed=3)
    weights = {**made.weights, "stage2_block1.attention.query": np.eye(4, dtype=np.float32)}
    write_turbovit(tmp_path / "net.npz", SMALL, weights, {"mean": "0.5", "labels": "a, b"})
    found = read_turbovit(tmp_path / "net.npz")
    assert found.spec == SMALL
    assert dict(found.metadata) == {"mean": "0.5", "labels": "a, b"}
    assert all(np.array_equal(found.weights[name], array) for name, array in weights.items())
    assert list(found.learned("stage2_block1.attention")) == ["query"]
    assert found.sha256 == read_turbovit(tmp_path / "net.npz").sha256


def test_random_weights_are_the_same_for_the_same_seed():
    one, again, other = (random_turbovit(SMALL, seed) for seed in (0, 0, 1))
    assert one.sha256 == again.sha256 != other.sha256
    assert np.array_equal(one.weights["patch.weight"], again.weights["patch.weight"])


def wrong(change):
    weights = dict(random_turbovit(SMALL).weights)
    change(weights)
    return weights


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda w: w.pop("patch.bias"), "has no weights 'patch.bias' [8]: they are of another architecture; give a .npz file"),
        (lambda w: w.update({"patch.bias": np.zeros(9, np.float32)}), "weights 'patch.bias' are [9], its spec wants [8]: of another"),
        (lambda w: w.update({"stage9.weight": np.zeros(1, np.float32)}), "weights 'stage9.weight' belong to no layer of its spec; give"),
        (lambda w: w["patch.bias"].fill(np.nan), "weights 'patch.bias' are not all finite float32 numbers; give"),
    ],
)
def test_weights_of_another_architecture_are_refused(tmp_path, change, line):
    with pytest.raises(UnsupportedNetwork, match=f"^{re.escape(str(tmp_path))}/net.npz: {re.escape(line)}"):
        write_turbovit(tmp_path / "net.npz", SMALL, wrong(change), {})
    assert not list(tmp_path.iterdir())


def test_files_that_hold_no_network_are_refused(tmp_path):
    path = tmp_path / "net.npz"
    for content, line in ((None, "no such file"), (b"PK\x03\x04 cut", "is no file of weights"), (b"", "is no file of weights")):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UnsupportedNetwork, match=line):
            read_turbovit(path)
    np.savez(path, **random_turbovit(SMALL).weights)
    with pytest.raises(UnsupportedNetwork, match=r"has no readable spec and metadata; give a .npz file"):
        read_turbovit(path)
    np.savez(path, spec=np.array('{"schema": "edgevision.turbovit/2"}'), metadata=np.array("{}"))
    with pytest.raises(UnsupportedNetwork, match=r"schema is 'edgevision.turbovit/2'; this version reads 'edgevision.turbovit/1'"):
        read_turbovit(path)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="No such file or directory; name a file in a folder that is there"):
        write_turbovit(tmp_path / "no" / "net.npz", SMALL, random_turbovit(SMALL).weights, {})
