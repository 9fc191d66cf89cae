"""The whole product on a synthetic line: camera process, pipeline, outbox, broker; what was found against what was there.

In: seconds, a seed, a configuration. Out: a report, and an annotated picture of each event. Every `dense_every`-th frame also goes through
the whole network in OpenVINO, so that both times come from the same run, the same frames and the same number of threads.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgevision.capture.camera import Camera, CameraSettings
from edgevision.capture.synthetic import Line, SyntheticSettings
from edgevision.config import Config, builtin_registry, load
from edgevision.daemon.build import share_folder
from edgevision.daemon.build_worker import identity_of
from edgevision.daemon.messages import Composer
from edgevision.errors import ConfigError
from edgevision.pipeline import Pipeline
from edgevision.publish.broker import EmbeddedBroker
from edgevision.publish.mqtt import Publisher
from edgevision.publish.outbox import Outbox
from edgevision.publish.topics import Topics
from edgevision.recompute.camera_network import CameraNetwork
from edgevision.recompute.settings import RecomputeSettings
from edgevision.records import Event, Frame, Inspection, Phase
from edgevision.study.peers.openvino_dense import OpenVinoDense
from edgevision.study.picture import draw_event
from edgevision.study.replay import sound_frames
from edgevision.study.timings import Timings
from edgevision.study.truth import Score, score_events
from edgevision.study.turbovit_export import dense_file
from edgevision.study.view import DemoView
from edgevision.study.waiting import loading_bar

DRAIN_S = 30.0


@dataclass(frozen=True)
class DemoSettings:
    """What to run. `config` None is the one that ships; `out` is the folder for pictures."""

    seconds: float
    seed: int
    config: Path | None
    out: Path
    dense_every: int = 15


class Dense:
    """The reference: the same network, whole, at single precision and at OpenVINO's default."""

    def __init__(self, network: CameraNetwork, settings: RecomputeSettings):
        self._network = network
        with dense_file(settings, network.input_shape) as path:
            self._peers = {kind: OpenVinoDense(path, network.input_shape, kind, settings.threads) for kind in ("f32", "default")}

    def run(self, timings: Timings) -> None:
        """Time both on the input that the selective network has just used."""
        x = self._network.used()
        for kind, times in (("f32", timings.dense_f32), ("default", timings.dense_default)):
            times.append(self._peers[kind].infer(x)[1])


