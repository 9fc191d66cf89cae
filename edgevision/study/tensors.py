"""Pictures as a network takes them whole: for peers, for counting, for quantisation. In: 8-bit pictures. Out: float32 (1, C, H, W)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError
from edgevision.kernels.forms import Float, Intake
from edgevision.kernels.plain.resize import sample
from edgevision.recompute.preprocess import Preprocess, build_intake
from edgevision.records import Image
from edgevision.study.picture import colour


def intake_for(settings: Preprocess, shape: tuple[int, ...]) -> Intake:
    """How pictures of the network's own size are taken in. Raises InputError for a network of neither 1 nor 3 channels."""
    _, channels, height, width = shape
    if channels not in (1, 3):
        raise InputError(f"the network takes {channels} channels, a picture has 1 or 3; give it tensors, not pictures")
    return build_intake(settings.model_copy(update={"frame_px": None}), channels, (height, width))


def fitted(image: Image, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The picture stretched to the network's size: uint8 (H, W, 3) BGR, or (H, W) where the network takes one channel."""
    _, channels, height, width = shape
    picture = colour(image)
    if picture.shape[:2] != (height, width):
        is_smaller = height * width < picture.shape[0] * picture.shape[1]
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR))
    if channels == 1:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
    return np.ascontiguousarray(picture, np.uint8)


def to_tensor(picture: Image, intake: Intake, into: Float) -> None:
    """The picture's values, by the table that the engine uses, into (1, C, H, W)."""
    if intake.table is None:
        raise InputError("the intake has no table; make it with intake_for")
    planes = picture[:, :, None] if picture.ndim == 2 else picture
    for place, channel in enumerate(intake.order):
        np.take(intake.table[place], planes[:, :, channel], out=into[0, place])


def tensor_of(picture: Image, intake: Intake, shape: tuple[int, ...]) -> Float:
    """The picture (H, W[, C]) as the engine would take it in whole, resized or in its corner as the intake says: (1, C, height, width)."""
    _, channels, height, width = shape
    planes = np.broadcast_to(picture[:, :, None], (*picture.shape, channels)) if picture.ndim == 2 else picture
    if intake.table is None or planes.shape[2] != channels:
        raise InputError(f"the picture is {picture.shape}, the network takes {channels} channel(s); convert it")
    values = np.stack([intake.table[place][planes[:, :, channel]] for place, channel in enumerate(intake.order)], axis=-1)
    if intake.resize is not None:
        values = _resized(values, intake, height, width)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)


def _resized(values: Float, intake: Intake, height: int, width: int) -> Float:
    resize = intake.resize
    if resize is None:
        return values
    top, left = resize.rows.first, resize.columns.first
    if not (resize.rows.share.any() or resize.columns.share.any()) and min(top.min(), left.min()) >= 0:
        return values[top][:, left]
    rows, columns = (grid.reshape(-1) for grid in np.mgrid[:height, :width])
    made = sample(resize, values, rows, columns)
    made[(top[rows] < 0) | (left[columns] < 0)] = intake.fill
    return made.reshape(height, width, -1)
