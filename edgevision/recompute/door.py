"""What the network is shown and what it makes of it, in a few numbers of a sample. In: a frame, its light, a network. Out: vectors by name.

A sample costs some 0.3 ms and is taken now and then: rows here and there of the picture, brought to the light that the network sees, and
some pixels of two of its own steps as they lie in Memory. Keeps random numbers and how many samples there were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.recompute.camera_network import CameraNetwork
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.plan import Step
from edgevision.records import Image, Mask

Vector = NDArray[np.float64]

ROWS = 16  # of the picture that are looked at, at most
BANDS, FIELDS = 16, 24  # into which the picture is divided to see what is uneven
PIXELS = 256  # of a step
GOLDEN = (math.sqrt(5) - 1) / 2
LEAST = 1e-3
HARDLY_PX = 0.25  # of shake, which is as good as none
GRAYS, DETAIL_LEVELS = 24, (6.0, 12.0, 24.0, 48.0, 96.0)
DETAILS, MOST_DETAIL = len(DETAIL_LEVELS) + 1, 4 * 255


class Light(NamedTuple):
    """How the frame is brought to the reference's light, the camera's noise (gray levels, one sigma), how far the frame lies off the one
    before (pixels); None: not known."""

    gain: float
    offset: float
    noise: float | None
    shake_px: float | None = None


class Door:
    """One camera's. `bits` is what the camera delivers in a value, `allowed` bool (H, W) what of the picture counts; None: all of it."""

    def __init__(self, bits: int | None = None, allowed: Mask | None = None, seed: int = 0) -> None:
        self._shift = (bits or 16) - 8
        self._allowed = None if allowed is None else np.ascontiguousarray(allowed).view(np.uint8)
        self._span = (0, 1 << 31) if allowed is None else _span(allowed)
        self._random = np.random.default_rng(seed)
        self._phases, self._samples = self._random.random(ROWS), 0

    def sample(self, image: Image, light: Light, network: CameraNetwork | None) -> dict[str, Vector]:
        """Every statistic of this frame; those of the network's steps where it keeps them."""
        values = self._of_picture(image, light)
        if isinstance(network, SelectiveNetwork):
            values |= self._of_steps(network)
        return values

    def _of_picture(self, image: Image, light: Light) -> dict[str, Vector]:
        rows, mask, within = self._rows(image)  # (row, column[, channel]) and (row, column), uint8
        gray = rows if rows.ndim == 2 else np.ascontiguousarray(rows[:, :, rows.shape[2] // 2])
        mean, spread = (float(value[0, 0]) for value in cv2.meanStdDev(gray, mask=mask))
        values = {
            "light": np.array([mean]),
            "brightness": np.array([mean * light.gain + light.offset]),
            "contrast": np.array([spread * light.gain]),
            "evenness": evenness(gray, mask, mean),
        }
        values["stains"] = np.concatenate((np.resize(within, BANDS), values["evenness"]))
        detail, inside = detail_of(gray), None if mask is None else mask[:, 1:-1] > 0
        values["sharpness"] = np.array([sharpness(detail, inside) * light.gain])
        values["kinds"] = kinds(gray, detail, inside, light)
        if light.noise is not None:
            values["noise"] = np.array([light.noise * light.gain])
        if light.shake_px is not None:
            values["shake"] = np.array([HARDLY_PX + light.shake_px])
        if rows.ndim == 3 and rows.shape[2] == 3:
            blue, green, red, _ = cv2.mean(rows, mask)
            values["colour"] = np.array([blue, red]) / max(green, LEAST)
        return values

    def _rows(self, image: Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, Vector]:
        """One row from each of ROWS bands of what counts, which of its pixels do, and where in its band it lies (0 to 1).

        Each time others, so that a block of samples sees as good as all of a band, evenly: means of blocks then differ by what moves, not
        by which rows were looked at.
        """
        top, bottom = self._span[0], min(self._span[1], image.shape[0])
        count = min(ROWS, bottom - top)
        self._samples += 1
        within = (self._phases[:count] + self._samples * GOLDEN) % 1.0
        places = top + ((np.arange(count) + within) * ((bottom - top) / count)).astype(np.intp)
        rows = image[places]
        deep: NDArray[Any] = rows if rows.dtype == np.uint8 else np.minimum(rows >> self._shift, 255)
        mask = None if self._allowed is None else self._allowed[places]
        return deep.astype(np.uint8, copy=False), mask if mask is not None and mask.any() else None, within

    def _of_steps(self, network: SelectiveNetwork) -> dict[str, Vector]:
        """Of all channels of the steps, side by side, the means and how they spread about them."""
        found = []
        for tensor in looked_at(network):
            shape = network.plan.tensors[tensor]
            rows, columns = (self._random.integers(0, side, PIXELS) for side in (shape.height, shape.width))
            found.append(network.peek(tensor, rows, columns))
        if not found:
            return {}
        values = np.concatenate(found, axis=1).astype(np.float64)
        return {"features": values.mean(axis=0), "spread": values.std(axis=0)}


def looked_at(network: SelectiveNetwork) -> tuple[str, ...]:
    """The tensors whose features are watched: where the picture is smallest, and what the last step reads."""
    steps = [step for step in network.plan.steps if isinstance(step, Step)]
    if len(steps) < 3:
        return ()
    tensors: Mapping[str, Any] = network.plan.tensors
    deepest = min(steps, key=lambda step: tensors[step.target].height * tensors[step.target].width)
    return tuple(dict.fromkeys((deepest.target, steps[-2].target)))


def detail_of(gray: NDArray[np.uint8]) -> NDArray[np.int16]:
    """How far gray levels bend along rows: |second difference| of all but the first and last column."""
    wide = gray.astype(np.int16)
    return np.asarray(np.abs(wide[:, 2:] - 2 * wide[:, 1:-1] + wide[:, :-2]), np.int16)


def sharpness(detail: NDArray[np.int16], inside: Mask | None = None) -> float:
    """How much fine detail there is: its root mean square, `inside` or everywhere."""
    counts = np.bincount((detail if inside is None else detail[inside]).ravel())
    return math.sqrt(float(counts @ np.arange(len(counts)) ** 2) / max(1, int(counts.sum())))


def kinds(gray: NDArray[np.uint8], detail: NDArray[np.int16], inside: Mask | None, light: Light) -> Vector:
    """The share of pixels of each kind: how bright, in the reference's light, and how fine the detail there, GRAYS x DETAILS of them."""
    bright = np.clip((np.arange(256) * light.gain + light.offset) * (GRAYS / 256), 0, GRAYS - 1).astype(np.intp) * DETAILS
    fine = np.searchsorted(DETAIL_LEVELS, np.arange(MOST_DETAIL + 1))
    which = bright[gray[:, 1:-1]] + fine[detail]
    counts = np.bincount((which if inside is None else which[inside]).ravel(), minlength=GRAYS * DETAILS)
    return np.asarray(counts / max(1, int(counts.sum())), np.float64)


def evenness(gray: NDArray[np.uint8], mask: NDArray[np.uint8] | None, mean: float) -> Vector:
    """Of each of BANDS x FIELDS fields, how bright it is beside the whole, whose mean is given: 1 is as bright."""
    wide = gray.astype(np.float32)
    if mask is not None:
        wide[mask == 0] = mean
    fields = cv2.resize(wide, (FIELDS, BANDS), interpolation=cv2.INTER_AREA)
    return np.asarray(fields.ravel() / max(mean, LEAST), np.float64)


def _span(allowed: Mask) -> tuple[int, int]:
    """From the first to the last row in which anything counts."""
    rows = np.flatnonzero(allowed.any(axis=1))
    return (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, allowed.shape[0])
