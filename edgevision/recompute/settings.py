"""What a user may say about the network and how it is recomputed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from edgevision.records import Settings
from edgevision.registry import Chosen, Kind


class RecomputeSettings(Settings):
    """Which network runs, in which precision, and how its results are kept and checked."""

    network: Literal["default"] | Path = Field("default", description="`default`, the network that ships, or an ONNX or OpenVINO IR file.")
    precision: Literal["auto", "f32", "bf16", "int8"] = Field("auto", description="Arithmetic of the network; `auto` is the file's own.")
    threads: int = Field(1, ge=1, le=256, description="Threads that compute for this camera.")
    gate: float = Field(0.0, ge=0, le=1, description="Share of a step's range that a pixel must move by to be passed on; 0 is exact.")
    policy: Annotated[Chosen, Kind("policy")] = Field(
        Chosen("threshold"), description="Which live pixels are recomputed: threshold takes all; all, none and random are controls."
    )
    keyframe_s: float = Field(10.0, ge=0, le=86_400, description="The whole picture is refreshed in so many seconds, in bands; 0: never.")
    audit_every: int = Field(300, ge=0, le=1_000_000, description="Frames between two audits of memory and change map; 0: none.")
    memory_limit_mb: int = Field(1024, ge=16, le=1_048_576, description="A network whose memory would exceed this is refused at the start.")
