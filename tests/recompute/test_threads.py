"""Threads: the same bits for any number of them, cameras in several threads do not meet, and none outlives its network."""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numba import njit, types

from edgevision.errors import InputError
from edgevision.kernels.compiled import crew
from edgevision.kernels.compiled.crew import Crew
from edgevision.kernels.compiled.jit import specialize
from edgevision.kernels.compiled.native import NativeKernel, unpack
from edgevision.kernels.compiled.share import MOST_SHARES, cut_evenly, share
from edgevision.recompute.engine import SelectiveNetwork
from tests.recompute.test_engine import patches, picture, same_memory
from tests.recompute.test_random_graphs import build, recipes


@pytest.fixture
def share_all(monkeypatch):
    """Even the smallest step is shared."""
    monkeypatch.setattr(crew, "WORTH_SHARING_NS", 0)
    monkeypatch.setattr(crew, "SHARE_NS", 1)


def own_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("edgevision-kernel")}


def edges_of(pixels: list[int], shares: int) -> list[int]:
    runs, edges = np.zeros((len(pixels), 3), np.int32), np.zeros(MOST_SHARES + 1, np.int64)
    runs[:, 2] = pixels
    return edges[: cut_evenly(runs, 0, len(pixels), shares, edges) + 1].tolist()


def test_shares_cover_all_runs_once_in_about_equal_pixels():
    assert edges_of([40, 1, 1, 1, 1, 1, 1, 1, 40], 2) == [0, 5, 9]
    assert edges_of([40], 4) == [0, 1]
    assert edges_of([1, 100, 1, 1], 3) == [0, 2, 4]
    edges = edges_of([3] * 50, 7)
    assert np.diff(edges).tolist() == [8, 7, 7, 7, 7, 7, 7]


@njit(nogil=True)
def note(runs, begin, end, done):
    for run in range(begin, end):
        done[run] += 1


def test_every_run_is_done_once_whoever_does_it():
    done, runs = np.zeros(3000, np.int64), np.ones((3000, 3), np.int32)
    number = types.int64
    kernel = NativeKernel(note, (types.int32[:, ::1], number, number, number[::1]), (done,), None)
    link, team = np.array([*kernel.over(runs), 0], np.int64), Crew(4)
    runs[:, 1] = 0
    code = specialize(share, (number, number[::1], types.int32[:, ::1], number, number, number, number[::1]))
    assert team.hold()
    for _ in range(300):
        code(team.board.ctypes.data, link, runs, 10, 3000, 60, team.system)
    team.release()
    assert (done[10:] == 300).all()
    assert not done[:10].any()


def test_a_kernel_that_fails_says_so():
    @njit(nogil=True)
    def broken(runs, begin, end):
        raise ValueError

    runs, number = np.zeros((1, 3), np.int32), types.int64
    kernel = NativeKernel(broken, (types.int32[:, ::1], number, number), (), None)
    status = np.zeros(1, np.int64)
    code = specialize(unpack, (*[number] * 5, kernel.arguments))
    code(*kernel.over(runs)[1:], 0, 1, status.ctypes.data, None)
    assert status[0] != 0


def test_who_finds_the_helpers_busy_works_alone():
    team = Crew(2)
    assert team.hold()
    assert not team.hold()
    team.release()
    assert team.hold()
    team.release()
    assert not Crew(1).hold()


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
    assert own_threads() <= before  # others may be on their way out
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


def test_an_interrupted_call_leaves_an_empty_memory(unet, random):
    net = SelectiveNetwork.load(unet)
    net.first(picture(random, net))
    stages = net._stages

    def interrupted(everything):
        raise KeyboardInterrupt

    net._stages = (interrupted,)
    with pytest.raises(KeyboardInterrupt):
        net.next(picture(random, net), patches(random, net.input_shape[2:]))
    net._stages = stages
    with pytest.raises(InputError, match="Memory is empty"):
        net.next(picture(random, net), patches(random, net.input_shape[2:]))
    net.first(picture(random, net))


_LIVES = """
import gc, os, sys, threading
import numpy as np
from edgevision.kernels.compiled import crew
crew.WORTH_SHARING_NS, crew.SHARE_NS = 0, 1
from edgevision.recompute.engine import SelectiveNetwork

net = SelectiveNetwork.load(sys.argv[1], threads=3)
x = np.random.default_rng(0).standard_normal((9, *net.input_shape)).astype(np.float32)
live = np.random.default_rng(1).random(net.input_shape[2:]) < 0.2

def watch(begin):
    for picture in x[begin:]:
        out = net.next(picture, live)["defect"].tobytes() if begin else net.first(picture)["defect"].tobytes()
        begin = begin or 1
    return out

wanted = watch(0)
ended, answers = threading.Thread(target=lambda: answers.append(watch(0))), []
ended.start()
ended.join()
assert answers == [wanted], "begun in a thread that has ended"
net.first(x[0])
child = os.fork()
same = watch(1) == wanted
if child == 0:
    del net
    gc.collect()
    os._exit(0 if same else 3)
assert same, "a parent after its fork"
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "a child with the helpers of its parent"
assert watch(1) == watch(0) == wanted, "again in this thread"
"""


def test_a_network_outlives_the_thread_that_began_it_and_works_on_in_a_fork(unet):
    """In a process of its own: it forks while helpers are asleep, and must end by itself with them."""
    done = subprocess.run([sys.executable, "-c", _LIVES, str(unet)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
