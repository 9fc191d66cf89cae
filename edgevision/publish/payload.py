"""What a message says: the JSON of events, results and states, with the field names of the published schemas.

In: records and the node's Identity. Out: plain dictionaries, at most 64 kB as JSON. Keeps nothing. Field names only ever gain company:
none is renamed or used again for something else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from edgevision.records import Defect, Event, Inspection, Notice, Snapshot, Verdict

LIMIT_BYTES = 65_536
ROOM_BYTES = 512  # for what the outbox adds: `seq`, `boot_id`, a longer `historical`
THINNED_POINTS = 24
DEFECTS_AT_MOST = 64
COMPLETED, FAILED = 1, 4  # ResultState of OPC UA 40100-1


@dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks: the node, its software and configuration, and the model and recipe of the camera in question."""

    node: str
    boot_id: str
    version: str
    config_sha256: str
    model_name: str | None = None
    model_sha256: str | None = None
    station: str | None = None
    recipe_id: str | None = None
    product_id: str | None = None
    reference_sha256: str | None = None
    clock_synced: bool | None = None


def event_body(
    event: Event, inspection: Inspection | None, identity: Identity, camera: str | None = None, result_ts: float | None = None
) -> dict[str, Any]:
    """The body of one message in a defect's life: schema `edgevision.event/1`.

    `inspection` is the one the event came from; None when no frame caused it (a restart ended the track), and then `camera` names the
    camera. `result_ts` is when the verdict was known; left out, it is the capture time plus the time the inspection took.
    """
    body = _head("edgevision.event/1", event.event_id, event.phase.value, identity)
    body["track_id"] = event.track_id
    if inspection is None:
        body |= {"camera": camera, "ts_capture": rfc3339(event.ts_last), "ts_result": rfc3339(result_ts or event.ts_last)}
        body |= {"simulated": False, "part_id": None, "job_id": None}
    else:
        body |= _inspected(inspection, result_ts)
    body |= _verdict(event.verdict, event.reason, event.defect.region.score, event.defect.threshold)
    body |= {"ts_first": rfc3339(event.ts_first), "ts_last": rfc3339(event.ts_last), "frames": event.frames}
    body["defects"] = [_defect(event.defect)]
    return fit(body)


def result_body(inspection: Inspection, identity: Identity, event_id: str, result_ts: float | None = None) -> dict[str, Any]:
    """The body of the verdict on one part or frame: schema `edgevision.result/1`. `event_id` is a fresh UUIDv7."""
    body = _head("edgevision.result/1", event_id, "result", identity)
    body |= _inspected(inspection, result_ts)
    body |= _verdict(inspection.verdict, inspection.reason, inspection.score, inspection.threshold)
    body["defects"] = [_defect(defect) for defect in inspection.defects]
    return fit(body)


def gap_body(event_id: str, camera: str, now_s: float, lost: Mapping[str, int], seqs: tuple[int, int], reason: str) -> dict[str, Any]:
    """The body that says which messages will never come: schema `edgevision.gap/1`.

    `lost` counts them by class, `seqs` are the first and the last of them.
    """
    return {
        "schema": "edgevision.gap/1",
        "event_id": event_id,
        "type": "gap",
        "seq": None,
        "boot_id": None,
        "historical": False,
        "camera": camera,
        "ts_result": rfc3339(now_s),
        "first_seq": seqs[0],
        "last_seq": seqs[1],
        "lost": dict(lost),
        "reason": reason,
    }


def notice_body(notice: Notice, inspection: Inspection, identity: Identity, event_id: str, result_ts: float) -> dict[str, Any]:
    """The body that says what a person should know of a camera, or that it is over: schema `edgevision.notice/1`."""
    return {
        "schema": "edgevision.notice/1",
        "event_id": event_id,
        "type": "notice",
        "seq": None,
        "boot_id": None,
        "historical": False,
        "clock_synced": identity.clock_synced,
        "node": identity.node,
        "camera": inspection.camera,
        "station": identity.station,
        "ts_capture": rfc3339(inspection.ts),
        "ts_result": rfc3339(result_ts),
        "kind": notice.kind,
        "about": notice.what,
        "phase": "end" if notice.is_over else "new",
        "verdict": "OK" if notice.is_over else "WARN",
        "text": notice.text,
        "model": {"name": identity.model_name, "sha256": identity.model_sha256},
        "config_sha256": identity.config_sha256,
    }


