"""At a start: what was told of a camera's defects, against what is remembered of them. In: both. Out: what goes on, what must be ended.

The two are written one after the other, so a killed service leaves them apart by a step: an event may be told of a defect that the tracks
do not remember, and then nobody would ever end it; or its end may be told, and then it must not go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Plain = Mapping[str, Any]


def reconcile(snapshot: Plain | None, told: Mapping[str, Plain]) -> tuple[Plain | None, tuple[Plain, ...]]:
    """The snapshot without the defects whose end was told, and the last messages of those that were told and are not remembered.

    `told` is the newest message of each defect by its track. Raises KeyError or TypeError for a snapshot that is none.
    """
    tracks = [] if snapshot is None else [track for track in snapshot["tracks"] if not _is_ended(told.get(track["track_id"]))]
    remembered = {track["track_id"] for track in tracks}
    forgotten = tuple(body for track_id, body in told.items() if track_id not in remembered and not _is_ended(body))
    return None if snapshot is None else {**snapshot, "tracks": tracks}, forgotten


def _is_ended(body: Plain | None) -> bool:
    return body is not None and body["type"] == "end"
