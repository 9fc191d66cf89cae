"""Open tracks on disk, so that a restart continues a defect's story. In and out: plain values. Kept: one small file a camera.

Not synced: after a power cut it may be old or gone, and `reconcile` then ends what it does not hold. A sync would stand in the way of the
next alert's, which must not wait.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgevision.errors import InputError


class TrackFile:
    """One camera's open tracks. Written after the events in them are committed, so that it never claims an alert that was not kept."""

    def __init__(self, path: Path):
        self._path = path
        self._written: str | None = None

    def read(self) -> dict[str, Any] | None:
        """What was open when the service ended, None when there is no file. Raises InputError when it cannot be read."""
        try:
            plain = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise InputError(f"{self._path}: {error}; start without it") from error
        if not isinstance(plain, dict):
            raise InputError(f"{self._path}: holds a {type(plain).__name__}, not a snapshot; start without it")
        return plain

    def write(self, plain: Mapping[str, Any]) -> None:
        """Replace the file at once, or leave the old one. Raises OSError."""
        text = json.dumps(plain)
        if text == self._written:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".new")
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
        os.replace(draft, self._path)
        self._written = text
