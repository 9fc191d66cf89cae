"""How an 8-bit frame becomes a network's input. In: settings and sizes. Out: an Intake, the first step of every plan. Keeps nothing.

A frame is uint8: (H, W, 3) BGR, (H, W) for networks of 1 or 3 channels, or (H, W, C) with the channels of any other network in its own
order. The network's value of channel c is (v / scale - mean[c]) / std[c], looked up in a table, so it is
the same everywhere. A frame of another size is resized (bilinear), letterboxed, or set in the top left corner; then a frame's pixel is
live for what it reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationError

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.kernels.forms import Axis, Float, Intake, Resize
from edgevision.recompute.interpolate import bilinear
from edgevision.records import Settings

Number = Annotated[float, Field(allow_inf_nan=False)]
Side = Annotated[int, Field(ge=1, le=32_768)]


class Preprocess(Settings):
    """How frames are given to the network; left out, what the file's metadata says."""

    mean: tuple[Number, ...] = Field((0.0,), description="What is taken from each channel after scaling, in the network's channel order.")
    std: tuple[Number, ...] = Field((1.0,), description="What each channel is divided by after that.")
    scale: float = Field(255.0, gt=0, allow_inf_nan=False, description="What 8-bit values are divided by first.")
    channel_order: Literal["rgb", "bgr", "gray"] = Field("rgb", description="The order in which the network wants the channels.")
    frame_px: tuple[Side, Side] | None = Field(None, description="Height and width of the frames; left out, the network's own.")
    resize: Literal["stretch", "letterbox", "corner"] = Field(
        "stretch", description="How a frame of another size is made to fit; `corner`: pixel by pixel, its last row and column repeated."
    )
    fill: int = Field(114, ge=0, le=255, description="The gray level around a letterboxed frame.")

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], path: str = "the network") -> Preprocess:
        """What a network file says of itself: keys mean, std, scale, channel_order; lists as `0.1, 0.2` or `[0.1, 0.2]`.

        Raises UnsupportedNetwork, with the file's `path`, where a value cannot be read.
        """
        made = cls()
        for key, read in _READERS.items():
            if key in metadata:
                try:
                    made = cls.model_validate({**made.model_dump(), key: read(metadata[key])})
                except (ValueError, ValidationError) as error:
                    said = f"{path}: its metadata's {key} is {metadata[key]!r}; it must be {_FORMS[key]}"
                    raise UnsupportedNetwork(f"{said}: mend the metadata or export the file again") from error
        return made


def checked_preprocess(settings: object, metadata: Mapping[str, str], path: str) -> Preprocess:
    """The settings, or what the file in `path` says where they are None. Raises InputError for anything else."""
    if settings is None:
        return Preprocess.from_metadata(metadata, path)
    if not isinstance(settings, Preprocess):
        raise InputError(f"preprocess is {settings!r}; it must be a Preprocess, or be left out for what the file says")
    return settings


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.strip().strip("[]()").split(","))


def _word(text: str) -> str:
    return text.strip().strip('"').lower()


_READERS: Mapping[str, Callable[[str], object]] = MappingProxyType(
    {"mean": _numbers, "std": _numbers, "scale": float, "channel_order": _word}
)
_FORMS: Mapping[str, str] = MappingProxyType(
    {"mean": "numbers, as 0.1, 0.2", "std": "numbers, as 0.1, 0.2", "scale": "a number above 0", "channel_order": "rgb, bgr or gray"}
)


def build_intake(settings: Preprocess, channels: int, size_px: tuple[int, int]) -> Intake:
    """The Intake for a network of `channels` and `size_px` (height, width). Raises InputError where the settings do not fit it."""
    for name, values in (("mean", settings.mean), ("std", settings.std)):
        if len(values) not in (1, channels):
            raise InputError(f"preprocess.{name} has {len(values)} values, the network {channels} channels; give one value or {channels}")
    if 0.0 in settings.std:
        raise InputError("preprocess.std holds 0; a channel cannot be divided by it")
    if settings.channel_order == "gray" and channels != 1:
        raise InputError(f"preprocess.channel_order is gray, the network takes {channels} channels; use rgb or bgr")
    table = _table(settings, channels)
    if not np.isfinite(table).all():
        raise InputError("preprocess.mean, std and scale make values that no f32 holds; give a larger std or scale")
    order = {"rgb": (2, 1, 0), "bgr": (0, 1, 2)}[settings.channel_order] if channels == 3 else tuple(range(channels))
    if settings.frame_px in (None, size_px):
        return Intake(table, order)
    fill = np.ascontiguousarray(table[:, settings.fill])
    return Intake(table, order, _resize(settings, size_px), fill)


def _table(settings: Preprocess, channels: int) -> Float:
    """(channel, 256): the network's value of every 8-bit value, worked out in float64 and rounded once."""
    mean, std = (np.broadcast_to(np.asarray(values, np.float64), (channels,)) for values in (settings.mean, settings.std))
    values = np.arange(256, dtype=np.float64) / settings.scale
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(((values[None] - mean[:, None]) / std[:, None]).astype(np.float32))


def _resize(settings: Preprocess, size_px: tuple[int, int]) -> Resize:
    frame = settings.frame_px or size_px
    inside = size_px
    if settings.resize == "letterbox":
        ratio = min(size_px[0] / frame[0], size_px[1] / frame[1])
        inside = max(1, round(frame[0] * ratio)), max(1, round(frame[1] * ratio))
    if settings.resize == "corner":
        if frame[0] > size_px[0] or frame[1] > size_px[1]:
            raise InputError(f"preprocess.frame_px is {frame}, more than the network's {size_px}; use resize stretch or letterbox")
        return Resize(_cornered(frame[0], size_px[0]), _cornered(frame[1], size_px[1]), is_nearest=False)
    rows, columns = (_axis(frame[axis], inside[axis], size_px[axis]) for axis in (0, 1))
    return Resize(rows, columns, is_nearest=False)


def _axis(before: int, inside: int, after: int) -> Axis:
    """`inside` of the `after` outputs, in the middle, show the picture; the others hold -1."""
    places = (np.arange(inside, dtype=np.float32) + np.float32(0.5)) * np.float32(before / inside) - np.float32(0.5)
    middle, start = bilinear(places, before), (after - inside) // 2
    first, second, share = np.full(after, -1, np.int32), np.full(after, -1, np.int32), np.zeros(after, np.float32)
    first[start : start + inside], second[start : start + inside], share[start : start + inside] = middle.first, middle.second, middle.share
    return Axis(first, second, share)


def _cornered(before: int, after: int) -> Axis:
    """Each output shows its own input, those beyond the picture its last one."""
    places = np.minimum(np.arange(after), before - 1).astype(np.int32)
    return Axis(places, places, np.zeros(after, np.float32))