def state_body(
    identity: Identity,
    since_ts: float,
    is_config_ok: bool,
    outbox: Mapping[str, float],
    cameras: Mapping[str, str],
    alarms: Sequence[str] = (),
) -> dict[str, Any]:
    """The node's retained state. `outbox` has `pending` and `oldest_age_s`; `cameras` maps an id to its availability."""
    return {
        "schema": "edgevision.state/1",
        "node": identity.node,
        "since": rfc3339(since_ts),
        "version": identity.version,
        "boot_id": identity.boot_id,
        "config_sha256": identity.config_sha256,
        "config_ok": is_config_ok,
        "outbox": {"depth": int(outbox["pending"]), "oldest_age_s": _number(outbox["oldest_age_s"], 1)},
        "cameras": dict(cameras),
        "alarms": list(alarms),
    }


def camera_state_body(snapshot: Snapshot, identity: Identity) -> dict[str, Any]:
    """A camera's retained state: its last verdict, its recipe and its scene."""
    last = snapshot.last
    return {
        "schema": "edgevision.camera_state/1",
        "node": identity.node,
        "camera": snapshot.camera,
        "availability": snapshot.availability,
        "recipe": identity.recipe_id,
        "verdict": last.verdict.value if last else None,
        "reason": last.reason if last else None,
        "scene": last.scene.value if last else None,
        "ts_capture": rfc3339(last.ts) if last else None,
        "warnings": [*snapshot.warnings, *snapshot.notices.values()],
    }


def health_body(
    identity: Identity, now_s: float, load: Sequence[float], memory_bytes: int, snapshots: Mapping[str, Snapshot]
) -> dict[str, Any]:
    """The node's retained figures, every 30 s. `load` is the 1, 5 and 15 minute average, `memory_bytes` the resident size."""
    return {
        "schema": "edgevision.health/1",
        "node": identity.node,
        "ts": rfc3339(now_s),
        "load": [_number(value, 2) for value in load],
        "memory_bytes": memory_bytes,
        "cameras": {name: _figures(snapshot) for name, snapshot in snapshots.items()},
    }


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema shipped for `event`, `result`, `gap`, `notice`, `state`, `camera_state` or `health`."""
    loaded: dict[str, Any] = json.loads(files("edgevision.publish").joinpath(f"schema/{name}.json").read_text("utf-8"))
    return loaded


def encode(body: Mapping[str, Any]) -> bytes:
    """The body as the broker gets it. Not-a-number never leaves: JSON has none."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def as_historical(payload: bytes) -> bytes:
    """The same message, marked as sent late."""
    return encode(json.loads(payload) | {"historical": True})


