"""The golden reference: how a good part looks, and by how much good parts differ, brighter and darker, at every pixel.

In: pictures of good parts. Out: `Golden`, a frozen record, and its file. Keeps nothing.

    golden = learn(images)                         images (H, W[, 3]) uint8 or uint16 of one size; each is aligned with the first, and
                                                   brought to its light, before it counts
    golden.save("part.npz"); load("part.npz")      all of it; load("part.png") takes a picture as taught from this one image
    golden.mean, .bright, .dark, .images, .sha256

`mean` is the picture, in the camera's own type. `bright` and `dark` (uint16, 1/256 of an 8-bit gray level) are how far good parts lie
above and below it, one sigma each; one image alone says nothing of that, and both are 0. A pixel is foreground when it is brighter than
`mean` by more than max(compare.abs_threshold[0], compare.var_threshold[0] x bright) and what camera shake explains at an edge
(compare.vibration_px), or darker likewise. A camera uses it with

    compare:
      reference: golden
      golden: part.npz            # or a PNG or JPEG
      align_px: 8                 # how far the part may lie off; further is misaligned and NOT_INSPECTED
      align_degrees: 2

`sha256` is over what the record holds, not over the file, so that a copy saved anew has the same.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.compare import light, measure
from edgevision.compare.align import LEAST_LANDMARKS, Landmarks, Limits, Pose
from edgevision.errors import InputError
from edgevision.records import Image

SCHEMA = 1
LIMITS = Limits(shift_px=8.0, turn_degrees=2.0)
MOST_BYTES = 2 << 30
LONGEST_SIDE_PX = 32_000
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_FIELDS = ("bright", "dark", "images", "mean", "schema")
_SAMPLE_PX = 20_000


@dataclass(frozen=True)
class Golden:
    """A taught reference: see the module. `mean` (H, W[, 3]) uint8 or uint16; `bright` and `dark` of its shape, uint16; all read-only."""

    mean: Image
    bright: NDArray[np.uint16]
    dark: NDArray[np.uint16]
    images: int

    @cached_property
    def sha256(self) -> str:
        """The fingerprint of the record, as events carry it."""
        digest = hashlib.sha256(f"{SCHEMA} {self.mean.dtype} {self.mean.shape} {self.images}".encode())
        for array in (self.mean, self.bright, self.dark):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def refuse_unlike(self, image: Image, name: str | os.PathLike[str] | None = None) -> None:
        """Raises InputError for a frame of another size or kind than the picture: it can be held beside none of its parts."""
        if self.mean.shape != image.shape or self.mean.dtype != image.dtype:
            said = f"{name or 'the template'}: is {_kind_of(self.mean)}, the camera gives {_kind_of(image)}"
            raise InputError(f"{said}; teach it anew from this camera (a picture of it, or `edgevision reference learn`)")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all of it as .npz, whole or not at all. Raises InputError where it cannot be written."""
        path = Path(path)
        if path.suffix != ".npz":
            raise InputError(f"{path}: a golden reference is saved as .npz; name it {path.with_suffix('.npz').name}")
        part = path.with_name(path.name + ".part")
        try:
            with open(part, "wb") as file:
                np.savez_compressed(
                    file, schema=np.int64(SCHEMA), images=np.int64(self.images), mean=self.mean, bright=self.bright, dark=self.dark
                )
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}; name a file in a folder that is there and may be written") from error


def _kind_of(image: Image) -> str:
    colour = "gray" if image.ndim == 2 else "colour"
    return f"{image.shape[1]}x{image.shape[0]}, {colour}, {8 * image.dtype.itemsize} bit"


def from_picture(image: Image) -> Golden:
    """The reference that one image teaches: nothing is known of how good parts differ."""
    none = np.zeros(image.shape, np.uint16)
    return _frozen(image.copy(), none, none.copy(), 1)


