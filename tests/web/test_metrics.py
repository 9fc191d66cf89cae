"""The names that others rely on, and numbers worked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgevision.records import Histogram, Snapshot
from edgevision.web.metrics import metrics_text, registry_of
from edgevision.web.view import NodeView

CAMERA = Snapshot(
    "cam", "online", None, {"frames": 7, "events": 2, "pictures_kept": 1}, {"frame_age_s": 0.2, "live_fraction": 0.01},
    verdicts={"OK": 5, "NG": 2}, drops={"overload": 3}, reconnects={"hung": 1}, full_runs={"first": 1},
    stage_s={"compare": 0.5}, inspect_s=Histogram((0.01, 0.1), (4, 2, 1), 0.9),
)  # fmt: skip
VIEW = NodeView(
    "press-1", "1.0", "boot", 5.0, "f" * 64, True, True, "connected", 4, 999, 1.5, 0, 3,
    published={"accepted": 9, "kept": 1}, dropped={"ok": 2}, cameras={"cam": CAMERA},
)  # fmt: skip


def samples(view):
    text = metrics_text(registry_of(lambda: view)).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("frames_total", {"camera": "cam"}, 7),
        ("frames_dropped_total", {"camera": "cam", "reason": "overload"}, 3),
        ("frame_age_seconds", {"camera": "cam"}, 0.2),
        ("inspect_seconds_bucket", {"camera": "cam", "le": "0.01"}, 4),
        ("inspect_seconds_bucket", {"camera": "cam", "le": "0.1"}, 6),
        ("inspect_seconds_bucket", {"camera": "cam", "le": "+Inf"}, 7),
        ("inspect_seconds_sum", {"camera": "cam"}, 0.9),
        ("stage_seconds_sum", {"camera": "cam", "stage": "compare"}, 0.5),
        ("live_fraction", {"camera": "cam"}, 0.01),
        ("full_runs_total", {"camera": "cam", "reason": "first"}, 1),
        ("verdicts_total", {"camera": "cam", "verdict": "NG"}, 2),
        ("events_total", {"camera": "cam"}, 2),
        ("camera_up", {"camera": "cam"}, 1),
        ("camera_reconnects_total", {"camera": "cam", "reason": "hung"}, 1),
        ("mqtt_connected", {}, 1),
        ("mqtt_publish_total", {"result": "accepted"}, 9),
        ("outbox_events", {}, 4),
        ("outbox_oldest_seconds", {}, 1.5),
        ("outbox_dropped_total", {"class": "ok"}, 2),
        ("config_reload_success", {}, 1),
        ("build_info", {"version": "1.0", "node": "press-1"}, 1),
        ("pictures_total", {"camera": "cam", "result": "kept"}, 1),
    ],
)
def test_every_number_has_its_name(name, labels, value):
    assert samples(VIEW)[(f"edgevision_{name}", *sorted(labels.items()))] == value


def test_what_is_not_known_yet_is_not_invented():
    found = samples(replace(VIEW, cameras={"new": Snapshot("new", "offline", None, {}, {})}))
    assert found[("edgevision_camera_up", ("camera", "new"))] == 0
    assert not [key for key in found if "frame_age" in key[0] or "audit" in key[0]]


def test_the_process_itself_is_measured():
    names = {key[0] for key in samples(VIEW)}
    assert {"process_resident_memory_bytes", "process_open_fds"} <= names
