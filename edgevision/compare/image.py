"""What may be compared at all: 8 or 16 bits, gray or colour, always of one size. In: what a camera gave. Out: an array. Keeps nothing."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import BadFrame, InputError
from edgevision.records import Image

LONGEST_SIDE_PX = 32_000


class Kind(Protocol):
    """What all images of one camera have in common."""

    shape: tuple[int, ...]
    dtype: Any


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view that refuses to be written."""
    view = array.view()
    view.setflags(write=False)
    return view


def checked(image: Image, before: Kind | None) -> Image:
    """The image, of the same kind as those `before`, as (row, column x channel), contiguous. Raises InputError or BadFrame."""
    if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16):
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"the image is {kind}; it must be a numpy array of uint8 or uint16")
    if image.ndim not in (2, 3) or image.size == 0 or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise InputError(f"the image has shape {image.shape}; it must be (H, W) or (H, W, 3)")
    if max(image.shape) > LONGEST_SIDE_PX:
        raise InputError(f"the image has shape {image.shape}; a side may have at most {LONGEST_SIDE_PX} pixels: bin or crop it")
    if before is not None and (image.shape != before.shape or image.dtype != before.dtype):
        now, was = f"{image.dtype} {image.shape}", f"{before.dtype} {before.shape}"
        raise BadFrame(f"the frame is {now}, those before were {was}; set the camera back, or restart it with its new format")
    return read_only(np.ascontiguousarray(image).reshape(image.shape[0], -1))
