"""Few-shot for a surface that fills its picture: how unlike good ones each place is, told by features that a network has learnt elsewhere.

In: good pictures, some bad ones, a surface network's file. Out: what good ones show, which `likeness_file.py` makes a network of. Keeps
nothing.

Nothing is trained. The way down of the network gives each place of 16 x 16 pixels its features, and `grain.py` how the grain goes on there.
What good places show is the mean and the covariance of both (Mahalanobis' distance), for the rim, the two places beside it, and the middle
apart: what is usual at a rim is a defect within. How unlike good ones a picture is, is told by its farthest place by features times the
farthest by grain, with what lies beside it across the grain: what is odd in one way only counts less. How far is said to be wrong, is set
by good pictures that were left out of the means, and by the bad ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from edgevision.errors import InputError
from edgevision.networks.reach import REACH_STRIDE, ReachSpec, reach_layers
from edgevision.networks.unet import Layer
from edgevision.study.train.recipes.begin import weights_in
from edgevision.study.train.recipes.grain import grain_of, runs_down
from edgevision.study.train.recipes.lessons import batch_images
from edgevision.study.train.recipes.variation import Bytes

Floats = NDArray[np.float32]
Weights = Mapping[str, tuple[Floats, Floats]]
ZONES = 6
SHRUNK = 0.1  # of the mean variance, added to each: 20 pictures tell few directions well
LEFT_OUT = 5  # parts of the good pictures, each left out once
FAR = 2.0  # the logit of a usual bad picture; of a usual good one its negative
NOWHERE, NEAR = -10.0, 2.0  # how far a picture is where no place of it can be told; where distances begin to count
ROW = 2.0  # by how much more a row across the grain counts than one of its places
JOINED = (("deep_5", 1), ("eighth", 2), ("quarter", 4))  # layers whose features are joined, and over how many of their pixels a side


@dataclass(frozen=True, slots=True)
class Usual:
    """What good places of one zone show: `turn` (features, features) makes a deviation from `mean` a distance; it is counted from `least`
    on, in units of `spread`."""

    mean: Floats
    turn: Floats
    least: float
    spread: float


@dataclass(frozen=True, slots=True)
class Shown:
    """What a picture shows, place by place: `features` (features, rows, columns) and `grain` (2, rows, columns)."""

    features: Floats
    grain: Floats


@dataclass(frozen=True, slots=True)
class Likeness:
    """What good pictures show, by zone, and how a distance is said: `even` with 0.5, a unit more by `steepness` in log odds."""

    features: tuple[Usual, ...]
    grain: tuple[Usual, ...]
    is_upright: bool
    even: float = 0.0
    steepness: float = 1.0


def way_down() -> tuple[Layer, ...]:
    """The layers of the network that are run."""
    steps = reach_layers(ReachSpec())
    last = next(number for number, step in enumerate(steps) if step.name == JOINED[0][0])
    return steps[: last + 1]


def features(image: Bytes, weights: Weights) -> Floats:
    """(features, rows, columns) of a picture (H, W, 3), a row and column for 16 pixels; it is filled up as the engine does."""
    room = tuple(-side % REACH_STRIDE for side in image.shape[:2])
    filled = cv2.copyMakeBorder(image, 0, room[0], 0, room[1], cv2.BORDER_REPLICATE)
    values = {"image": batch_images(np.asarray(filled, np.uint8)[None])}
    with torch.no_grad():
        for step in way_down():
            first = values[step.inputs[0]]
            if step.op == "add":
                values[step.name] = first + values[step.inputs[1]]
                continue
            weight, bias = (torch.from_numpy(np.array(one)) for one in weights[step.name])
            values[step.name] = torch.relu(functional.conv2d(first, weight, bias, step.stride, step.dilation, step.dilation))
        joined = torch.cat([functional.avg_pool2d(values[name], side) for name, side in JOINED], dim=1)
        return np.asarray(torch.sqrt(joined)[0].numpy())


def zones_of(rows: int, columns: int) -> NDArray[np.intp]:
    """Each place's zone: 0 the first and last row, 1 column, 2 and 3 those beside them, 4 the ones beside these, 5 the middle."""
    y, x = np.mgrid[:rows, :columns]
    down, along = np.minimum(y, rows - 1 - y), np.minimum(x, columns - 1 - x)
    rims = [down == 0, along == 0, down == 1, along == 1, (down == 2) | (along == 2)]
    return np.asarray(np.select(rims, range(5), 5), np.intp)


