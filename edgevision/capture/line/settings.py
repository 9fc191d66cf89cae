"""Everything that can be set on the synthetic line. Pixels and gray levels are those of the finished 8-bit picture."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from edgevision.records import Settings


def _ordered(span: tuple[float, float]) -> tuple[float, float]:
    """Refuse a range whose first number is the larger one."""
    if span[0] > span[1]:
        raise ValueError(f"is {list(span)}; the first number is the minimum and must not exceed the second")
    return span


Positive = Annotated[float, Field(ge=0, le=10_000)]
Span = Annotated[tuple[Positive, Positive], AfterValidator(_ordered)]


class SyntheticSettings(Settings):
    """A seeded factory line. What can be found: area >= 20 px and contrast >= 4 x sqrt(noise_sigma^2 + grain^2), about."""

    type: Literal["synthetic"] = Field(default="synthetic", description="Names this source.")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="The same seed gives the same line, frame for frame.")
    width: int = Field(default=1280, ge=320, le=3840, multiple_of=16, description="Picture width in pixels.")
    height: int = Field(default=720, ge=176, le=2160, multiple_of=16, description="Picture height in pixels.")
    fps: float = Field(default=30.0, ge=1.0, le=240.0, description="Frames per second of line time.")
    frames: int | None = Field(default=None, ge=1, description="End after this many frames; leave it out for a line that never ends.")
    realtime: bool = Field(default=True, description="Give frames at `fps` by the clock; false gives each as soon as it is asked for.")

    stand_s: Span = Field(default=(1.0, 1.5), description="How long a part stands to be inspected, seconds, least and most.")
    move_s: Span = Field(default=(0.9, 1.1), description="How long the belt moves between two parts, seconds, least and most.")
    gap_rate: float = Field(default=0.05, ge=0, le=1, description="Share of places on the belt that carry no part.")
    jitter_px: float = Field(default=6.0, ge=0, le=40, description="How far from the middle of the station a part may stop.")
    rotation_deg: float = Field(default=4.0, ge=0, le=45, description="How far a part may be turned, either way.")
    brightness: Span = Field(default=(105.0, 165.0), description="Mean gray level of the metal, darkest and brightest part.")
    grain: Span = Field(default=(1.0, 3.0), description="Standard deviation of brushed grain and tool marks in gray levels (no defect).")
    dust: Span = Field(default=(0.0, 8.0), description="Specks of dust on a part, fewest and most; each under 8 px (no defect).")

    defect_rate: float = Field(default=0.35, ge=0, le=1, description="Share of parts that carry a defect; three in ten of those carry two.")
    contrast: Span = Field(default=(14.0, 40.0), description="Gray levels by which a scratch, stain or dent differs at its strongest.")
    scratch_length_px: Span = Field(default=(20.0, 60.0), description="Length of a scratch.")
    scratch_width_px: Span = Field(default=(1.6, 3.5), description="Width of a scratch.")
    stain_px: Span = Field(default=(10.0, 36.0), description="Diameter of a stain.")
    hole_px: Span = Field(default=(14.0, 24.0), description="Diameter of a drilled hole, and so of a missing one.")
    dent_px: Span = Field(default=(12.0, 34.0), description="Diameter of a dent.")

    noise_sigma: float = Field(
        default=2.0, ge=0, le=20, description="Sensor noise in gray levels at mid gray; it grows with the gray level."
    )
    lamp_drift: float = Field(default=0.07, ge=0, le=0.5, description="How far the lamp's gain wanders from 1, either way.")
    lamp_period_s: float = Field(default=45.0, ge=2, le=3600, description="Period of the lamp's slowest wander.")
    flicker: float = Field(default=0.015, ge=0, le=0.2, description="Gain wobble of the lamp at twice the mains frequency.")
    mains_hz: float = Field(default=50.02, ge=40, le=70, description="Mains frequency.")
    exposure_s: float = Field(default=0.0015, ge=0, le=0.05, description="Exposure time: moving parts smear by the way they make in it.")
    vibration_px: float = Field(default=0.5, ge=0, le=4, description="Shake of the whole picture while the belt runs and at knocks.")
    vibration_rest: float = Field(default=0.15, ge=0, le=1, description="Share of that shake which stays while the part stands.")
    knock_every_s: float = Field(default=25.0, ge=2, le=3600, description="Mean time between knocks that shake the camera for a second.")
    jpeg_quality: int = Field(default=92, ge=0, le=100, description="Quality of the camera's JPEG; 0 leaves compression out.")
    jpeg_pulse: int = Field(default=6, ge=0, le=50, description="Quality lost at each key frame, won back in the frames after it.")
    key_every: int = Field(default=30, ge=1, le=600, description="Frames between key frames.")
    clock: bool = Field(default=True, description="Burn the time into the picture, top left.")
