"""A recording through the pipeline, every frame once and in order: the same file gives the same answer each time.

In: a video file or a folder of images, a configuration. Out: one line of JSON a frame, a summary, and where a frame differs from a
golden run. Times are left out of the lines, so that a golden file holds on any machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TextIO

import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from edgevision.capture.camera import Camera, CameraCounters
from edgevision.config import CameraConfig, Config, builtin_registry, load
from edgevision.errors import BadFrame, EndOfStream, InputError, Unavailable
from edgevision.pipeline import Pipeline
from edgevision.records import Frame, Inspection, Settings
from edgevision.registry import Chosen, Registry, nearest

WAIT_S = 1.0
KEYS = ("seq", "verdict", "reason", "mode", "live_fraction", "regions", "events")  # of a line of answers
REASONS = 5  # different reasons for a frame that was not inspected, told in the summary


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
    reasons: list[str] = field(default_factory=list)
    lost: CameraCounters = field(default_factory=CameraCounters)

    def add(self, inspection: Inspection) -> None:
        """Count one inspection."""
        self.frames += 1
        self.bad_frames += inspection.mode == "none"
        if inspection.mode == "none" and inspection.reason and inspection.reason not in self.reasons and len(self.reasons) < REASONS:
            self.reasons.append(inspection.reason)
        self.events += sum(event.phase == "new" for event in inspection.events)
        self.verdicts[inspection.verdict.value] = self.verdicts.get(inspection.verdict.value, 0) + 1
        if inspection.mode != "none":
            self.live.append(inspection.live_fraction)
            self.total_ms.append(inspection.timing_ms["total"])


def replay(
    recording: Path, config: Path | None, camera: str | None, out: Path | LineFile | None, expect: Path | None, is_quiet: bool = False
) -> dict[str, Any]:
    """Inspect every frame of the recording; the summary has the counts, and as `differences` how many frames are not as in `expect`.

    Raises InputError for a missing recording or golden file and for an `out` that cannot be written, before anything is inspected;
    CameraError for a recording that cannot be read. What was inspected before that is in `out`.
    """
    golden = read_golden(expect) if expect else None
    pipeline = pipeline_for(recording, config, camera)
    source = open_camera(pipeline, recording)
    tally, lines = Tally(), []
    console = Console(stderr=True)
    is_silent = is_quiet or not console.is_terminal
    with (
        out if isinstance(out, LineFile) else LineFile(out) as file,
        Progress(SpinnerColumn(), TextColumn("{task.description}"), console=console, disable=is_silent, transient=True) as bar,
    ):
        task = bar.add_task("")
        for inspection in inspections(pipeline, source):
            tally.add(inspection)
            lines.append(as_line(inspection, recording))
            file.write(lines[-1])
            bar.update(task, description=f"frame {tally.frames}, {tally.events} events, {tally.verdicts}")
    tally.lost = source.counters
    if golden is not None:
        tally.differences = compare(golden, lines)
    return summary(tally, recording)


class LineFile:
    """The file of answers, written as they come. What was in it stays until the first line of this run; without one, no file is left.

    `keys`: of each line only these, for a golden file that leaves out what may differ from machine to machine; () for all.
    """

    def __init__(self, path: Path | None, keys: tuple[str, ...] = ()):
        """Raises InputError when it cannot be written, and for a key that no line has."""
        unknown = [key for key in keys if key not in KEYS]
        if unknown:
            raise InputError(f"--keys has {unknown[0]!r}; it must be of {', '.join(KEYS)}{nearest(unknown[0], KEYS)}")
        self._path, self._keys = path, keys
        self._is_fresh = True
        self._is_new = path is not None and not path.exists()
        self._file: TextIO | None = None
        if path is not None:
            try:
                self._file = path.open("a", encoding="utf-8")
            except OSError as error:
                raise InputError(f"{path}: {error.strerror}; name a file in a folder that is there and may be written") from error

    def write(self, line: str) -> None:
        """Add one line. Raises Unavailable, for a full disk."""
        if self._file is None:
            return
        try:
            if self._is_fresh and self._file.seekable():
                self._file.truncate(0)
            self._is_fresh = False
            self._file.write(f"{self._chosen(line)}\n")
            self._file.flush()
        except OSError as error:
            raise Unavailable(f"{self._path}: {error.strerror}; make room on its disk or name another file") from error

    def _chosen(self, line: str) -> str:
        told = json.loads(line)
        return json.dumps({key: told[key] for key in self._keys}) if self._keys else line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None and self._path is not None:
            self._file.close()
            if self._is_new and self._is_fresh:
                self._path.unlink(missing_ok=True)


def pipeline_for(recording: Path, config: Path | None, camera: str | None) -> Pipeline:
    """The pipeline of the configuration's camera, or one with every setting at its default."""
    if not recording.exists():
        raise InputError(f"{recording}: no such file or folder; give a video file or a folder of images")
    registry = builtin_registry()
    loaded = load(config, registry=registry) if config else default_config(recording, registry)
    return Pipeline.from_config(_reproducible(loaded), camera, registry)