def usual(pictures: Sequence[Floats]) -> tuple[Usual, ...]:
    """What each zone shows in good pictures' features."""
    zones = [zones_of(*one.shape[1:]) for one in pictures]
    whole = np.concatenate([one.reshape(one.shape[0], -1).T for one in pictures])
    found = []
    for zone in range(ZONES):
        own = np.concatenate([one[:, where == zone].T for one, where in zip(pictures, zones, strict=True)])
        own = own if len(own) > 1 else whole  # a picture that is too small to have such places
        mean = own.mean(axis=0)
        variances, directions = np.linalg.eigh(np.cov(own.T))
        turn = directions / np.sqrt(np.maximum(variances, 0) + SHRUNK * variances.mean() + 1e-9)
        far = np.linalg.norm((own - mean) @ turn, axis=1)
        found.append(Usual(mean, turn.astype(np.float32), float(np.median(far)), float(far.std()) + 1e-6))
    return tuple(found)


def distances(picture: Floats, known: Sequence[Usual]) -> Floats:
    """(rows, columns): how unlike good ones each place is."""
    zones = zones_of(*picture.shape[1:])
    far = np.zeros(zones.shape, np.float32)
    for zone, one in enumerate(known):
        deviations = (picture[:, zones == zone].T - one.mean) @ one.turn
        far[zones == zone] = (np.linalg.norm(deviations, axis=1) - one.least) / one.spread
    return far


def broken_off(far: Floats, *, is_upright: bool) -> Floats:
    """How unlike good ones the grain is, by its places' distances: of each and of all beside it across the grain. Not at the two rims where
    it ends."""
    along = far if is_upright else far.T
    return np.asarray(along[1:-1] + ROW * along.mean(axis=1, keepdims=True)[1:-1], np.float32)


def unlike(shown: Shown, known: Likeness) -> float:
    """How unlike good ones a picture is."""
    grain = broken_off(distances(shown.grain, known.grain), is_upright=known.is_upright)
    return sum(float(np.log(max(far.max(initial=NOWHERE) + NEAR, 0) + 1)) for far in (distances(shown.features, known.features), grain))


def shown_in(image: Bytes, weights: Weights, *, is_upright: bool) -> Shown:
    """What a picture (H, W, 3) shows."""
    return Shown(features(image, weights), grain_of(image, is_upright=is_upright))


def usual_in(views: Sequence[Shown], *, is_upright: bool) -> Likeness:
    """What good ones show."""
    return Likeness(usual([one.features for one in views]), usual([one.grain for one in views]), is_upright)


def learn_likeness(good: Sequence[Bytes], bad: Sequence[Bytes], begin: Path) -> Likeness:
    """What is usual, and how a distance from it is said. Raises InputError for a file of another network."""
    weights = weights_in(begin)
    if any(step.op == "conv" and step.name not in weights for step in way_down()):
        raise InputError(f"{begin}: is no surface network; give the one that ships, or one that `edgevision train --recipe surface` wrote")
    is_upright = runs_down(good)
    seen = [[shown_in(np.ascontiguousarray(one), weights, is_upright=is_upright) for one in mirrored(image)] for image in good]
    known = usual_in([one for views in seen for one in views], is_upright=is_upright)
    left_out = []
    for part in range(LEFT_OUT):
        rest = [one for number, views in enumerate(seen) if number % LEFT_OUT != part for one in views]
        without = usual_in(rest, is_upright=is_upright)
        left_out += [unlike(views[0], without) for views in seen[part::LEFT_OUT]]
    low, high = float(np.median(left_out)), float(np.median([unlike(shown_in(one, weights, is_upright=is_upright), known) for one in bad]))
    if high <= low:  # they cannot be told apart: only what is farther than all good ones is said
        low, high = low, 2 * max(left_out) - low + 1e-3
    return replace(known, even=(low + high) / 2, steepness=2 * FAR / (high - low))


def mirrored(image: Bytes) -> tuple[Bytes, ...]:
    """The picture as it is, upside down, left to right, and both: four times as many places to learn from."""
    return image, image[::-1], image[:, ::-1], image[::-1, ::-1]
