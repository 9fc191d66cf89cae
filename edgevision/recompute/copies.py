"""A picture of a Memory as the tensor of the file that it is: what islands read, and what the caller is given.

In: a Memory, a Ref. Out: arrays in the tensor's own order. Keeps how they are made, which is found out once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.plain.store import decode
from edgevision.recompute.arrangement import Arrangement
from edgevision.recompute.memory import Memory
from edgevision.recompute.plan import Ref


class TensorOf:
    """The tensor `name`, which lies in the channels `ref`. `leaves`: the planes whose live bytes tell of it."""

    def __init__(self, memory: Memory, name: str, ref: Ref) -> None:
        whole = memory.plan.tensors[ref.tensor]
        arrangement = memory.plan.arrangements.get(name) or Arrangement.plain(ref.channels, whole.height, whole.width)
        self._memory, self._ref, self.leaves = memory, ref, tuple(memory.leaves(ref))
        self._recipe, self._shape, self._is_plain = arrangement.recipe(), arrangement.shape, arrangement.is_plain
        self._made: NDArray[np.float32] | None = None

    @property
    def is_live(self) -> bool:
        """Whether any of its pixels changed in the last call."""
        return any(plane.live_px for plane in self.leaves)

    def copy_to(self, array: NDArray[Any]) -> None:
        """Write it to an array of its shape, of any type, that lies in one piece."""
        numbers = self._recipe.of(self._values())
        np.copyto(array.reshape(numbers.shape), numbers, casting="unsafe")

    def array(self, has_changed: bool) -> NDArray[np.float32]:
        """It as an array: a view if the picture is the tensor as it is, else a copy, the last one unless something `has_changed` since."""
        if self._is_plain:
            return self._values().transpose(2, 0, 1)[None]
        if self._made is None or has_changed:
            self._made = self._recipe.of(self._values()).reshape(self._shape)
        return self._made

    def _values(self) -> NDArray[np.float32]:
        plane = self._memory.view(self._ref)
        return decode(plane.values, plane.store)
