"""What the network is shown and what it makes of it, in a few numbers of a sample. In: a frame, its light, a network. Out: vectors by name.

A sample costs some 0.2 ms and is taken now and then: rows here and there of the picture, brought to the light that the network sees, and
some pixels of two of its own steps as they lie in Memory. Keeps random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.recompute.camera_network import CameraNetwork
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.plan import Step
from edgevision.records import Box, Image

Vector = NDArray[np.float64]

ROWS = 24  # of the picture that are looked at, at most
LEVELS = 256
BANDS, FIELDS = 4, 6  # into which the picture is divided to see what is uneven
NEAR_PX, FAR_PX = 1, 4
EDGES = 0.995  # the quantile of differences that is taken for an edge's
PIXELS = 256  # of a step
LEAST = 1e-3


class Light(NamedTuple):
    """How the frame is brought to the reference's light, and the camera's noise (gray levels, one sigma; None: not known yet)."""

    gain: float
    offset: float
    noise: float | None


class Door:
    """One camera's. `box` is what of the picture counts, `bits` what the camera delivers in a value."""

    def __init__(self, box: Box | None = None, bits: int | None = None, seed: int = 0) -> None:
        self._box, self._shift = box, (bits or 16) - 8
        self._random = np.random.default_rng(seed)

    def sample(self, image: Image, light: Light, network: CameraNetwork | None) -> dict[str, Vector]:
        """Every statistic of this frame; those of the network's steps where it keeps them."""
        values = self._of_picture(image, light)
        if isinstance(network, SelectiveNetwork):
            values |= self._of_steps(network)
        return values

    def _of_picture(self, image: Image, light: Light) -> dict[str, Vector]:
        rows = self._rows(image)  # (row, column[, channel]), uint8
        gray = rows if rows.ndim == 2 else np.ascontiguousarray(rows[:, :, rows.shape[2] // 2])
        mean, spread = (float(value[0, 0]) for value in cv2.meanStdDev(gray))
        values = {
            "light": np.array([mean]),
            "brightness": np.array([mean * light.gain + light.offset]),
            "contrast": np.array([spread * light.gain]),
            "sharpness": np.array([sharpness(gray)]),
            "evenness": evenness(gray, mean),
        }
        if light.noise is not None:
            values["noise"] = np.array([light.noise * light.gain])
        if rows.ndim == 3 and rows.shape[2] == 3:
            blue, green, red, _ = cv2.mean(rows)
            values["colour"] = np.array([blue, red]) / max(green, LEAST)
        return values

    def _rows(self, image: Image) -> NDArray[np.uint8]:
        """One row, any of them, from each of ROWS bands of what counts."""
        x1, y1, x2, y2 = self._box or (0, 0, image.shape[1], image.shape[0])
        count = min(ROWS, y2 - y1)
        places = y1 + ((np.arange(count) + self._random.random(count)) * ((y2 - y1) / count)).astype(np.intp)
        rows = image[places, x1:x2]
        deep: NDArray[Any] = rows if rows.dtype == np.uint8 else np.minimum(rows >> self._shift, 255)
        return deep.astype(np.uint8, copy=False)

    def _of_steps(self, network: SelectiveNetwork) -> dict[str, Vector]:
        means, spreads = [], []
        for tensor in looked_at(network):
            shape = network.plan.tensors[tensor]
            rows, columns = (self._random.integers(0, side, PIXELS) for side in (shape.height, shape.width))
            values = network.peek(tensor, rows, columns)
            means.append(values.mean(axis=0))
            spreads.append(values.std(axis=0))
        if not means:
            return {}
        return {"features": np.concatenate(means).astype(np.float64), "spread": np.concatenate(spreads).astype(np.float64)}


def looked_at(network: SelectiveNetwork) -> tuple[str, ...]:
    """The tensors whose features are watched: where the picture is smallest, and what the last step reads."""
    steps = [step for step in network.plan.steps if isinstance(step, Step)]
    if len(steps) < 3:
        return ()
    tensors: Mapping[str, Any] = network.plan.tensors
    deepest = min(steps, key=lambda step: tensors[step.target].height * tensors[step.target].width)
    return tuple(dict.fromkeys((deepest.target, steps[-2].target)))


def sharpness(gray: NDArray[np.uint8]) -> float:
    """How steep edges are: what is crossed within a pixel over what is crossed within four, by the strongest differences along rows."""
    near, far = (_strongest(cv2.absdiff(gray[:, step:], gray[:, :-step])) for step in (NEAR_PX, FAR_PX))
    return near / max(far, 1.0)


def _strongest(differences: Any) -> float:
    """The mean of those from the quantile EDGES on."""
    counts = cv2.calcHist([differences], [0], None, [LEVELS], [0, LEVELS]).ravel()[::-1]
    wanted = max(1, round((1 - EDGES) * differences.size))
    taken = np.minimum(np.cumsum(counts), wanted)
    levels = np.arange(LEVELS - 1.0, -1.0, -1.0)
    return float(np.sum(np.diff(taken, prepend=0.0) * levels)) / float(wanted)


def evenness(gray: NDArray[np.uint8], mean: float) -> Vector:
    """Of each of BANDS x FIELDS fields, how bright it is beside the whole, whose mean is given: 1 is as bright."""
    fields = cv2.resize(gray.astype(np.float32), (FIELDS, BANDS), interpolation=cv2.INTER_AREA)
    return np.asarray(fields.ravel() / max(mean, LEAST), np.float64)
