"""What the page and the metrics show of a node. Frozen values; the daemon fills them in, nothing here knows where from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import Field

from edgevision.records import Settings, Snapshot


class WebSettings(Settings):
    """The status page and the metrics."""

    enabled: bool = Field(True, description="False opens no port at all.")
    host: str = Field("127.0.0.1", min_length=1, max_length=255, description="Address to listen on; others than loopback let anyone look.")
    port: int = Field(8377, ge=1, le=65535, description="Port of the page (/) and the metrics (/metrics); one for each node of a computer.")


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node as of now. `published` counts the broker's answers by result, `dropped` messages by class, both since the start."""

    node: str
    version: str
    boot_id: str
    since_ts: float
    config_sha256: str
    is_config_ok: bool
    is_connected: bool
    broker: str
    waiting: int
    waiting_bytes: int
    oldest_s: float
    set_aside: int
    history: int
    alarms: tuple[str, ...] = ()
    published: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    cameras: Mapping[str, Snapshot] = field(default_factory=dict)
