"""A recording through the pipeline, every frame once and in order: the same file gives the same answer each time.

In: a video file or a folder of images, a configuration. Out: one line of JSON a frame, a summary, and where a frame differs from a
golden run. Times are left out of the lines, so that a golden file holds on any machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from edgevision.capture.camera import Camera, CameraSettings
from edgevision.config import CameraConfig, Config, builtin_registry, load
from edgevision.errors import BadFrame, EndOfStream, InputError
from edgevision.pipeline import Pipeline
from edgevision.records import Inspection, Settings
from edgevision.registry import Chosen, Registry

WAIT_S = 1.0


@dataclass
class Tally:
    """What a replay adds up to."""

    frames: int = 0
    bad_frames: int = 0
    events: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    live: list[float] = field(default_factory=list)
    total_ms: list[float] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    def add(self, inspection: Inspection) -> None:
        """Count one inspection."""
        self.frames += 1
        self.bad_frames += inspection.mode == "none"
        self.events += sum(event.phase == "new" for event in inspection.events)
        self.verdicts[inspection.verdict.value] = self.verdicts.get(inspection.verdict.value, 0) + 1
        if inspection.mode != "none":
            self.live.append(inspection.live_fraction)
            self.total_ms.append(inspection.timing_ms["total"])


def replay(
    recording: Path, config: Path | None, camera: str | None, out: Path | None, expect: Path | None, is_quiet: bool = False
) -> dict[str, Any]:
    """Inspect every frame of the recording; the summary has the counts, and as `differences` how many frames are not as in `expect`.

    Raises InputError for a missing recording or golden file, CameraError for one that cannot be read.
    """
    golden = read_golden(expect) if expect else None
    pipeline = pipeline_for(recording, config, camera)
    tally, lines = Tally(), []
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=Console(stderr=True), disable=is_quiet, transient=True) as bar:
        task = bar.add_task("")
        for inspection in inspections(pipeline, recording):
            tally.add(inspection)
            lines.append(as_line(inspection, recording))
            bar.update(task, description=f"frame {tally.frames}, {tally.events} events, {tally.verdicts}")
    if out is not None:
        out.write_text("\n".join(lines) + "\n")
    if golden is not None:
        tally.differences = compare(golden, lines)
    return summary(tally, recording)


def pipeline_for(recording: Path, config: Path | None, camera: str | None) -> Pipeline:
    """The pipeline of the configuration's camera, or one with every setting at its default."""
    if not recording.exists():
        raise InputError(f"{recording}: no such file or folder; give a video file or a folder of images")
    registry = builtin_registry()
    loaded = load(config, registry=registry) if config else default_config(recording, registry)
    return Pipeline.from_config(loaded, camera, registry)


def default_config(recording: Path, registry: Registry) -> Config:
    """A configuration of one camera that reads the recording, everything else at its default."""
    kind = kind_of(recording)
    settings = registry.settings("source", kind) or Settings
    source = Chosen(kind, settings.model_validate({"path": str(recording)}))
    return Config(cameras={"replay": CameraConfig(source=source)})


def kind_of(recording: Path) -> str:
    """The source that reads it: `folder` or `file`."""
    return "folder" if recording.is_dir() else "file"


def inspections(pipeline: Pipeline, recording: Path) -> Iterator[Inspection]:
    """Every frame's Inspection, in order. A frame that cannot be read is NOT_INSPECTED in its place."""
    camera = Camera(pipeline.camera, kind_of(recording), {"path": str(recording)}, CameraSettings(lossless=True))
    with camera:
        while True:
            try:
                frame = camera.next(WAIT_S)
            except EndOfStream:
                return
            except BadFrame as error:
                yield pipeline.not_inspected(str(error), 0.0, error.seq, error.part_id)
                continue
            if frame is not None:
                yield pipeline.inspect(frame)


def as_line(inspection: Inspection, recording: Path) -> str:
    """What a golden file pins of one frame: verdict, regions, events; no times, no ids, and no place on this disk."""
    reason = inspection.reason and inspection.reason.replace(f"{recording.absolute()}/", "").replace(f"{recording}/", "")
    return json.dumps(
        {
            "seq": inspection.frame_seq,
            "verdict": inspection.verdict.value,
            "reason": reason,
            "mode": inspection.mode,
            "live_fraction": round(inspection.live_fraction, 4),
            "regions": [[region.label, round(region.score, 2), *region.box_px] for region in inspection.regions],
            "events": [[event.phase.value, event.defect.region.label] for event in inspection.events],
        }
    )


def read_golden(path: Path) -> list[str]:
    """The lines of a golden file."""
    try:
        return path.read_text().splitlines()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; make it with `edgevision replay RECORDING --out {path}`") from error


def compare(golden: list[str], lines: list[str]) -> list[str]:
    """One text for each frame that differs: which frame, what was expected, what was found."""
    differences = [
        f"frame {k}: expected {wanted}, found {found}"
        for k, (wanted, found) in enumerate(zip(golden, lines, strict=False))
        if wanted != found
    ]
    if len(golden) != len(lines):
        differences.append(f"expected {len(golden)} frames, found {len(lines)}")
    return differences


def summary(tally: Tally, recording: Path) -> dict[str, Any]:
    """The counts as a dictionary, `text` as a person reads them."""
    live = np.array(tally.live or [0.0])
    total_ms = np.array(tally.total_ms or [0.0])
    counts = {
        "recording": str(recording),
        "frames": tally.frames,
        "bad_frames": tally.bad_frames,
        "events": tally.events,
        "verdicts": tally.verdicts,
        "live_fraction_mean": float(live.mean()),
        "live_fraction_median": float(np.median(live)),
        "total_ms_p50": float(np.median(total_ms)),
        "total_ms_p99": float(np.percentile(total_ms, 99)),
        "differences": len(tally.differences),
    }
    said = ", ".join(f"{count} {name}" for name, count in tally.verdicts.items())
    text = [
        f"{tally.frames} frames: {said}; {tally.events} events",
        f"live {live.mean():.2%} on average, {total_ms.mean():.1f} ms a frame, p99 {counts['total_ms_p99']:.1f} ms",
        *tally.differences[:20],
    ]
    return {**counts, "text": "\n".join(text)}