def _reproducible(config: Config) -> Config:
    """The same without what depends on how fast this machine is."""
    cameras = {
        name: camera.model_copy(update={"recompute": camera.recompute.model_copy(update={"foreign": "never"})})
        for name, camera in config.cameras.items()
    }
    return config.model_copy(update={"cameras": cameras})


def default_config(recording: Path, registry: Registry) -> Config:
    """A configuration of one camera that reads the recording, everything else at its default."""
    kind = kind_of(recording)
    settings = registry.settings("source", kind) or Settings
    source = Chosen(kind, settings.model_validate({"path": str(recording)}))
    return Config(cameras={"replay": CameraConfig(source=source)})


def kind_of(recording: Path) -> str:
    """The source that reads it: `folder` or `file`."""
    return "folder" if recording.is_dir() else "file"


def open_camera(pipeline: Pipeline, recording: Path) -> Camera:
    """The recording as a camera that drops nothing, watched as the pipeline's own camera is; not opened yet."""
    settings = pipeline.settings.capture.model_copy(update={"lossless": True})
    return Camera(pipeline.camera, kind_of(recording), {"path": str(recording)}, settings)


def to_the_end(camera: Camera) -> Iterator[Frame | BadFrame]:
    """What an opened camera gives until it ends: frames, and in the place of one that must not be inspected, why."""
    while True:
        try:
            frame: Frame | BadFrame | None = camera.next(WAIT_S)
        except EndOfStream:
            return
        except BadFrame as error:
            frame = error
        if frame is not None:
            yield frame


def sound_frames(camera: Camera, lost: Callable[[BadFrame], None] = lambda error: None) -> Iterator[Frame]:
    """The frames of an opened camera until it ends; `lost` is told of each that must not be inspected."""
    for seen in to_the_end(camera):
        if isinstance(seen, BadFrame):
            lost(seen)
        else:
            yield seen


def inspections(pipeline: Pipeline, camera: Camera) -> Iterator[Inspection]:
    """Every frame's Inspection, in order. A frame that cannot be read is NOT_INSPECTED in its place."""
    with camera:
        for seen in to_the_end(camera):
            if isinstance(seen, BadFrame):
                yield pipeline.not_inspected(str(seen), 0.0, seen.seq, seen.part_id)
            else:
                yield pipeline.inspect(seen)


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
    """The lines of a golden file. Raises InputError for one that cannot be read, or has a line that is no record."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; give a file that `edgevision replay --out` made") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; make it with `edgevision replay RECORDING --out {path}`") from error
    for number, line in enumerate(lines, 1):
        try:
            is_record = isinstance(json.loads(line), dict)
        except ValueError:
            is_record = False
        if not is_record:
            raise InputError(f"{path}:{number}: is {line[:40]!r}, no record in JSON; give a file that `edgevision replay --out` made")
    return lines


def compare(golden: list[str], lines: list[str]) -> list[str]:
    """One text for each frame that differs: which frame, what was expected, what was found.

    A golden line may hold fewer keys than a replay gives (`--keys`): what it does not hold is not compared.
    """
    differences = [
        f"frame {k}: expected {wanted}, found {found}"
        for k, (wanted, found) in enumerate(zip(golden, lines, strict=False))
        if wanted != found and not _holds(found, wanted)
    ]
    if len(golden) != len(lines):
        differences.append(f"expected {len(golden)} frames, found {len(lines)}")
    return differences


def _holds(found: str, wanted: str) -> bool:
    """Whether a frame's line says all that the golden one says, and that is something."""
    try:
        said, asked = json.loads(found), json.loads(wanted)
    except ValueError:
        return False
    is_object = isinstance(said, dict) and isinstance(asked, dict) and bool(asked)
    return is_object and all(key in said and said[key] == value for key, value in asked.items())


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
        "restarts": tally.lost.restarts,
        "differences": len(tally.differences),
    }
    said = ", ".join(f"{count} {name}" for name, count in tally.verdicts.items())
    text = [
        f"{tally.frames} frames: {said}; {tally.events} events",
        f"live {live.mean():.2%} on average, {total_ms.mean():.1f} ms a frame, p99 {counts['total_ms_p99']:.1f} ms",
        *(f"not inspected: {reason}" for reason in tally.reasons),
        *(
            [f"decoder lost {tally.lost.restarts} times and started again; the last: {tally.lost.last_error}"]
            if tally.lost.restarts
            else []
        ),
        *tally.differences[:20],
    ]
    return {**counts, "text": "\n".join(text)}
