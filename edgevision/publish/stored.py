"""What the outbox holds and how much: settings, one stored message, the numbers. Frozen values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from pydantic import Field

from edgevision.records import Settings

Tell = Callable[[str, str], None]  # (level: info | warning | error, one line)
LaneKey = tuple[str, "Lane"]  # (camera, lane)


class OutboxSettings(Settings):
    """How much the outbox keeps, and for how long."""

    limit_mb: float = Field(256.0, ge=0.01, le=65536, description="Waiting messages above this size are dropped, health first, NG last.")
    limit_days: float = Field(30.0, gt=0, le=3650, description="Messages that waited longer than this many days are dropped.")
    history_mb: float = Field(64.0, ge=0, le=65536, description="Size up to which delivered messages are kept for a replay; 0 keeps none.")
    history_hours: float = Field(48.0, ge=0, le=87600, description="Hours for which delivered messages are kept for a replay.")
    historical_after_s: float = Field(
        5.0, ge=0, le=3600, description="After an outage, messages that waited longer are sent behind the live ones, as historical."
    )


class Lane(IntEnum):
    """The two queues of a camera: what happens now goes first, what an outage left over follows, marked as historical."""

    LIVE = 0
    BACKLOG = 1


@dataclass(frozen=True, slots=True)
class Stored:
    """One message as it lies in the outbox."""

    seq: int
    event_id: str
    camera: str
    topic: str
    lane: Lane
    body: bytes

    @property
    def key(self) -> LaneKey:
        """The queue it stands in."""
        return self.camera, self.lane


@dataclass(frozen=True, slots=True)
class OwedPart:
    """A part that was accepted and has no verdict yet."""

    part_id: str
    ts: float
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class OutboxStats:
    """The outbox in numbers, as of now. `committed`, `acked` and `dropped` (by class) count since it was opened, `totals` for ever."""

    pending: int
    pending_bytes: int
    oldest_age_s: float
    set_aside: int
    history: int
    committed: int
    acked: int
    dropped: dict[str, int] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    alarms: tuple[str, ...] = ()
