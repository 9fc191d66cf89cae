"""One picture file into one image, strictly: what a decoder only patched up is refused.

In: a path. Out: uint8 or uint16, (H, W, 3) BGR or (H, W). Keeps nothing. Raises BadFrame naming the file. libjpeg and libpng repair damaged
data as well as they can and say so on the error output only; an image they repaired may hide a defect, so their words are caught and count.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from edgevision.errors import BadFrame
from edgevision.records import Image

Colour = Literal["auto", "bgr", "gray"]
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_DAMAGE = re.compile(r"corrupt|premature|unexpected end|crc error|read error|libpng error|invalid|bogus", re.IGNORECASE)


def read_picture(path: Path, colour: Colour, max_bytes: int) -> Image:
    """The picture in this file. Raises BadFrame naming the file, for one that is missing, too large, damaged or of another kind."""
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise BadFrame(f"{path}: {size} bytes; the limit is {max_bytes}; raise max_file_mb if it is right")
        packed = path.read_bytes()
    except OSError as error:
        raise BadFrame(f"{path}: {error.strerror}; check the file and the folder's rights") from error
    if not packed:
        raise BadFrame(f"{path}: it is empty (0 bytes); write it again")
    try:
        with _caught_words() as words:
            image = cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    except cv2.error as error:
        raise BadFrame(f"{path}: it cannot be decoded: {' '.join(str(error.err).split())}; write it again") from error
    complaint = next(filter(_DAMAGE.search, words), "")
    if image is None or complaint:
        raise BadFrame(f"{path}: it is damaged or no picture{': ' if complaint else ''}{complaint}; write it again")
    return in_colour(image, colour, path)


def in_colour(image: Image, colour: Colour, where: object) -> Image:
    """The image as the setting wants it; `auto` leaves gray gray and colour colour."""
    if image.dtype not in (np.uint8, np.uint16):
        raise BadFrame(f"{where}: pixels of {image.dtype}; only 8 and 16 bits are taken; convert it")
    if colour == "gray" and image.ndim == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)  # type: ignore[no-any-return]
    if colour == "bgr" and image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)  # type: ignore[no-any-return]
    return image


@contextmanager
def _caught_words() -> Iterator[list[str]]:
    """What C libraries write to the error output meanwhile; also passed on to it, for the log."""
    words: list[str] = []
    sys.stderr.flush()
    kept = os.dup(2)
    caught = os.memfd_create("edgevision-words", os.MFD_CLOEXEC)
    os.dup2(caught, 2)
    try:
        yield words
    finally:
        os.dup2(kept, 2)
        text = os.pread(caught, 4096, 0)
        os.close(caught)
        if text:
            os.write(kept, text)
            words.extend(" ".join(line.split()) for line in text.decode(errors="replace").splitlines() if line.strip())
        os.close(kept)