def learn(images: Iterable[Image], limits: Limits = LIMITS) -> Golden:
    """The reference that these images of good parts teach, taken one at a time; they are not kept.

    Each is moved onto the first one, to a fraction of a pixel, and brought to its gain and offset. With `limits.shift_px` 0 none is moved.
    Raises InputError naming the image (counted from 1) that has another size or type, or that cannot be aligned within the limits.
    """
    taught: _Taught | None = None
    for number, image in enumerate(images, 1):
        if taught is None:
            taught = _Taught(_checked(image, number), limits)
        else:
            taught.add(_checked(image, number), number)
    if taught is None:
        raise InputError("there is no image to learn from; give at least one of a good part")
    return taught.golden()


def load(path: str | os.PathLike[str]) -> Golden:
    """The reference in the file: an .npz that `save` wrote, or a picture, taken as taught from this one image. Raises InputError."""
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise InputError(f"{path}: has {size} bytes; a golden reference has at most {MOST_BYTES}; name another file")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name an .npz from `edgevision reference learn`, or a picture") from error
    if path.suffix.lower() in PICTURES:
        return from_picture(_picture(path, data))
    return _unpacked(path, data)


class _Taught:
    """What was learnt so far: per value how often it was seen, its mean, and its squared distances above and below."""

    def __init__(self, first: Image, limits: Limits) -> None:
        self._first, self._limits = first, limits
        self._landmarks = Landmarks(first, None, limits) if limits.shift_px > 0 else None
        self._unit = 1.0 if first.dtype == np.uint8 else 257.0
        self._seen = np.ones(first.shape[:2], np.float32)
        self._mean = first.astype(np.float32) / self._unit
        self._above = np.zeros(first.shape, np.float32)
        self._below = np.zeros(first.shape, np.float32)
        self._images = 1

    def add(self, image: Image, number: int) -> None:
        """Take one more image."""
        if image.shape != self._first.shape or image.dtype != self._first.dtype:
            now, before = f"{image.dtype} {image.shape}", f"{self._first.dtype} {self._first.shape}"
            raise InputError(f"image {number} is {now}, the first is {before}; give images of one camera and size")
        pose = self._pose(image, number)
        values = self._in_the_light_of_the_first(self._moved_back(image.astype(np.float32) / self._unit, pose))
        inside = self._moved_back(np.ones(image.shape[:2], np.float32), pose, outside=0.0) > 0.999
        self._seen += inside
        weight = inside if image.ndim == 2 else inside[..., None]
        seen = self._seen if image.ndim == 2 else self._seen[..., None]
        far: NDArray[Any] = values - self._mean
        self._mean += np.where(weight, far / seen, 0)
        squares = np.where(weight, far * (values - self._mean), 0)
        self._above += np.where(far > 0, squares, 0)
        self._below += np.where(far < 0, squares, 0)
        self._images += 1

    def golden(self) -> Golden:
        """The record."""
        seen = np.maximum(self._seen - 1, 1) if self._mean.ndim == 2 else np.maximum(self._seen - 1, 1)[..., None]
        bright, dark = (
            np.minimum(np.rint(256 * np.sqrt(2 * squares / seen)), 65_535).astype(np.uint16) for squares in (self._above, self._below)
        )
        mean = np.rint(self._mean * self._unit).clip(0, np.iinfo(self._first.dtype).max).astype(self._first.dtype)
        return _frozen(mean, bright, dark, self._images)

    def _pose(self, image: Image, number: int) -> Pose:
        if self._landmarks is None:
            return Pose()
        if len(self._landmarks) < LEAST_LANDMARKS:
            raise InputError("the first image shows too little texture to align others with it; set compare.align_px: 0 for a fixed part")
        pose = self._landmarks.locate(image, Pose())
        limit = f"within {self._limits.shift_px:g} px and {self._limits.turn_degrees:g} degrees of the first"
        if pose is None:
            raise InputError(f"image {number} cannot be aligned {limit}; leave it out, or raise compare.align_px")
        if not self._limits.holds(pose):
            off = f"lies {np.hypot(pose.dx, pose.dy):.1f} px and {abs(np.degrees(pose.angle)):.1f} degrees off"
            raise InputError(f"image {number} {off}; it must lie {limit}: leave it out, or raise compare.align_px")
        return pose

    def _moved_back(self, values: NDArray[np.float32], pose: Pose, outside: float | None = None) -> NDArray[np.float32]:
        if pose == Pose():
            return values
        back = cv2.invertAffineTransform(pose.matrix(values.shape))
        mode = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
        return np.asarray(cv2.warpAffine(values, back, values.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=mode), np.float32)

    def _in_the_light_of_the_first(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        step = max(1, int(np.sqrt(values.shape[0] * values.shape[1] / _SAMPLE_PX)))
        x, y = values[::step, ::step].ravel().astype(np.float64), self._mean[::step, ::step].ravel().astype(np.float64)
        gain, offset = 1.0, 0.0
        lit = (x > 2) & (x < 253) & (y > 2) & (y < 253)
        for _ in range(light.FIT_ROUNDS):
            far = np.abs(gain * x + offset - y)
            near = lit & (far <= max(2.0, 4.5 * float(np.median(far[lit])) if lit.any() else 2.0))
            if near.sum() < measure.ENOUGH_SAMPLES:
                break
            a, b = x[near], y[near]
            gain, offset = light.solve_line((len(a), a.sum(), b.sum(), (a * a).sum(), (a * b).sum()), 0)
        return np.asarray(gain * values + offset, np.float32)


def _checked(image: Image, number: int) -> Image:
    if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16):
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"image {number} is {kind}; it must be a numpy array of uint8 or uint16")
    if image.ndim not in (2, 3) or image.size == 0 or (image.ndim == 3 and image.shape[2] != 3) or max(image.shape) > LONGEST_SIDE_PX:
        raise InputError(f"image {number} has shape {image.shape}; it must be (H, W) or (H, W, 3), a side of at most {LONGEST_SIDE_PX}")
    return image


