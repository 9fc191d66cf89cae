"""The newest frame as a picture that somebody asked for. In: a frame. Out: where it lies, and its sha256. Keeps one file a camera."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import cv2

from edgevision.errors import Unavailable
from edgevision.publish.payload import rfc3339
from edgevision.records import Frame

QUALITY = 92


def keep_snapshot(path: Path, frame: Frame) -> Mapping[str, str]:
    """Write the frame as JPEG in place of the one before. Raises Unavailable when it cannot be written."""
    image = frame.image if frame.image.dtype.itemsize == 1 else (frame.image >> 8).astype("uint8")
    packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    draft = path.with_name(f"{path.stem}.new.jpg")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(packed)
        os.replace(draft, path)
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}; make the state folder writable for this user") from error
    return {"path": str(path), "sha256": hashlib.sha256(packed).hexdigest(), "ts_capture": rfc3339(frame.ts)}
