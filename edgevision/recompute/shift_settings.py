"""What a user may say about the watch over pictures that change their nature: see `shift.py`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgevision.records import Settings


class ShiftLimits(Settings):
    """How far each statistic may move, as a share of what it was; features, of how they spread over the picture."""

    light: float = Field(0.4, gt=0, le=100, description="Brightness as the camera gives it.")
    brightness: float = Field(0.15, gt=0, le=100, description="Brightness as the network sees it, the light corrected.")
    contrast: float = Field(0.2, gt=0, le=100, description="Spread of gray levels as the network sees them.")
    sharpness: float = Field(0.15, gt=0, le=100, description="Fine detail: how gray levels bend from pixel to pixel along rows.")
    noise: float = Field(0.6, gt=0, le=100, description="Noise as the network sees it.")
    shake: float = Field(0.5, gt=0, le=100, description="How far frames lie off each other, in pixels and a quarter.")
    colour: float = Field(0.08, gt=0, le=100, description="Blue and red beside green.")
    evenness: float = Field(0.1, gt=0, le=100, description="Brightness of one part of the picture beside the whole.")
    stains: float = Field(
        0.02, gt=0, le=100, description="Brightness of one place of the picture beside those around it, outside of where it ever was."
    )
    features: float = Field(0.15, gt=0, le=100, description="Means of the network's own channels, on average.")
    novelty: float = Field(0.003, gt=0, le=1, description="Share of pixels that are brighter, darker or rougher than any before.")


class ShiftSettings(Settings):
    """Whether and how it is watched that pictures stay what they were when the camera was set up."""

    enabled: bool = Field(True, description="Watch input and features for a shift; some 40 microseconds a frame at 720p.")
    every: int = Field(10, ge=1, le=100_000, description="Frames between two samples.")
    block: int = Field(30, ge=2, le=10_000, description="Samples in a block, whose mean is compared; more than a few parts.")
    learn_blocks: int = Field(12, ge=3, le=1000, description="Blocks from which is learnt how it was; learn_reference learns anew.")
    window: int = Field(3, ge=1, le=100, description="Blocks whose mean must not have moved beyond a limit.")
    limits: ShiftLimits = Field(ShiftLimits(), description="How far each statistic may move.")
    action: Literal["notice", "warn"] = Field(
        "notice", description="`notice` tells by message, state, metric and log; `warn`: OK becomes WARN, too, until it is over."
    )
