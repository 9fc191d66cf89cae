"""A step's gate: how much its output may move without telling the next step. In: the share asked for, the plane. Out: the one number that
kernels read, set in place. Keeps nothing.
"""

from __future__ import annotations

import numpy as np

from edgevision.kernels.forms import Float, Plane
from edgevision.kernels.plain.store import decode


def open_gate(gate: Float | None) -> None:
    """Let everything through: the next call is a `first`. None: the step has no gate."""
    if gate is not None:
        gate[0] = -1.0


def learn_gate(gate: Float | None, share: float, target: Plane) -> None:
    """In the output's own units: `share` of the range that is seen in it now."""
    if gate is not None:
        values = decode(target.values, target.store)
        scale = float(values.max()) - float(values.min())
        gate[0] = share * scale if np.isfinite(scale) else 0.0
