"""What travels between the stages: frozen values, arrays in them read-only.

Nothing here computes. Boxes are (x1, y1, x2, y2) in frame pixels, x2 and y2 exclusive. Times `ts` are seconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Image = NDArray[np.uint8] | NDArray[np.uint16]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]
Polygon = tuple[tuple[int, int], ...]


class Settings(BaseModel):
    """The base of every stage's settings: frozen, unknown keys refused, each field with a one-sentence description."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Verdict(StrEnum):
    """What is said of a frame or a part. Only a completed inspection is ever OK."""

    OK = "OK"
    NG = "NG"
    WARN = "WARN"
    NOT_INSPECTED = "NOT_INSPECTED"


class Scene(StrEnum):
    """The state of a camera's view as a whole."""

    NORMAL = "normal"
    LIGHT_CHANGE = "light_change"
    MISALIGNED = "misaligned"
    CALIBRATING = "calibrating"
    FALLBACK_DENSE = "fallback_dense"


class Phase(StrEnum):
    """Where a defect's event stands in its life."""

    NEW = "new"
    UPDATE = "update"
    END = "end"


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture from a camera: uint8 (H, W, 3) BGR or (H, W), or uint16 of the same shapes.

    `part_id` is set when a trigger asked for this frame: such a frame gets exactly one verdict. `way_px`: how far an encoder says the belt
    has moved since the frame before, None where nothing says so.
    """

    image: Image
    ts: float
    seq: int
    part_id: str | None = None
    job_id: str | None = None
    dropped_since_last: int = 0
    simulated: bool = False
    way_px: float | None = None


@dataclass(frozen=True, slots=True)
class ChangeMap:
    """What moved in one frame.

    `live` (H, W): differs from what the network last used, beyond noise; drives recomputation. `foreground` (H, W): differs from the
    reference. `fraction` is live's share. `corrected` is the frame after photometric correction (gain x value + offset brings it to the
    reference), valid at live pixels. `full_reason` is set when the whole frame must be run, once, and says why. `golden` is the golden
    picture as it lies in this frame, where the reference is one; valid until the next frame is measured.
    """

    live: Mask
    foreground: Mask
    fraction: float
    gain: float
    offset: float
    scene: Scene
    corrected: Image
    full_reason: str | None = None
    golden: Image | None = None


class StepCost(NamedTuple):
    """What one step of the network cost in the last call."""

    name: str
    how: str
    live_fraction: float
    macs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Costs:
    """What the last `first` or `next` cost. `mode` is full | partial | cached | foreign | splice; `note`, what does not run as asked."""

    live_fraction: float
    macs: int
    dense_macs: int
    mode: str
    steps: list[StepCost] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Region:
    """A connected place the network marked: `score` in 0..1, `polygon` its outline, `area_px` in frame pixels."""

    label: str
    score: float
    box_px: Box
    area_px: int
    polygon: Polygon
    centroid_px: tuple[float, float]


class Candidate(NamedTuple):
    """A region that is marked, or nearly: by how much the odds (as logarithm) of its likeliest value exceed the decoder's threshold.

    `excess` below 0: it falls short by so much, and is no region of the answer.
    """

    region: Region
    excess: float


@dataclass(frozen=True, slots=True)
class Defect:
    """A region that a rule took for a defect: `level` is NG or WARN, `threshold` the limit that it passed, `roi` the zone it lies in."""

    region: Region
    level: Verdict
    threshold: float
    rule: str
    roi: str | None = None
    polarity: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One message in the life of one physical defect. `track_id` names the defect, `event_id` this message (both UUIDv7)."""

    event_id: str
    track_id: str
    phase: Phase
    ts_first: float
    ts_last: float
    frames: int
    verdict: Verdict
    reason: str | None
    defect: Defect


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person should know of how a camera is inspected. `what` names the one thing; `is_over` takes back what was said of it.

    `kind` is audit | shift | rollout | template; `text` says what, by how much, and what to do.
    """

    kind: str
    what: str
    text: str
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Inspection:
    """Everything known about one inspected frame: what tests compare, `tap` shows and `study` analyses. Never aliases Memory."""

    camera: str
    frame_seq: int
    ts: float
    size_px: tuple[int, int]
    verdict: Verdict
    reason: str | None
    scene: Scene
    mode: str
    live_fraction: float
    foreground_fraction: float | None
    gain: float
    offset: float
    full_reason: str | None
    regions: tuple[Region, ...]
    defects: tuple[Defect, ...]
    events: tuple[Event, ...]
    score: float
    threshold: float
    costs: Costs | None
    timing_ms: Mapping[str, float]
    part_id: str | None = None
    job_id: str | None = None
    dropped_since_last: int = 0
    simulated: bool = False
    since_full_ms: float = 0.0
    audit_disagreement: float | None = None
    image: Mapping[str, str] | None = None
    audit: str | None = None  # passed | failed | fault, where one was made
    notices: tuple[Notice, ...] = ()
    judged_by: str = "active"  # or candidate
    close_call: str | None = None  # nearer | beside | whole | left, where the verdict hung on numbers near their limits

    @classmethod
    def not_made(cls, camera: str, reason: str, ts: float, threshold: float, **known: Any) -> Inspection:
        """What stands for an inspection that did not take place: NOT_INSPECTED, never OK. `known` are fields known all the same."""
        fields: dict[str, Any] = {
            "frame_seq": -1, "size_px": (0, 0), "verdict": Verdict.NOT_INSPECTED, "scene": Scene.NORMAL, "mode": "none",
            "live_fraction": 0.0, "foreground_fraction": 0.0, "gain": 1.0, "offset": 0.0, "full_reason": None, "regions": (),
            "defects": (), "events": (), "score": 0.0, "costs": None, "timing_ms": {},
        }  # fmt: skip
        return cls(camera=camera, reason=reason, ts=ts, threshold=threshold, **(fields | known))


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values were at most each bound: `counts` has one more, for those above the last. `total` is their sum."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of one camera as of now. Counters only grow, also over the lives of its worker process.

    `availability` is online | offline | disabled, `trouble` why it is not online, `warnings` what its source said of itself when it was
    opened. `figures` are of the newest inspections: `total_ms_p50`, `total_ms_p99`, `live_fraction_mean`, and of the last one
    `live_fraction`, `frame_age_s`, `audit_disagreement`. `drops` counts frames that were not looked at and `reconnects` lost decoders,
    both by reason; `full_runs` whole-network runs by reason; `audits` those made and
    `close_calls`, by outcome; `noticed` notices by kind; `compared` parts
    that a candidate looked at, too, by what came of it; `notices` are the texts of what is not over, by what they are about; `stage_s`
    seconds by stage; `inspect_s` the time an inspection took.
    """

    camera: str
    availability: str
    last: Inspection | None
    counters: Mapping[str, float]
    figures: Mapping[str, float]
    trouble: str | None = None
    warnings: tuple[str, ...] = ()
    verdicts: Mapping[str, int] = field(default_factory=dict)
    drops: Mapping[str, int] = field(default_factory=dict)
    reconnects: Mapping[str, int] = field(default_factory=dict)
    full_runs: Mapping[str, int] = field(default_factory=dict)
    audits: Mapping[str, int] = field(default_factory=dict)
    close_calls: Mapping[str, int] = field(default_factory=dict)
    noticed: Mapping[str, int] = field(default_factory=dict)
    compared: Mapping[str, int] = field(default_factory=dict)
    notices: Mapping[str, str] = field(default_factory=dict)
    stage_s: Mapping[str, float] = field(default_factory=dict)
    inspect_s: Histogram = Histogram((), (0,))


@dataclass(frozen=True, slots=True)
class Draft:
    """A message before it has a sequence number: the outbox adds `seq` and `boot_id` and makes it durable.

    `rank` orders what is dropped first when the outbox is full: health < ok < warn < ng.
    """

    event_id: str
    camera: str
    topic: str
    body: Mapping[str, Any]
    rank: str
