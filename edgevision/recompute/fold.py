"""What one form can take in of the next: pure functions from forms to forms. None where it cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import UnsupportedNetwork
from edgevision.kernels.forms import Activation, Broadcast, Combine, Convolve, Form, Pick, Pool, Resize, Store, Total, Window

IDENTITY = Activation()
_CLOSE = 1e-6


def activated(form: Form, following: Combine) -> Form | None:
    """`form` with the following activation, or bound, in its own loop."""
    if not isinstance(form, Convolve | Combine | Broadcast | Pick | Total):
        return None
    if following.op == "copy" and form.activation == IDENTITY:
        return replace(form, activation=following.activation)
    bounded = _bounded(form.activation, following)
    return None if bounded is None else replace(form, activation=bounded)


def _bounded(activation: Activation, bound: Combine) -> Activation | None:
    """max(v, low), then min(v, high), of constants, as one clamp."""
    if bound.constant is None or bound.activation != IDENTITY or bound.op not in ("max", "min") or np.unique(bound.constant).size != 1:
        return None
    limit = float(bound.constant[0])
    if bound.op == "max" and activation == IDENTITY:
        return Activation("relu") if limit == 0 else Activation("clamp", limit, float("inf"))
    if bound.op == "min" and activation == IDENTITY:
        return Activation("clamp", float("-inf"), limit)
    if bound.op == "min" and activation.kind == "relu" and limit >= 0:
        return Activation("clamp", 0.0, limit)
    if bound.op == "min" and activation.kind == "clamp" and activation.beta == float("inf") and limit >= activation.alpha:
        return Activation("clamp", activation.alpha, limit)
    return None


def is_positive(form: Form) -> bool:
    """Whether no value of the form is negative."""
    activation = getattr(form, "activation", IDENTITY)
    return activation.kind == "relu" or (activation.kind == "clamp" and activation.alpha >= 0)


def on_grid(form: Form, store: Store, scale: NDArray[np.float64]) -> Convolve | None:
    """The convolution with each output channel counted in its own `scale`, to be held in `store`, whose range does what a clamp did."""
    if not isinstance(form, Convolve) or form.residual:
        return None
    low, high = -store.zero * scale, (255 - store.zero) * scale
    activation = form.activation
    if activation.kind == "clamp":
        if np.any(low * (1 - np.sign(low) * _CLOSE) < activation.alpha) or np.any(high > activation.beta * (1 + _CLOSE)):
            return None
        activation = IDENTITY
    if activation.kind not in ("none", "relu"):
        return None
    inverse = (1 / scale).astype(np.float32)
    if form.factors is not None:
        return replace(form, factors=form.factors * inverse, bias=form.bias * inverse, activation=activation)
    return replace(form, weights=form.weights * inverse[:, None, None, None], bias=form.bias * inverse, activation=activation)


def spread(scale: NDArray[np.float64], shift: NDArray[np.float64]) -> Convolve:
    """Each channel times its own number, and another added."""
    factors = scale.astype(np.float32)
    return Convolve(Window((1, 1)), factors.reshape(-1, 1, 1, 1), shift.astype(np.float32), groups=len(factors))


def only_moves(form: Form) -> bool:
    """Whether the form computes nothing, so that bytes stay the bytes they were."""
    if isinstance(form, Pick):
        return form.activation == IDENTITY
    return (isinstance(form, Pool) and form.mode == "max") or (isinstance(form, Resize) and form.is_nearest)


def origins(pick: Pick, channels: int) -> NDArray[np.int64] | None:
    """For each of the source's channels the channel that it becomes; None where some become several, none, or zeros from outside."""
    if pick.rows.min() < 0 or pick.columns.min() < 0 or pick.taps[:, 2].min() < 0:
        return None
    becomes = np.full(channels, -1)
    for down in np.unique(pick.row_channel):
        for across in np.unique(pick.column_channel):
            places = pick.taps[:, 2] + down + across
            if np.any((becomes[places] >= 0) & (becomes[places] != np.arange(len(places)))):
                return None
            becomes[places] = np.arange(len(places))
    return None if np.any(becomes < 0) else becomes


def before_pick(form: Form, following: Combine, becomes: NDArray[np.int64]) -> Convolve | None:
    """A convolution whose channels are dealt out afterwards, with what was to follow that. `becomes`: as `origins` says."""
    if not isinstance(form, Convolve):
        return None
    own = following if following.constant is None else replace(following, constant=np.ascontiguousarray(following.constant[becomes]))
    folded = activated(form, own) or absorb(form, own)
    return folded if isinstance(folded, Convolve) else None


def absorb(form: Convolve, following: Combine) -> Convolve | None:
    """`following` applied to the convolution's sum, as new weights and bias."""
    constant = following.constant
    if constant is None or following.swapped or form.residual or form.activation != IDENTITY:
        return None
    if following.op == "add":
        return replace(form, bias=form.bias + constant)
    if following.op == "sub":
        return replace(form, bias=form.bias - constant)
    if following.op in ("mul", "div"):
        factor = constant if following.op == "mul" else (np.float32(1) / constant).astype(np.float32)
        if form.factors is not None:
            return replace(form, factors=form.factors * factor, bias=form.bias * factor)
        return replace(form, weights=form.weights * factor[:, None, None, None], bias=form.bias * factor)
    return None


def scale_and_shift(scale: Form, shift: Form) -> Convolve:
    """x * scale + shift as a 1x1 depthwise convolution."""
    factors, offsets = getattr(scale, "constant", None), getattr(shift, "constant", None)
    if factors is None or offsets is None:
        raise UnsupportedNetwork("two forms in a row are only a scale and a shift")
    return Convolve(Window((1, 1)), factors.reshape(-1, 1, 1, 1), offsets, groups=len(factors))
