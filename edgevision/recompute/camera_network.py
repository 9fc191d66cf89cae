"""What both engines promise, so that pipeline, audits and loading may hold either: `SelectiveNetwork` and `SpliceNetwork`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from edgevision.recompute.call import Call, Window
from edgevision.recompute.preprocess import Preprocess
from edgevision.records import Box, Costs, Mask


class CameraNetwork(Protocol):
    """A network watching one camera. Not for two threads at once. Its `plan` prints how it runs, and why."""

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(1, C, H, W)."""

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of each output by name."""

    @property
    def plan(self) -> object:
        """Prints itself."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the file says of itself."""

    @property
    def sha256(self) -> str:
        """Of the network file."""

    @property
    def preprocess(self) -> Preprocess | None:
        """How frames are taken in; None while tensors are."""

    @property
    def changed(self) -> dict[str, Box | None]:
        """By output: the box of its pixels that may differ from before the last call, or None."""

    @property
    def costs(self) -> Costs:
        """What the last call cost."""

    @property
    def sight_px(self) -> int | None:
        """How far about a place of the pictures that it is now given an answer there sees; None where nobody knows."""

    def set_preprocess(self, settings: Preprocess | None = None) -> None:
        """From now on `first` and `next` take 8-bit frames. Forgets the Memory."""

    def first(self, x: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Run the whole network."""

    def next(self, x: NDArray[Any], live: Mask) -> dict[str, NDArray[np.float32]]:
        """Take `x` where `live` and run what that needs. Raises InputError before `first`."""

    def reset(self) -> None:
        """Forget the scene: the next call must be `first`."""

    def verify(self, window: Window = ..., call: Call | None = None) -> dict[str, int]:
        """Run a patch again: by name, how many pixels are not what they must be; {} if sound. With the last `call`, what went in and
        came out, too."""

    def used(self) -> NDArray[np.float32]:
        """A copy of the input in use, (1, C, H, W)."""

    def sibling(self, has_foreign: bool = True) -> Self:
        """The same network for another camera, with a Memory of its own. Without `has_foreign`: never whole in OpenVINO instead."""
