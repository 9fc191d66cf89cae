"""The promises a plugin may keep. The four kinds of plugin are these four classes.

Every method is called from one thread of one process, never before `open` and never after `close`. What a plugin raises is caught by
its wrapper, which counts, logs and retries; a plugin does none of that itself.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from edgevision.records import ChangeMap, Defect, Frame, Image, Inspection, Mask, Region


@runtime_checkable
class Source(Protocol):
    """Where pictures come from. Runs in a child process, which may be killed from outside when it hangs."""

    def open(self) -> None:
        """Connect. Raises CameraError with the cause; called again after a back-off."""

    def read(self) -> tuple[Image, float]:
        """The next picture and its capture time (seconds since the epoch). Blocks. Raises EndOfStream, CameraError or BadFrame.

        TimeoutError says that the source is well and has nothing yet; it is asked again. What else a source may tell: `capture/decoder.py`.
        """

    def close(self) -> None:
        """Release the device. Called once; must not raise."""


@runtime_checkable
class Policy(Protocol):
    """Which live pixels are recomputed now."""

    def select(self, change: ChangeMap) -> Mask:
        """A bool (H, W) inside `change.live` (controls may exceed it). What is left out stays live and forbids OK meanwhile."""


@runtime_checkable
class TimedPolicy(Policy, Protocol):
    """A policy that goes by the clock."""

    def spent(self, elapsed_ms: float) -> None:
        """How long the network took on what was selected last. Called once after each run of it."""


@runtime_checkable
class Rule(Protocol):
    """Which regions are defects."""

    def judge(self, regions: tuple[Region, ...], frame: Frame, change: ChangeMap) -> tuple[Defect, ...]:
        """The defects among the regions. Must not keep the arrays it is shown, and must answer alike each time it is asked.

        A close call is found by asking again, with the regions a little likelier and larger, or less so, or aside.
        """


@runtime_checkable
class Sink(Protocol):
    """Where inspections go beside MQTT: a reject output, a database, a lamp."""

    def open(self) -> None:
        """Connect. Raises Unavailable with the cause; called again after a back-off."""

    def deliver(self, inspection: Inspection) -> None:
        """Take one inspection. Each comes at least once while 256 or fewer wait; raise Unavailable to get it again."""

    def close(self) -> None:
        """Let go. Called once; must not raise."""