class Demo:
    """One run: the line, its camera, the pipeline and the way to the broker."""

    def __init__(self, settings: DemoSettings, config: Config, state: Path, broker: EmbeddedBroker):
        registry = builtin_registry()
        self.settings = settings
        self.camera_id, camera = next(iter(config.cameras.items()))
        if not isinstance(camera.source.settings, SyntheticSettings):
            raise ConfigError(
                f"camera {self.camera_id} has source {camera.source.type!r}; the demo needs `synthetic`, whose truth is known"
            )
        self.line_settings = camera.source.settings.model_copy(update={"seed": settings.seed})
        self.frames = max(1, round(settings.seconds * self.line_settings.fps))
        self.line = Line(self.line_settings)
        self.pipeline = Pipeline.from_config(config, self.camera_id, registry)
        with loading_bar("loading the network") as progress:
            self.pipeline.prepare(np.zeros((self.line_settings.height, self.line_settings.width, 3), np.uint8), progress)
        topics = Topics(config.mqtt.base, config.node.id)
        self.composer = Composer(topics, identity_of(config, self.camera_id))
        self.outbox = Outbox(state / "outbox.sqlite", config.outbox)
        mqtt = config.mqtt.model_copy(update={"host": broker.host, "port": broker.port, "protocol": "3.1.1"})
        self.publisher = Publisher(mqtt, topics, self.outbox)
        self.timings = Timings()
        self.found: list[tuple[int, Event]] = []

    def run(self, view: DemoView) -> None:
        """Inspect every frame; publish what is found; time the reference now and then."""
        network = self.pipeline.network
        if network is None:
            raise ConfigError("the network is not loaded; this is a defect of edgevision")
        dense = Dense(network, self.pipeline.settings.recompute)
        self.settings.out.mkdir(parents=True, exist_ok=True)
        self.publisher.start()
        for frame in self._stream():
            inspection = self.pipeline.inspect(frame)
            self._tell(frame, inspection)
            if inspection.mode != "none":
                self.timings.add(inspection)
            if frame.seq % self.settings.dense_every == self.settings.dense_every - 1:
                dense.run(self.timings)
            view.show(self.frames, inspection, self.timings, self.outbox.stats())
        self.outbox.commit(self.composer.compose_end(self.pipeline.finish(time.time(), "stopped"), self.camera_id))
        self.publisher.wait_drained(DRAIN_S)

    def close(self) -> None:
        """Disconnect and close the outbox."""
        self.publisher.stop(DRAIN_S)
        self.outbox.close()

    def _stream(self) -> Iterator[Frame]:
        source = self.line_settings.model_copy(update={"frames": self.frames, "realtime": False})
        with Camera(self.camera_id, "synthetic", source, CameraSettings(lossless=True)) as camera:
            yield from sound_frames(camera)

    def _tell(self, frame: Frame, inspection: Inspection) -> None:
        drafts = self.composer.compose(inspection)
        if drafts:
            self.outbox.commit(drafts)
        for event in inspection.events:
            if event.phase is Phase.NEW:
                self.found.append((frame.seq, event))
                picture = draw_event(frame.image, event, f"frame {frame.seq}  {inspection.verdict}  {event.reason or ''}")
                cv2.imwrite(str(self.settings.out / f"event-{len(self.found):03d}-frame-{frame.seq:05d}.jpg"), picture)


def run_demo(settings: DemoSettings, is_quiet: bool = False) -> dict[str, Any]:
    """Run the demo; the report is what `demo --json` prints.

    Raises ConfigError for a configuration whose camera is not synthetic, Unavailable when the broker cannot start.
    """
    path = settings.config or share_folder("configs") / "demo.yaml"
    config = load(path, env={}, registry=builtin_registry())
    with tempfile.TemporaryDirectory(prefix="edgevision-demo-") as state, EmbeddedBroker() as broker, DemoView.opened(is_quiet) as view:
        demo = Demo(settings, config, Path(state), broker)
        try:
            demo.run(view)
            stats = demo.outbox.stats()
        finally:
            demo.close()
    score = score_events(demo.line, demo.frames, demo.found)
    report = report_of(demo, score, stats)
    view.finish(report, score, settings.out)
    return report


def report_of(demo: Demo, score: Score, stats: Any) -> dict[str, Any]:
    """The numbers of one run."""
    times, frames = demo.timings, len(demo.timings.selective)
    mean_ms = float(np.mean(times.selective))
    f32_ms, default_ms = float(np.median(times.dense_f32)), float(np.median(times.dense_default))
    return {
        "seed": demo.settings.seed,
        "seconds": demo.settings.seconds,
        "frames": frames,
        "truth_defects": len(score.truth),
        "found": len(score.found),
        "missed": len(score.missed),
        "false_alarms": score.false_alarms,
        "repeated": score.repeated,
        "live_fraction_mean": float(np.mean(times.live)),
        "live_fraction_median": float(np.median(times.live)),
        "selective_ms_mean": mean_ms,
        "selective_ms_p50": float(np.median(times.selective)),
        "selective_ms_p99": float(np.percentile(times.selective, 99)),
        "dense_f32_ms_p50": f32_ms,
        "dense_default_ms_p50": default_ms,
        "dense_frames": len(times.dense_f32),
        "speedup_f32": f32_ms / mean_ms,
        "speedup_default": default_ms / mean_ms,
        "threads": demo.pipeline.settings.recompute.threads,
        "stage_ms_mean": {stage: total / frames for stage, total in times.stages.items()},
        "events_committed": stats.committed,
        "events_acked": stats.acked,
        "truth": demo.line.truth_summary(demo.frames),
        "pictures": str(demo.settings.out),
    }
