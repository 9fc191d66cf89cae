"""What a user may say about a candidate: another network, or other thresholds, beside those that a camera works by. Keeps nothing."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from edgevision.compare.settings import ChangeSettings
from edgevision.judge.rules import JudgeSettings
from edgevision.recompute.settings import RecomputeSettings
from edgevision.records import Settings
from edgevision.segment.settings import SegmentSettings

OTHERWISE = ("compare", "recompute", "segment", "judge")  # the sections in which a candidate may differ


class CandidateSettings(Settings):
    """A candidate beside the active network: it looks on, then judges a share of the parts, then all. Below it, only what differs."""

    enabled: bool = Field(False, description="Run the candidate; it costs memory and time of its own.")
    share: float = Field(
        0.0, ge=0, le=1, description="Share of the parts that it judges, chosen by their id; 0: it only looks on. Free running: 0 or 1."
    )
    every: int = Field(10, ge=1, le=100_000, description="With share 0: it looks at one of so many parts or frames.")
    patience_ms: float = Field(500.0, gt=0, le=2_000, description="So long a verdict waits for it; then the active network's stands.")
    limit: float = Field(0.05, ge=0, le=1, description="Share of the compared parts that it may judge otherwise before all go back.")
    window: int = Field(100, ge=1, le=10_000, description="So many parts that were compared last count for that.")
    failures: int = Field(3, ge=1, le=1000, description="So many crashes and late answers among them end it, too.")
    compare: ChangeSettings | None = Field(None, description="As the camera's own section, only what differs; empty: nothing.")
    recompute: RecomputeSettings | None = Field(None, description="As the camera's own section, only what differs; empty: nothing.")
    segment: SegmentSettings | None = Field(None, description="As the camera's own section, only what differs; empty: nothing.")
    judge: JudgeSettings | None = Field(None, description="As the camera's own section, only what differs; empty: nothing.")

    @property
    def otherwise(self) -> dict[str, Any]:
        """The sections in which it differs, whole."""
        return {name: section for name in OTHERWISE if (section := getattr(self, name)) is not None}
