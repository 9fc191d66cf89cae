"""What a demo's frames cost, ours and OpenVINO's. In: inspections, times. Keeps them all, for medians."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgevision.records import Inspection


@dataclass
class Timings:
    """Milliseconds of one run: ours on every frame, OpenVINO's on every `dense_every`-th."""

    selective: list[float] = field(default_factory=list)
    dense_f32: list[float] = field(default_factory=list)
    dense_default: list[float] = field(default_factory=list)
    live: list[float] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)

    def add(self, inspection: Inspection) -> None:
        """Take an inspection's times; `selective` is compare, recompute and the audits."""
        laps = inspection.timing_ms
        self.selective.append(laps["compare"] + laps["recompute"] + laps["audit"])
        self.live.append(inspection.live_fraction)
        for stage, lap_ms in laps.items():
            self.stages[stage] = self.stages.get(stage, 0.0) + lap_ms
