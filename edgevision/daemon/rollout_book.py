"""What is known of a candidate over restarts: what it was compared on, where both differed, why it was sent back, a mark while it runs.

In: comparisons. Out: the same, for whoever asks, also without the service (`edgevision rollout CONFIG status`). Kept: a folder a camera:
`state.json`, in it the last KEPT differences, and a picture of each.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2

from edgevision.errors import Unavailable
from edgevision.records import Image

AGREE, LATE, FAILED = "agree", "late", "failed"  # what may come of a part beside two verdicts that differ
ENOUGH = 20  # parts that were compared, from which on they say something

SCHEMA = 1
KEPT = 100
MAX_FILE_BYTES = 4_000_000
QUALITY = 90


@dataclass(slots=True)
class State:
    """`candidate` and `share` are what the rest is about, `results` counts what came of the parts, `out` says why it was sent back."""

    candidate: str = ""
    share: float = 0.0
    out: str | None = None
    results: dict[str, int] = field(default_factory=dict)
    judged: int = 0
    differences: list[dict[str, Any]] = field(default_factory=list)
    running: str | None = None  # the service's run while a worker has the candidate at work


def objection(state: State, limit: float) -> str | None:
    """Why no part should be given to this candidate yet; None for nothing. `limit`: the share of the parts that it may judge otherwise."""
    compared = sum(state.results.values())
    otherwise = compared - sum(state.results.get(one, 0) for one in (AGREE, LATE, FAILED))
    if compared < ENOUGH or otherwise <= limit * compared:
        return None
    return f"the candidate judged {otherwise} of {compared} parts otherwise, the limit is {limit:.0%} (candidate.limit)"


class RolloutBook:
    """One camera's folder; used from its worker's main thread, read by anybody."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = State()

    def read(self) -> State:
        """What is on disk, also of an earlier life; nothing where there is nothing that can be read."""
        try:
            with (self.folder / "state.json").open("rb") as file:
                plain: Any = json.loads(file.read(MAX_FILE_BYTES))
            if plain.pop("schema") == SCHEMA:
                state = State(**plain)
                state.results = {str(name): int(count) for name, count in state.results.items()}
                self.state = state
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.state = State()
        return self.state

    def begin(self, candidate: str, share: float) -> None:
        """Another candidate begins a page of its own; whoever gives the same one parts again has forgiven what it was sent back for."""
        if self.state.candidate != candidate:
            self.state = State(candidate)
        if share > self.state.share:
            self.state.out = None
        self.state.share = share

    def add(self, result: str, is_judged: bool, difference: Mapping[str, Any] | None = None, image: Image | None = None) -> None:
        """One part that was compared; of one that both judge otherwise a picture is kept. A disk that fails costs the picture."""
        self.state.results = dict(Counter(self.state.results) + Counter({result: 1}))
        self.state.judged += is_judged
        if difference is None:
            return
        kept = {**difference, "picture": None if image is None else self._picture(difference, image)}
        self.state.differences = [*self.state.differences, kept][-KEPT:]

    def write(self) -> None:
        """Put the page on disk. Raises Unavailable."""
        path = self.folder / "state.json"
        draft = path.with_name("state.json.new")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps({"schema": SCHEMA, **asdict(self.state)}), encoding="utf-8")
            os.replace(draft, path)
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}; what is known of the candidate does not outlive a restart") from error

    def _picture(self, difference: Mapping[str, Any], image: Image) -> str | None:
        path = self.folder / f"{difference['frame_seq']:08d}-{difference['active']}-{difference['candidate']}.jpg"
        shown = image if image.dtype == "uint8" else (image >> 8).astype("uint8")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
            for old in sorted(self.folder.glob("*.jpg"), key=lambda file: file.stat().st_mtime)[:-KEPT]:
                old.unlink(missing_ok=True)
        except (OSError, cv2.error):
            return None
        return str(path)