def rfc3339(ts: float) -> str:
    """Seconds since the epoch as `2026-03-01T12:00:00.000Z`."""
    return datetime.fromtimestamp(ts, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def fit(body: dict[str, Any], limit_bytes: int = LIMIT_BYTES - ROOM_BYTES) -> dict[str, Any]:
    """The body within the limit: outlines are thinned, then left out, then the weakest defects go; `reduced` says how far it went."""
    if len(encode(body)) <= limit_bytes:
        return body
    defects: list[dict[str, Any]] = sorted(body["defects"], key=lambda defect: defect["score"] or 0.0, reverse=True)
    total = len(defects)
    bare = [defect | {"polygon": None} for defect in defects]
    steps = (
        ("polygons_thinned", [defect | {"polygon": _thinned(defect["polygon"])} for defect in defects]),
        ("polygons_dropped", bare),
        ("defects_dropped", bare[:DEFECTS_AT_MOST]),
    )
    for name, kept in steps:
        body = body | {"defects": kept, "defects_total": total, "reduced": name}
        if len(encode(body)) <= limit_bytes:
            break
    return body


def _thinned(polygon: list[list[int]] | None) -> list[list[int]] | None:
    if polygon is None or len(polygon) <= THINNED_POINTS:
        return polygon
    return [polygon[index * len(polygon) // THINNED_POINTS] for index in range(THINNED_POINTS)]


def _head(schema_name: str, event_id: str, kind: str, identity: Identity) -> dict[str, Any]:
    return {
        "schema": schema_name,
        "event_id": event_id,
        "type": kind,
        "seq": None,  # the outbox fills these two when it makes the message durable
        "boot_id": None,
        "historical": False,
        "clock_synced": identity.clock_synced,
        "node": identity.node,
        "station": identity.station,
        "recipe_id": identity.recipe_id,
        "product_id": identity.product_id,
        "model": {"name": identity.model_name, "sha256": identity.model_sha256},
        "config_sha256": identity.config_sha256,
        "reference_sha256": identity.reference_sha256,
    }


def _inspected(inspection: Inspection, result_ts: float | None) -> dict[str, Any]:
    timing = {name: _number(inspection.timing_ms.get(name), 3) for name in ("capture", "compare", "recompute", "judge", "total")}
    if "picture" in inspection.timing_ms:
        timing["picture"] = _number(inspection.timing_ms["picture"], 3)
    if result_ts is None:
        result_ts = inspection.ts + (timing["total"] or 0.0) / 1000
    body = {
        "camera": inspection.camera,
        "simulated": inspection.simulated,
        "ts_capture": rfc3339(inspection.ts),
        "ts_result": rfc3339(result_ts),
        "part_id": inspection.part_id,
        "job_id": inspection.job_id,
        "timing_ms": timing,
        "image": dict(inspection.image) if inspection.image else None,
        "judged_by": inspection.judged_by,
    }
    if inspection.frame_seq >= 0:  # a part that got no frame has none
        width, height = inspection.size_px
        body["frame"] = {
            "seq": inspection.frame_seq,
            "width": width,
            "height": height,
            "age_ms": _number((result_ts - inspection.ts) * 1000, 1),
            "dropped_since_last": inspection.dropped_since_last,
        }
    if inspection.mode != "none":  # nothing is known of the change in a frame that was not looked at
        body["change"] = {
            "mode": inspection.mode,
            "live_fraction": _number(inspection.live_fraction, 6),
            "gain": _number(inspection.gain, 5),
            "offset": _number(inspection.offset, 3),
            "since_full_ms": _number(inspection.since_full_ms, 1),
            "full_reason": inspection.full_reason,
        }
    return body


def _verdict(verdict: Verdict, reason: str | None, score: float, threshold: float) -> dict[str, Any]:
    return {
        "result_state": FAILED if verdict is Verdict.NOT_INSPECTED else COMPLETED,
        "verdict": verdict.value,
        "reason": reason,
        "score": _number(score, 4),
        "threshold": _number(threshold, 4),
    }


def _defect(defect: Defect) -> dict[str, Any]:
    region = defect.region
    return {
        "label": region.label,
        "score": _number(region.score, 4),
        "box_px": [int(edge) for edge in region.box_px],
        "area_px": int(region.area_px),
        "polygon": [[int(x), int(y)] for x, y in region.polygon],
        "roi": defect.roi,
        "polarity": defect.polarity,
        "level": defect.level.value,
        "threshold": _number(defect.threshold, 4),
    }


def _figures(snapshot: Snapshot) -> dict[str, Any]:
    counters, figures = snapshot.counters, snapshot.figures
    return {
        "availability": snapshot.availability,
        "frames": int(counters.get("frames", 0)),
        "dropped": int(counters.get("dropped", 0)),
        "live_fraction_mean": _number(figures.get("live_fraction_mean"), 6),
        "total_ms_p50": _number(figures.get("total_ms_p50"), 3),
        "total_ms_p99": _number(figures.get("total_ms_p99"), 3),
    }


def _number(value: float | None, digits: int) -> float | None:
    """A plain float that JSON can hold, or None."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), digits)
