"""A frame laid beside its template, compiled: the same bits as `plain/beside.py`, which documents it.

Few pixels are live, so that eight flags are looked at together.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.compiled.jit import kernel

EIGHT = 8


@kernel
def _lay(first, last, gray, template, live, room):
    for at in range(first, last):
        if live[at] != 0:
            seen, taught = gray[at], template[at]
            room[at, 0] = seen
            room[at, 1] = taught
            room[at, 2] = seen - taught if seen > taught else taught - seen


@kernel
def _lay_eights(eights, gray, template, live, room):
    for eight in range(len(eights)):
        if eights[eight] != 0:
            _lay(EIGHT * eight, EIGHT * eight + EIGHT, gray, template, live, room)
    _lay(EIGHT * len(eights), len(live), gray, template, live, room)


def lay_beside(gray: NDArray[Any], template: NDArray[Any], live: NDArray[Any], room: NDArray[Any]) -> None:
    """See `plain/beside.py`."""
    whole = len(live) // EIGHT * EIGHT
    _lay_eights(live[:whole].view(np.uint64), gray, template, live, room)
