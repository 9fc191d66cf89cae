"""What a user may say about close calls, verdicts that hang on numbers near their limits: see `edgevision/close_calls.py`."""

from __future__ import annotations

from pydantic import Field

from edgevision.records import Settings


class SettleSettings(Settings):
    """When a verdict is taken for close, and what is done about it. Margins are logarithms of odds: 1 makes 0.5 of 0.73, 0.7 of 0.86."""

    enabled: bool = Field(
        True, description="Look closer where a verdict hangs on numbers near their limits, for what was left out may have moved them."
    )
    margin: float = Field(
        1.0, ge=0, le=2.5, description="How near: those places are taken anew, all their pixels. A logarithm of odds; 0: never."
    )
    reach_px: int = Field(16, ge=0, le=1024, description="How far around such a place is taken anew, too, in frame pixels.")
    whole_margin: float = Field(
        0.75,
        ge=0,
        le=2.5,
        description="What is so near even then is decided by the whole network on the raw frame, run in the Memory of audit_every with all "
        "that it sees from there; 0: never.",
    )
    whole_per_s: float = Field(
        2.0,
        ge=0,
        le=1000,
        description="The pixels of so many whole frames in a second at most, on average; triggered parts always have theirs.",
    )