def _frozen(mean: Image, bright: NDArray[np.uint16], dark: NDArray[np.uint16], images: int) -> Golden:
    for array in (mean, bright, dark):
        array.setflags(write=False)
    return Golden(mean, bright, dark, images)


def _picture(path: Path, data: bytes) -> Image:
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    except cv2.error as error:
        raise InputError(f"{path}: is no picture that can be read ({error.err}); give a PNG or JPEG of a good part") from error
    if found is None or found.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: is no picture that can be read; give a PNG or JPEG of a good part, 8 or 16 bit")
    return _checked(found, 1)


def _unpacked(path: Path, data: bytes) -> Golden:
    """What `save` wrote. Sizes are read from the members' heads before anything is unpacked: a small file may claim to be a huge one."""
    remedy = "teach it anew with `edgevision reference learn`"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = sorted(member.filename.removesuffix(".npy") for member in archive.infolist())
            unpacked = sum(member.file_size for member in archive.infolist())
        if names != sorted(_FIELDS):
            held = ", ".join(names)[:100] or "nothing"
            raise InputError(f"{path}: holds {held}; a golden reference holds {', '.join(_FIELDS)}; {remedy}")
        if unpacked > MOST_BYTES:
            raise InputError(f"{path}: would unpack to {unpacked} bytes; the limit is {MOST_BYTES}; {remedy}")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            schema, images, mean, bright, dark = (file[name] for name in ("schema", "images", "mean", "bright", "dark"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: is no golden reference ({' '.join(str(error).split())[:100]}); {remedy}") from error
    if schema.shape != () or schema.dtype != np.int64 or int(schema) != SCHEMA:
        raise InputError(f"{path}: has schema {schema.ravel()[:1].tolist()}; this version reads {SCHEMA}; {remedy}")
    if images.shape != () or images.dtype != np.int64 or int(images) < 1:
        raise InputError(f"{path}: says it was taught from {images.ravel()[:1].tolist()} images; it must be a number from 1 on; {remedy}")
    try:
        _checked(mean, 1)
    except InputError as error:
        raise InputError(f"{path}: {error}; {remedy}".replace("image 1", "its mean")) from error
    for name, array in (("bright", bright), ("dark", dark)):
        if array.shape != mean.shape or array.dtype != np.uint16:
            raise InputError(f"{path}: {name} is {array.dtype} {array.shape}; it must be uint16 {mean.shape}; {remedy}")
    return _frozen(mean, bright, dark, int(images))
