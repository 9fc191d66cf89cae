"""Bodies against the shipped schemas, as a subscriber would check them; and the 64 kB limit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from edgevision.identifiers import uuid7
from edgevision.publish import payload
from edgevision.publish.payload import (
    Identity,
    camera_state_body,
    encode,
    event_body,
    gap_body,
    health_body,
    notice_body,
    result_body,
    rfc3339,
    state_body,
)
from edgevision.records import Defect, Event, Inspection, Notice, Phase, Region, Scene, Snapshot, Verdict

SHA = "ab" * 32
IDENTITY = Identity("press-1", uuid7(1.0), "0.1.0", SHA, "default", SHA, "station 4", "bottle", "product-9", None, True)
REGION = Region("scratch", np.float32(0.9), (1, 2, np.int64(30), 40), np.int64(55), ((1, 2), (30, 2), (30, 40)), (15.0, 20.0))  # type: ignore[arg-type]
DEFECT = Defect(REGION, Verdict.NG, 0.5, "area_score", "neck")
EVENT = Event(uuid7(2.0), uuid7(1.5), Phase.NEW, 1_772_366_400.0, 1_772_366_400.25, 8, Verdict.NG, "scratch", DEFECT)


def inspection(**changes: Any) -> Inspection:
    values: dict[str, Any] = {
        "camera": "cam-1", "frame_seq": 7, "ts": 1_772_366_400.25, "size_px": (1280, 720), "verdict": Verdict.NG, "reason": "scratch",
        "scene": Scene.NORMAL, "mode": "partial", "live_fraction": 0.04, "foreground_fraction": 0.05, "gain": 1.0, "offset": 0.0,
        "full_reason": None, "regions": (REGION,), "defects": (DEFECT,), "events": (EVENT,), "score": 0.9, "threshold": 0.5, "costs": None,
        "timing_ms": {"compare": 2.0, "recompute": 3.0, "judge": 0.5, "total": 6.0},
    }  # fmt: skip
    return Inspection(**(values | changes))


def committed(body: dict[str, Any]) -> dict[str, Any]:
    """What a subscriber gets: the outbox has filled in its two fields."""
    sent: dict[str, Any] = json.loads(encode({**body, "seq": 1, "boot_id": IDENTITY.boot_id}))
    return sent


def check(body: dict[str, Any], name: str) -> None:
    schema = payload.schema(name)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(body)
    assert_known(body, schema)


def assert_known(body: Any, schema: dict[str, Any]) -> None:
    """Subscribers must accept new fields; we must not send one that is not written down."""
    if isinstance(body, dict) and "properties" in schema:
        assert set(body) <= set(schema["properties"])
        for name, value in body.items():
            assert_known(value, schema["properties"][name])
    if isinstance(body, list) and isinstance(schema.get("items"), dict):
        for value in body:
            assert_known(value, schema["items"])


@pytest.mark.parametrize("phase", list(Phase))
def test_events_keep_to_their_schema(phase: Phase) -> None:
    body = committed(event_body(replace(EVENT, phase=phase), inspection(), IDENTITY))
    check(body, "event")
    assert body["schema"] == "edgevision.event/1"
    assert (body["event_id"], body["track_id"], body["type"]) == (EVENT.event_id, EVENT.track_id, phase.value)
    assert body["ts_capture"] == "2026-03-01T12:00:00.250Z"
    assert body["ts_result"] == "2026-03-01T12:00:00.256Z"
    assert body["defects"][0]["box_px"] == [1, 2, 30, 40]
    assert body["result_state"] == 1


def test_an_event_that_no_frame_caused_keeps_to_its_schema() -> None:
    body = committed(event_body(replace(EVENT, phase=Phase.END, reason="restart"), None, IDENTITY, "cam-1"))
    check(body, "event")
    assert "frame" not in body
    assert body["reason"] == "restart"


def test_results_keep_to_their_schema() -> None:
    body = committed(result_body(inspection(part_id="P-1", image={"path": "/a.jpg", "sha256": SHA}), IDENTITY, uuid7(3.0), 1_772_366_401.0))
    check(body, "result")
    assert body["frame"]["age_ms"] == 750.0
    none = inspection(verdict=Verdict.NOT_INSPECTED, reason="overflow", score=float("nan"), timing_ms={}, defects=())
    body = committed(result_body(none, IDENTITY, uuid7(3.0)))
    check(body, "result")
    assert (body["result_state"], body["score"]) == (4, None)


@pytest.mark.parametrize("is_over", [False, True])
def test_notices_keep_to_their_schema(is_over: bool) -> None:
    notice = Notice("audit", "audit", "map audit: 3 % of the answer is not that of the whole network", is_over)
    body = committed(notice_body(notice, inspection(), IDENTITY, uuid7(3.0), 1_772_366_401.0))
    check(body, "notice")
    assert (body["phase"], body["verdict"], body["about"]) == (("end", "OK", "audit") if is_over else ("new", "WARN", "audit"))


def test_states_keep_to_their_schemas() -> None:
    stats = {"pending": 3, "oldest_age_s": 1.5}
    check(state_body(IDENTITY, 1.0, True, stats, {"cam-1": "online"}, ("something",)), "state")
    seen = Snapshot("cam-1", "online", inspection(), {"frames": 5.0}, {"total_ms_p50": 3.0})
    fresh = Snapshot("cam-2", "disabled", None, {}, {})
    for snapshot in (seen, fresh):
        check(camera_state_body(snapshot, IDENTITY), "camera_state")
    check(health_body(IDENTITY, 1.0, (0.1, 0.2, 0.3), 1000, {"cam-1": seen, "cam-2": fresh}), "health")
    check(committed(gap_body(uuid7(1.0), "cam-1", 5.0, {"ok": 2}, (3, 9), "the outbox was full")), "gap")


@pytest.mark.parametrize(
    ("defects", "points", "reduced"),
    [(1, 100, None), (1, 20_000, "polygons_thinned"), (300, 40, "polygons_dropped"), (2000, 40, "defects_dropped")],
)
def test_large_messages_are_made_to_fit_and_say_so(defects: int, points: int, reduced: str | None) -> None:
    region = replace(REGION, polygon=tuple((index, index) for index in range(points)))
    many = tuple(replace(DEFECT, region=replace(region, score=index / defects)) for index in range(defects))
    body = committed(result_body(inspection(defects=many), IDENTITY, uuid7(3.0)))
    check(body, "result")
    assert len(encode(body)) <= payload.LIMIT_BYTES
    assert body.get("reduced") == reduced
    if reduced is not None:
        assert body["defects_total"] == defects
        assert body["defects"][0]["score"] == max(defect["score"] for defect in body["defects"])


def test_times_are_rfc_3339_with_milliseconds() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_772_366_400.9996) == "2026-03-01T12:00:00.999Z"


def test_a_late_message_says_so_and_changes_nothing_else() -> None:
    body = committed(event_body(EVENT, inspection(), IDENTITY))
    late = json.loads(payload.as_historical(encode(body)))
    assert late == body | {"historical": True}
