"""Which key blocks are worth a look, slow and plain: the oracle of `compiled/select.py`. In: means of blocks, weights. Out: weights, kept
sets. Keeps nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.blocks import Budget, Flags, Grid, Mask, Whole
from edgevision.kernels.forms import Float, Plane
from edgevision.kernels.plain.activations import exp
from edgevision.kernels.plain.attend import summed, weights_of
from edgevision.kernels.plain.exact import fma
from edgevision.kernels.plain.pack import mean_of, tokens_of

Exact = NDArray[np.float64]
STEPS = float(1 << 20)  # of a share


def coherence(plane: Plane, bounds: Whole, blocks: Whole, made: Float) -> None:
    """Into `made` (block, head) how alike the tokens of these blocks are: the mean product of two of them over the mean square of one.

    1 where they are equal or all 0, about 0 where they have nothing in common.
    """
    for block in blocks:
        tokens = tokens_of(plane, bounds[block], made.shape[1])
        mean, squares = mean_of(tokens), np.zeros(tokens.shape[1:], np.float32)
        with np.errstate(all="ignore"):
            for token in tokens:
                squares = fma(token, token, squares)
            own, all_of_them = np.zeros(len(mean), np.float32), np.zeros(len(mean), np.float32)
            for channel in range(mean.shape[1]):
                own = fma(mean[:, channel], mean[:, channel], own)
                all_of_them = all_of_them + squares[:, channel]
            count = np.float32(len(tokens))
            spread = all_of_them / count
            pairs = (own * count - spread) / (spread * np.float32(max(len(tokens) - 1, 1)))
            made[block] = np.where((spread == 0) | (len(tokens) == 1), np.float32(1), pairs)


def rank(queries: Float, keys: Float, grid: Grid, weights: Float) -> None:
    """Into `weights` (block, head, key block) how much attention the mean query of a block gives to each key block, by its mean key.

    e^score times its tokens, over the largest. `keys`: what Attend has packed, summaries included. Not a number becomes infinite: worth a
    look.
    """
    flat = _summaries(keys, grid)  # (head, channel, key block)
    scaled = queries * grid.scale
    total = np.zeros(weights.shape, np.float32)
    with np.errstate(all="ignore"):
        for channel in range(queries.shape[2]):
            total = fma(scaled[:, :, channel, None], flat[None, :, channel], total)
        scores = total + grid.summary_bias
        top = np.fmax.reduce(scores, axis=2, keepdims=True, initial=-np.inf)
        weights[...] = np.where(np.isnan(scores - top), np.float32(np.inf), exp(scores - top))


def _summaries(keys: Float, grid: Grid) -> Float:
    """(head, channel, key block)."""
    behind = keys[grid.blocks :].transpose(1, 0, 2, 3)  # (head, block of summaries, place, channel)
    return behind.reshape(grid.heads, -1, grid.head_dim)[:, : grid.blocks].transpose(0, 2, 1)


def choose(weights: Float, fixed: Flags, budget: Budget, mask: Flags) -> None:
    """Into `mask` (row, key block), which holds the sets so far, the new ones: see `blocks.Budget`. `fixed` (row, key block)."""
    for row, own in enumerate(weights):
        chosen = _best(own, fixed[row], budget)
        before = mask[row] != 0
        was, now = _worth(own, before), _worth(own, chosen)
        is_kept = before.any() and not (fixed[row] & ~before).any() and not now > was * np.float64(1 + budget.margin)
        if not budget.margin > 0 or not before.any():
            mask[row] = chosen
        elif not is_kept:
            mask[row] = _nearer(own, before, chosen, fixed[row] != 0, now / np.float64(1 + budget.margin))


def by_basis(logits: Exact, up: Exact, rule: tuple[float, int], shares: Exact, made: Float) -> None:
    """Into `made` (row, key block) the attention that a basis gives, in units of 1 / STEPS; into `shares` (row, basis) what of each place.

    `logits` (row, basis) and `up` (basis, key block) are whole numbers. `rule`: what logits are divided by, and how many places of a row's
    softmax count, the largest, the first of equals. What is left is whole numbers of 1 / STEPS, so that sums are exact in any order.
    """
    unit, top = rule
    powers = weights_of(((logits - logits.max(axis=1, keepdims=True)) / unit).astype(np.float32))
    shares[...] = np.rint(powers.astype(np.float64) / summed(powers).astype(np.float64)[:, None] * STEPS)
    order = np.argsort(-logits, axis=1, kind="stable")
    np.put_along_axis(shares, order[:, top:], 0.0, axis=1)
    made[...] = (shares @ up).astype(np.float32)


def _best(weights: Float, fixed: Flags, budget: Budget) -> Flags:
    chosen = (fixed != 0).astype(np.uint8)
    total = _worth(weights, np.ones(len(weights), np.bool_))
    held = _worth(weights, chosen)
    count = int(chosen.sum())
    for block in np.argsort(-weights, kind="stable"):
        enough = count >= budget.least and held >= budget.mass * total
        if count >= budget.most or (enough and budget.mass < 1):
            break
        if not chosen[block]:
            chosen[block], held, count = 1, held + np.float64(weights[block]), count + 1
    return np.asarray(chosen)


def _nearer(weights: Float, before: Mask, best: Flags, fixed: Mask, enough: float) -> Flags:
    """The set before, made like the best step by step until it holds all fixed ones and is worth enough."""
    made, wanted = before.copy(), best != 0
    while (made != wanted).any() and ((fixed & ~made).any() or not _worth(weights, made) >= enough):
        lacks, spare = np.flatnonzero(wanted & ~made), np.flatnonzero(made & ~wanted)
        if len(lacks):
            forced = lacks[fixed[lacks]]
            made[forced[0] if len(forced) else lacks[np.argmax(weights[lacks])]] = True
        if len(spare):
            made[spare[np.argmin(weights[spare])]] = False
    return made.astype(np.uint8)


def _worth(weights: Float, chosen: Flags | Mask) -> np.float64:
    """The weights of the chosen, added one after another."""
    total = np.float64(0)
    for weight in weights[np.asarray(chosen, np.bool_)]:
        total = total + np.float64(weight)
    return total
