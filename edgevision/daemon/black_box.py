"""The last inspections of a camera, in a file that outlives its process however that ends: kill -9, a fault in a library, a power cut.

In: inspections. Out: after an end that was none, a dump of them for a person to read. Kept: a ring of SLOTS records in a mapped file; a
few dumps, the oldest of which go. Writing costs a fraction of a millisecond and never waits for the disk.
"""

from __future__ import annotations

import faulthandler
import json
import mmap
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgevision.publish.payload import rfc3339
from edgevision.records import Inspection

SLOTS = 64
SLOT_BYTES = 4096
DUMPS_KEPT = 10
CLEAN, OPEN = b"clean...", b"open...."
RECORD = struct.Struct("<QI")  # running number, length
DEFECTS_SHOWN = 8


class BlackBox:
    """One camera's recorder; used from the worker's main thread."""

    def __init__(self, folder: Path, camera: str, clock: Callable[[], float] = time.time):
        """Open the recorder in `folder`; what an earlier life left there becomes a dump, whose path is in `found`. Raises OSError."""
        self._ring = folder / f"{camera}.ring"
        self._faults = folder / f"{camera}.fault"
        folder.mkdir(parents=True, exist_ok=True)
        self.found = dump(folder, camera, clock())
        with self._ring.open("wb") as file:
            file.truncate(len(OPEN) + SLOTS * SLOT_BYTES)
        with self._ring.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self._memory[: len(OPEN)] = OPEN
        self._fault_file = self._faults.open("w")
        self._number = 0

    def catch_faults(self) -> None:
        """Let a fault in a library write every thread's place into the dump; for the whole process."""
        faulthandler.enable(self._fault_file)

    def note(self, inspection: Inspection) -> None:
        """Write one down; over the oldest."""
        record = json.dumps(plain_of(inspection), default=str).encode()[: SLOT_BYTES - RECORD.size]
        start = len(OPEN) + self._number % SLOTS * SLOT_BYTES
        self._number += 1
        self._memory[start : start + RECORD.size] = RECORD.pack(0, 0)  # a record that is cut short by a kill must not be read
        self._memory[start + RECORD.size : start + RECORD.size + len(record)] = record
        self._memory[start : start + RECORD.size] = RECORD.pack(self._number, len(record))

    def close(self) -> None:
        """An end in good order: nothing is to be dumped."""
        self._memory[: len(CLEAN)] = CLEAN
        self._memory.close()


def dump(folder: Path, camera: str, now_s: float) -> Path | None:
    """Make a dump of what a life that ended badly had noted; where it is, None when there is nothing. Raises OSError."""
    ring = folder / f"{camera}.ring"
    try:
        content = ring.read_bytes()
    except FileNotFoundError:
        return None
    records = records_of(content)
    if not content.startswith(OPEN) or not records:
        return None
    faults = ""
    with suppress(OSError):
        faults = (folder / f"{camera}.fault").read_text(errors="replace")
    stamp = rfc3339(now_s).replace(":", "").replace("-", "")
    path = folder / f"{camera}-{stamp}.jsonl"
    head = {"camera": camera, "dumped": rfc3339(now_s), "inspections": len(records), "fault": faults or None}
    path.write_text("\n".join([json.dumps(head), *records]) + "\n", encoding="utf-8")
    ring.unlink()
    for old in sorted(folder.glob(f"{camera}-*.jsonl"), key=lambda file: file.stat().st_mtime)[:-DUMPS_KEPT]:
        old.unlink()
    return path


def records_of(content: bytes) -> list[str]:
    """The records in a ring, oldest first; what is damaged is left out."""
    found: list[tuple[int, str]] = []
    for start in range(len(OPEN), len(content) - RECORD.size, SLOT_BYTES):
        number, length = RECORD.unpack_from(content, start)
        if number and length <= SLOT_BYTES - RECORD.size:
            body = content[start + RECORD.size : start + RECORD.size + length]
            found.append((number, body.decode("utf-8", errors="replace").replace("\n", " ")))
    return [text for _, text in sorted(found)]


def plain_of(inspection: Inspection) -> dict[str, Any]:
    """The inspection without its outlines, so that it fits a record: of the defects the first few."""
    return {
        "ts": rfc3339(inspection.ts),
        "frame_seq": inspection.frame_seq,
        "part_id": inspection.part_id,
        "verdict": inspection.verdict.value,
        "reason": inspection.reason,
        "scene": inspection.scene.value,
        "mode": inspection.mode,
        "live_fraction": inspection.live_fraction,
        "foreground_fraction": inspection.foreground_fraction,
        "gain": inspection.gain,
        "offset": inspection.offset,
        "full_reason": inspection.full_reason,
        "audit_disagreement": inspection.audit_disagreement,
        "dropped_since_last": inspection.dropped_since_last,
        "timing_ms": {name: round(float(value), 3) for name, value in inspection.timing_ms.items()},
        "regions": len(inspection.regions),
        "defects": [
            {"label": defect.region.label, "score": defect.region.score, "box_px": list(map(int, defect.region.box_px))}
            for defect in inspection.defects[:DEFECTS_SHOWN]
        ],
        "events": [[event.phase.value, event.event_id, event.track_id] for event in inspection.events[:DEFECTS_SHOWN]],
    }
