"""A node in numbers, as Prometheus reads them. In: a NodeView. Out: the text of /metrics. Keeps nothing: all comes from the view."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from types import MappingProxyType

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from edgevision.records import Snapshot
from edgevision.web.view import NodeView

BY_REASON = MappingProxyType(  # field of a Snapshot -> (name, label, what it counts)
    {
        "drops": ("frames_dropped", "reason", "Frames that were not inspected."),
        "full_runs": ("full_runs", "reason", "Runs of the whole network."),
        "verdicts": ("verdicts", "verdict", "Verdicts on frames and parts."),
        "reconnects": ("camera_reconnects", "reason", "Losses of the camera or its decoder."),
        "audits": ("audits", "result", "Frames on which an audit was made, by what it found."),
        "close_calls": ("close_calls", "result", "Frames whose verdict hung on numbers near their limits, by what was done."),
        "noticed": ("notices", "kind", "Times that a person was told of failed audits, of a shift, of a candidate, of a template."),
        "compared": ("candidate_parts", "result", "Parts that a candidate looked at, too."),
    }
)
COUNTERS = MappingProxyType(  # counter of a Snapshot -> (name, what it counts)
    {
        "frames": ("frames", "Frames that got a verdict."),
        "events": ("events", "Messages in the lives of defects."),
        "worker_restarts": ("worker_restarts", "Worker processes started anew after they died or hung."),
        "commit_failures": ("commit_failures", "Attempts to keep messages that the disk refused."),
    }
)
FIGURES = MappingProxyType(  # figure of a Snapshot -> (name, what it is)
    {
        "frame_age_s": ("frame_age_seconds", "Age of the last frame when its verdict was known."),
        "live_fraction": ("live_fraction", "Share of the last frame that was recomputed."),
        "audit_disagreement": ("audit_disagreement", "Share of output values on which the last audit disagreed."),
    }
)
PICTURES = ("kept", "missed", "removed")


class NodeCollector(Collector):
    """Asks for a view whenever the numbers are wanted."""

    def __init__(self, look: Callable[[], NodeView]):
        self._look = look

    def collect(self) -> Iterator[Metric]:
        """Every metric as of now."""
        view = self._look()
        yield from of_node(view)
        yield from of_cameras(view.cameras)


def of_node(view: NodeView) -> Iterator[Metric]:
    """What concerns the node as a whole."""
    yield InfoMetricFamily("edgevision_build", "What runs.", {"version": view.version, "node": view.node})
    gauges = (
        ("mqtt_connected", "1 while the broker has welcomed us.", view.is_connected),
        ("outbox_events", "Messages that wait for the broker.", view.waiting),
        ("outbox_bytes", "Their size.", view.waiting_bytes),
        ("outbox_oldest_seconds", "Age of the oldest of them.", view.oldest_s),
        ("outbox_set_aside", "Messages that the broker will never take.", view.set_aside),
        ("config_reload_success", "0 while a newer configuration was refused and the last good one is in force.", view.is_config_ok),
        ("alarms", "What needs a person.", len(view.alarms)),
        ("start_time_seconds", "When the service started, since the epoch.", view.since_ts),
    )
    for name, text, value in gauges:
        yield GaugeMetricFamily(f"edgevision_{name}", text, float(value))
    yield _family("mqtt_publish", "Answers of the broker to events.", "result", view.published)
    yield _family("outbox_dropped", "Messages dropped because the outbox was over its bounds.", "class", view.dropped)


def of_cameras(cameras: Mapping[str, Snapshot]) -> Iterator[Metric]:
    """What concerns each camera."""
    up = GaugeMetricFamily("edgevision_camera_up", "1 while the camera gives frames.", labels=("camera",))
    for camera, snapshot in cameras.items():
        up.add_metric((camera,), float(snapshot.availability == "online"))
    yield up
    warnings = GaugeMetricFamily("edgevision_camera_warnings", "What a person should know of the camera now.", labels=("camera",))
    for camera, snapshot in cameras.items():
        warnings.add_metric((camera,), len(snapshot.warnings) + len(snapshot.notices))
    yield warnings
    for field, (name, label, text) in BY_REASON.items():
        family = CounterMetricFamily(f"edgevision_{name}", text, labels=("camera", label))
        for camera, snapshot in cameras.items():
            for reason, count in getattr(snapshot, field).items():
                family.add_metric((camera, reason), count)
        yield family
    for counter, (name, text) in COUNTERS.items():
        family = CounterMetricFamily(f"edgevision_{name}", text, labels=("camera",))
        for camera, snapshot in cameras.items():
            family.add_metric((camera,), snapshot.counters.get(counter, 0))
        yield family
    for figure, (name, text) in FIGURES.items():
        gauge = GaugeMetricFamily(f"edgevision_{name}", text, labels=("camera",))
        for camera, snapshot in cameras.items():
            if figure in snapshot.figures:
                gauge.add_metric((camera,), snapshot.figures[figure])
        yield gauge
    yield from _times(cameras)
    yield _pictures(cameras)


def _times(cameras: Mapping[str, Snapshot]) -> Iterator[Metric]:
    inspect = HistogramMetricFamily("edgevision_inspect_seconds", "Time of an inspection.", labels=("camera",))
    stage = SummaryMetricFamily("edgevision_stage_seconds", "Time spent in each stage.", labels=("camera", "stage"))
    for camera, snapshot in cameras.items():
        histogram = snapshot.inspect_s
        bounds = [*(f"{bound:g}" for bound in histogram.bounds), "+Inf"]
        inspect.add_metric((camera,), list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.total)
        for name, seconds in snapshot.stage_s.items():
            stage.add_metric((camera, name), sum(histogram.counts), seconds)
    yield inspect
    yield stage


def _pictures(cameras: Mapping[str, Snapshot]) -> Metric:
    family = CounterMetricFamily("edgevision_pictures", "Pictures of what was found.", labels=("camera", "result"))
    for camera, snapshot in cameras.items():
        for result in PICTURES:
            family.add_metric((camera, result), snapshot.counters.get(f"pictures_{result}", 0))
    return family


def _family(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"edgevision_{name}", text, labels=(label,))
    for key, count in counts.items():
        family.add_metric((key,), count)
    return family


def registry_of(look: Callable[[], NodeView]) -> CollectorRegistry:
    """The node's numbers, and those of the supervisor's process (memory, descriptors, CPU)."""
    registry = CollectorRegistry()
    registry.register(NodeCollector(look))
    ProcessCollector(registry=registry)
    return registry


def metrics_text(registry: CollectorRegistry) -> bytes:
    """The body of an answer to /metrics."""
    return generate_latest(registry)
