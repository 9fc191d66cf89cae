"""Memory: as large as it says, little more than the activations it holds, and refused at load when it would be too much."""

from __future__ import annotations

import gc
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from edgevision.errors import UnsupportedNetwork
from edgevision.recompute.engine import SelectiveNetwork, camera_bytes
from edgevision.recompute.load import load_for_frames
from edgevision.recompute.preprocess import Preprocess
from edgevision.recompute.settings import RecomputeSettings
from tests.recompute.conftest import write_unet
from tests.recompute.test_engine import picture
from tests.recompute.test_random_graphs import build, recipes
from tests.recompute.test_real_networks import path_of

MEGABYTE = 1 << 20


def activation_bytes(net: SelectiveNetwork) -> int:
    """Every value that the plan computes, once, and the input: no border, no live byte."""
    homed = {part for tensor in net.plan.tensors.values() for part in tensor.parts}
    tensors = (tensor for name, tensor in net.plan.tensors.items() if name not in homed)
    return sum(tensor.height * tensor.width * tensor.channels * tensor.store.dtype.itemsize for tensor in tensors)


def peak_bytes(net: SelectiveNetwork) -> int:
    """What a camera more really takes at its peak, as Python's own count of allocations has it."""
    x = picture(np.random.default_rng(0), net)
    live = np.random.default_rng(1).random(net.input_shape[2:]) < 0.3
    net.first(x)
    net.next(x, live)  # kernels are compiled now, which takes memory of its own
    gc.collect()
    tracemalloc.start()
    twin = net.sibling()
    twin.first(x)
    twin.next(x, live)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def promised(net: SelectiveNetwork) -> int:
    network = net._network
    return camera_bytes(network.graph, network.plan, network.layout)


def test_a_memory_takes_what_was_counted_and_little_more_than_its_activations(tmp_path):
    net = SelectiveNetwork.load(write_unet(tmp_path / "large.onnx", 240, 320))
    peak = peak_bytes(net)
    assert peak <= 1.3 * activation_bytes(net)
    assert abs(peak - promised(net)) < 0.02 * peak + 300_000


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recipe=recipes())
def test_random_networks_hold_little_more_than_their_activations(writer, recipe):
    layers, height, width, seed = recipe
    g = writer((1, 3, 16 * height, 16 * width), seed)
    g.conv("image", 3, 16)
    out = build(g, [("Conv", 16, 3, 1), *layers, ("Conv", 16, 3, 1)])
    with tempfile.TemporaryDirectory() as folder:
        net = SelectiveNetwork.load(g.save(Path(folder) / "random.onnx", out))
    needed = promised(net)
    loose = sum(
        4 * np.prod(net._network.graph.shapes[name]) for step in net.plan.steps if hasattr(step, "nodes") for name, _ in step.sources
    )
    assert needed <= 1.3 * activation_bytes(net) + 2 * loose


def test_a_limit_too_small_is_refused_with_both_numbers(unet):
    needed = promised(SelectiveNetwork.load(unet)) / MEGABYTE
    SelectiveNetwork.load(unet, memory_limit_mb=needed * 1.01)
    with pytest.raises(UnsupportedNetwork, match=rf"needs {needed:.4g} MB a camera, memory_limit_mb is .*; raise it") as caught:
        SelectiveNetwork.load(unet, memory_limit_mb=needed * 0.99)
    assert str(unet) in str(caught.value)
    with pytest.raises(UnsupportedNetwork, match=rf"needs {2 * needed:.4g} MB a camera \(2 Memories of {needed:.4g} MB"):
        SelectiveNetwork.load(unet, memory_limit_mb=needed * 1.01, memories=2)


def test_the_audits_own_memory_counts_when_the_map_is_audited():
    one = load_for_frames(RecomputeSettings(audit_every=0, foreign="never"), 480, 640)
    needed = promised(one) / MEGABYTE
    limit = int(needed) + 1
    assert limit >= 16
    load_for_frames(RecomputeSettings(audit_every=0, foreign="never", memory_limit_mb=limit), 480, 640)
    with pytest.raises(UnsupportedNetwork, match="one is for audits"):
        load_for_frames(RecomputeSettings(audit_every=300, foreign="never", memory_limit_mb=limit), 480, 640)


def test_large_frames_before_a_small_network_count_too(unet):
    net = SelectiveNetwork.load(unet, memory_limit_mb=promised(SelectiveNetwork.load(unet)) / MEGABYTE * 1.01)
    with pytest.raises(UnsupportedNetwork, match="memory_limit_mb"):
        net.set_preprocess(Preprocess(frame_px=(1080, 1920)))
    assert net.preprocess is None


@pytest.mark.parametrize("name", ["yunet_n_320_320", "ultraface_slim-320_simplified", "light_squeezenet"])
def test_networks_of_others_hold_little_more_than_their_activations(name):
    net = SelectiveNetwork.load(path_of(name))
    assert promised(net) <= 1.3 * activation_bytes(net)
