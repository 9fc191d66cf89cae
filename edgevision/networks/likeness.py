"""How like each name what is seen is: what places a name that is added to a head. In: the head's memory. Out: weights. Keeps nothing.

The memory holds, of each crop that names were learnt from, the mean of its tokens and which picture it was cut from. Crops of a name are
taken to lie about their mean, all names with one covariance S, drawn a little towards equal for all channels (a linear discriminant):

    like(e, name) = e . w + b,      w = S^-1 mean of the name,  b = -w . mean / 2,      e the mean of the tokens

A name that was added answers where it leads every other name by more than its margin, which may be below 0. It is set so that of the
others' crops in the memory at most one in two hundred goes over, each judged by what was learnt from other pictures than its own. There is
nothing random in it, and no step size: ten pictures are too few for either.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

EVEN = 0.01  # share of the covariance that is equal for all channels
LOST = 0.005  # of the crops of other names
FOLDS = 5
Whole = NDArray[np.int64]
Wide = NDArray[np.float64]
Means = NDArray[np.floating[Any]]


def likeness(means: Means, shown: Whole, names: int) -> Wide:
    """(name, channel + 1): w and b of each. `means` (crop, channel), `shown` (crop,): which name; every name is shown."""
    wide = means.astype(np.float64)
    middles = np.stack([wide[shown == name].mean(axis=0) for name in range(names)])
    off = wide - middles[shown]
    spread = off.T @ off / len(off)
    spread = (1 - EVEN) * spread + EVEN * np.trace(spread) / len(spread) * np.eye(len(spread))
    weights = np.linalg.solve(spread, middles.T).T
    return np.concatenate([weights, -0.5 * (weights * middles).sum(axis=1, keepdims=True)], axis=1)


def likes(weights: Means, means: Means) -> Wide:
    """(..., name): how like each name means (..., channel) are."""
    made: Wide = np.einsum("...c,nc->...n", means.astype(np.float64), weights[:, :-1].astype(np.float64), optimize=False) + weights[:, -1]
    return made


def lead(found: Wide, name: int) -> Wide:
    """(...,): by how much it is liker than every other."""
    made: Wide = found[..., name] - np.delete(found, name, axis=-1).max(axis=-1)
    return made


def margin(means: Means, shown: Whole, parts: Whole, name: int) -> float:
    """By how much a name must lead, so that others in the memory are left alone. `parts` (crop,): the picture."""
    names, leads = int(shown.max()) + 1, []
    fold = _folds(shown, parts)
    for one in range(FOLDS):
        learnt, judged = fold != one, (fold == one) & (shown != name)
        leads.append(lead(likes(likeness(means[learnt], shown[learnt], names), means[judged]), name))
    return float(np.quantile(np.concatenate(leads), 1 - LOST))


def _folds(shown: Whole, parts: Whole) -> Whole:
    """(crop,): pictures of each name dealt out in turn, so that every fold lacks some of every name and none of them all."""
    fold = np.zeros(len(parts), np.int64)
    for name in np.unique(shown):
        own = np.unique(parts[shown == name])
        for number, part in enumerate(own):
            fold[(shown == name) & (parts == part)] = number % FOLDS
    return fold
