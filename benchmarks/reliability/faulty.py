"""Faults put into one camera's running pipeline, each as something in the field could cause it, and taken out again.

In: a Pipeline that has inspected a frame, a random generator. Out: a function that mends it. Nothing of the product is changed: what is
bent is this one object. Used by `faults.py`, in its own process or as a plugin inside the service's worker, and by tests.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgevision.pipeline import Pipeline

Mend = Callable[[], None]
BLIND_SHARE = 0.45  # of the picture's height and width, about its middle, where parts are looked at


def memory_bit(pipe: Pipeline, random: np.random.Generator) -> Mend:
    """One bit of one value of one step turns over, as in a memory without ECC."""
    return flip_bits(pipe, random, 1)


def memory_bits(pipe: Pipeline, random: np.random.Generator) -> Mend:
    """Sixty-four bits of one step turn over, side by side: somebody else's write."""
    return flip_bits(pipe, random, 64)


def flip_bits(pipe: Pipeline, random: np.random.Generator, count: int) -> Mend:
    net: Any = pipe.network
    step = net.plan.steps[int(random.integers(0, len(net.plan.steps)))]
    values = net._memory.planes[step.target].values  # (row, column, channel) float32
    row = values[int(random.integers(0, values.shape[0] // 10 + 1))].view(np.uint32)  # above the belt: elsewhere it is soon written over
    start = int(random.integers(0, max(1, row.shape[0] - count)))
    row[start : start + count, int(random.integers(0, row.shape[1]))] ^= np.uint32(1 << 22)
    return lambda: None


def kernel_skips(pipe: Pipeline, random: np.random.Generator) -> Mend:
    """A kernel leaves one live pixel in ten as it was, in one step of the network."""
    net: Any = pipe.network
    step = net.plan.steps[int(random.integers(0, len(net.plan.steps)))]
    plane, right = net._memory.planes[step.target], net.next

    def wrong(x: Any, live: Any) -> Any:
        before = plane.values.copy()
        outputs = right(x, live)
        rows, columns = np.nonzero(plane.live)
        skipped = random.random(rows.size) < 0.1
        plane.values[rows[skipped], columns[skipped]] = before[rows[skipped], columns[skipped]]
        return outputs

    net.next = wrong
    return lambda: net.__dict__.pop("next", None)


def intake_skips(pipe: Pipeline, random: np.random.Generator) -> Mend:
    """One live pixel in three never reaches the network, although the change map takes it for handed over."""
    net: Any = pipe.network
    right = net.next
    net.next = lambda x, live: right(x, live & (random.random(live.shape) > 1 / 3))
    return lambda: net.__dict__.pop("next", None)


def blind_region(pipe: Pipeline, random: np.random.Generator) -> Mend:
    """The change map sees nothing in the middle of the picture, not even when a band is forced."""
    return blind(pipe, BLIND_SHARE)


def blind_whole(pipe: Pipeline, random: np.random.Generator) -> Mend:
    """The change map sees nothing at all."""
    return blind(pipe, 1.0)


def blind(pipe: Pipeline, share: float) -> Mend:
    detector: Any = pipe._detector
    kernels = detector._kernels

    def without(call: Callable[..., Any]) -> Callable[..., Any]:
        def blinded(*arguments: Any) -> int:
            call(*arguments)
            mask, first, last = arguments[-3:]
            height, width = mask.shape
            top, left = (round(side * (1 - share) / 2) for side in (height, width))
            mask[top : height - top, left : width - left] = False
            return int(kernels.find_extents(mask, first, last))

        return blinded

    names = {name: getattr(kernels, name) for name in dir(kernels) if not name.startswith("__")}
    seeing = ("grow_live", "force_live", "force_tiles")
    detector._kernels = SimpleNamespace(**names | {name: without(names[name]) for name in seeing})

    def mend() -> None:
        detector._kernels = kernels

    return mend


def thresholds_high(pipe: Pipeline, random: np.random.Generator) -> Mend:
    """Somebody has set the thresholds of change far too high: a pixel must move by 120 gray levels."""
    detector: Any = pipe._detector
    before = detector.settings
    anew = before.model_copy(update={"pixel_threshold": 120, "faint_sigmas": 0.0, "settle_frames": 0})
    detector.retune(anew)
    detector._set_tolerances(detector._background, (0, detector._background.shape[0]))
    return lambda: detector.retune(before)


def output_frozen(pipe: Pipeline, random: np.random.Generator) -> Mend:
    """The network answers what it answered before, whatever it is given, run whole or not."""
    net: Any = pipe.network
    kept = {name: array.copy() for name, array in net._results().items()}
    net.next = lambda x, live: kept
    net.first = lambda x: kept

    def mend() -> None:
        net.__dict__.pop("next", None)
        net.__dict__.pop("first", None)
        net.reset()
        pipe.forget_scene()

    return mend


def answer_stale(pipe: Pipeline, random: np.random.Generator) -> Mend:
    """The network runs as it should, but what is handed out is its answer of then, for whole runs, too."""
    net: Any = pipe.network
    kept, right, right_first = {name: array.copy() for name, array in net._results().items()}, net.next, net.first

    def stale(run: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            run(*arguments)
            return kept

        return called

    net.next, net.first = stale(right), stale(right_first)

    def mend() -> None:
        net.__dict__.pop("next", None)
        net.__dict__.pop("first", None)
        pipe.forget_scene()

    return mend


KINDS: dict[str, Callable[[Pipeline, np.random.Generator], Mend]] = {
    made.__name__: made
    for made in (
        memory_bit, memory_bits, kernel_skips, intake_skips, blind_region, blind_whole, thresholds_high, output_frozen, answer_stale,
    )
}  # fmt: skip
