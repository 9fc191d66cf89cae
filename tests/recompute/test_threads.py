"""Threads: the same bits for any number of them, cameras in several threads do not meet, and none outlives its network."""

from __future__ import annotations

import gc
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from edgevision.recompute import bound, crew
from edgevision.recompute.bound import BoundStep
from edgevision.recompute.crew import Crew, cuts
from edgevision.recompute.engine import SelectiveNetwork
from tests.recompute.test_engine import patches, picture, same_memory
from tests.recompute.test_random_graphs import build, recipes


@pytest.fixture
def share_all(monkeypatch):
    """Even the smallest step is shared."""
    monkeypatch.setattr(bound, "WORTH_SHARING_NS", 0.0)
    monkeypatch.setattr(crew, "SHARE_NS", 1.0)


def own_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("edgevision-kernel")}


def test_shares_cover_all_runs_once_in_about_equal_pixels():
    runs = np.zeros((9, 3), np.int32)
    runs[:, 2] = [40, 1, 1, 1, 1, 1, 1, 1, 40]
    assert cuts(runs, 9, 87, 2) == [0, 3, 9]
    assert cuts(runs, 1, 40, 4) == [0, 1]
    edges = cuts(runs, 9, 87, 3)
    assert edges[0] == 0
    assert edges[-1] == 9
    assert edges == sorted(set(edges))


def test_every_run_is_done_once_whoever_does_it():
    done = np.zeros(1000, np.int64)
    runs = np.zeros((1000, 3), np.int32)
    runs[:, 2] = 1

    def kernel(runs, begin, end):
        done[begin:end] += 1
        time.sleep(0)

    crew = Crew(3)
    for _ in range(50):
        crew.run(kernel, runs, 1000, 1000)
    assert (done == 50).all()


def test_what_a_share_raises_reaches_the_caller_and_the_crew_works_on():
    runs = np.zeros((100, 3), np.int32)
    runs[:, 2] = 1

    def broken(runs, begin, end):
        raise ValueError("from a share")

    crew = Crew(2)
    with pytest.raises(ValueError, match="from a share"):
        crew.run(broken, runs, 100, 100)
    seen = []
    crew.run(lambda runs, begin, end: seen.extend(range(begin, end)), runs, 100, 100)
    assert sorted(seen) == list(range(100))


def test_who_finds_the_crew_busy_works_alone():
    runs = np.zeros((100, 3), np.int32)
    runs[:, 2] = 1
    crew = Crew(1)
    seen: list[tuple[int, int]] = []

    def inner(runs, begin, end):
        seen.append((begin, end))

    def outer(runs, begin, end):
        crew.run(inner, runs, 7, 7)

    crew.run(outer, runs, 100, 100)
    assert set(seen) == {(0, 7)}


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recipe=recipes())
def test_any_number_of_threads_gives_the_same_bits(writer, share_all, recipe):
    layers, height, width, seed = recipe
    g = writer((1, 3, height, width), seed)
    out = build(g, layers)
    if out == "image":
        return
    with tempfile.TemporaryDirectory() as folder:
        path = g.save(Path(folder) / "random.onnx", out)
        nets = [SelectiveNetwork.load(path, threads=threads) for threads in (1, 2, 3)]
    random = np.random.default_rng(seed)
    for _ in range(4):
        x, live = picture(random, nets[0]), random.random((height, width)) < 0.1
        for net in nets:
            net.next(x, live) if net._memory.is_filled else net.first(x)
        assert same_memory(nets[0], nets[1])
        assert same_memory(nets[0], nets[2])


@pytest.mark.parametrize("threads", [1, 2])
def test_cameras_in_several_threads_do_not_disturb_each_other(unet, share_all, threads):
    first, other = (SelectiveNetwork.load(unet, threads=threads) for _ in range(2))
    nets = [first, first.sibling(), first.sibling(), other]

    def watch(net: SelectiveNetwork) -> bytes:
        random = np.random.default_rng(5)
        net.first(picture(random, net))
        for _ in range(30):
            out = net.next(picture(random, net), patches(random, net.input_shape[2:]))
        return out["defect"].tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(watch, nets))) == 1


def test_threads_start_when_wanted_and_end_with_the_network(unet, share_all, random):
    before = own_threads()
    net = SelectiveNetwork.load(unet, threads=3)
    assert own_threads() == before
    net.first(picture(random, net))
    started = own_threads() - before
    assert len(started) == 2
    assert all(thread.daemon for thread in started)
    twin = net.sibling()
    twin.first(picture(random, twin))
    assert own_threads() - before == started
    del net, twin
    gc.collect()
    for thread in started:
        thread.join(5)
    assert not any(thread.is_alive() for thread in started)


def test_small_steps_are_not_shared_and_large_ones_are(unet, random, monkeypatch):
    monkeypatch.setattr(bound, "WORTH_SHARING_NS", 50_000.0)
    net = SelectiveNetwork.load(unet, threads=2)
    net.first(picture(random, net))
    shared: list[int] = []
    monkeypatch.setattr(Crew, "run", lambda self, kernel, runs, count, pixels, cost_ns: shared.append(pixels))
    net.next(picture(random, net), patches(random, net.input_shape[2:], 1))
    assert not shared
    net.next(picture(random, net), np.ones(net.input_shape[2:], bool))
    worth = [step for step in net._steps if isinstance(step, BoundStep) and step.pixel_ns * step.pixels > bound.WORTH_SHARING_NS]
    assert shared == [step.pixels for step in worth]
    assert 0 < len(worth) < len(net._steps)
