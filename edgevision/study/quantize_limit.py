"""What `edgevision quantize` does where int8 loses too much: another way of choosing ranges, then some layers left float.

In: a function that quantises in a given way and measures. Out: the way that was taken last, whose file lies there. Keeps nothing.

The ways differ in what a network likes: NNCF's own cuts off rare values and corrects biases, which helps wide ranges with few
outliers; the plain one takes every value that occurs and leaves biases alone, which helps where the last levels matter: 8-bit pictures of
little contrast.
The better one is measured, not guessed. Then each layer is weighed alone; those that lose most are float from the first on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.study.deviation import Deviation

ROUNDS = 3  # of keeping more layers float
MOST_SHARE = 0.5  # of the multiplications that may stay float: beyond that, int8 is not worth it
AIM = 0.9  # of the limit, as losses of layers add up a little otherwise than on their own

Samples = Sequence[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Way:
    """How to quantise. `is_plain`: ranges of all values that occur, biases as they are; `kept`: names of layers that stay float."""

    is_plain: bool = False
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """The way taken; the share of the multiplications that stay float; the loss with all of them in int8."""

    way: Way
    share: float
    before: float


WAYS = (Way(), Way(is_plain=True))


def held_to(limit: float, make: Callable[[Way], float], model: Path, out: Path, samples: Samples) -> Held:
    """Quantise by `make`, which writes `out` and gives the root mean square loss, until that is within the limit, or no more may be kept.

    The last call of `make` is of the way that is told. `samples`: a few, by which layers are weighed.
    """
    losses = [make(WAYS[0])]
    if losses[0] <= limit:
        return Held(WAYS[0], 0.0, losses[0])
    losses.append(make(WAYS[1]))
    place = int(np.argmin(losses))
    way, before = WAYS[place], losses[place]
    if place == 0:
        make(way)
    if before <= limit:
        return Held(way, 0.0, before)
    return _kept_float(limit, make, Held(way, 0.0, before), ranked(model, out, samples))


def _kept_float(limit: float, make: Callable[[Way], float], held: Held, layers: Sequence[Any]) -> Held:
    """With the first of these layers, the most lossy first, float: as many as their losses say, more where that is not enough.

    Of all that was tried the one that loses least, where none holds the limit; that may be none float.
    """
    shares = np.cumsum([layer.macs for layer in layers]) / max(sum(layer.macs for layer in layers), 1.0)
    most = int(np.searchsorted(shares, MOST_SHARE, side="right"))
    count = min(needed([layer.loss for layer in layers], held.before, limit * AIM), most)
    tried = [(held.before, held)]
    for _ in range(ROUNDS if count else 0):
        kept = tuple(layer.name for layer in layers[:count])
        one = replace(held, way=replace(held.way, kept=kept), share=float(shares[count - 1]))
        tried.append((make(one.way), one))
        if tried[-1][0] <= limit or count == most:
            break
        count = min(2 * count, most)
    best = min(tried, key=lambda loss_and_held: loss_and_held[0])[1]
    if best is not tried[-1][1]:
        make(best.way)
    return best


def needed(losses: Sequence[float], before: float, aim: float) -> int:
    """How many of the losses, the greatest first, must go for the rest of `before` to be within `aim`; they add up as squares."""
    left = before**2 - np.cumsum(np.square(losses))
    enough = np.flatnonzero(left <= aim**2)
    return int(enough[0]) + 1 if enough.size else max(1, len(losses) // 4)


def ranked(model: Path, quantised: Path, samples: Samples) -> tuple[Any, ...]:
    """The layers with what each loses alone, the most lossy first."""
    from edgevision.study.peers.openvino_layers import answers, layers_of, with_one_quantised
    from edgevision.study.peers.openvino_model import read_model, simplify

    shape = tuple(samples[0].shape)
    plain = read_model(model, shape)
    simplify(plain)
    wanted = answers(plain, samples)
    found = []
    for layer in layers_of(plain):
        deviation = Deviation()
        got = answers(with_one_quantised(plain, lambda: read_model(quantised), layer.name), samples)
        for answer, reference in zip(got, wanted, strict=True):
            deviation.add(answer, reference)
        found.append(replace(layer, loss=deviation.rms or 0.0))
    return tuple(sorted(found, key=lambda layer: -layer.loss))
