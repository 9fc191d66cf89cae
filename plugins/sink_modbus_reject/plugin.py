"""A sink that drives a reject output over Modbus TCP: a coil that pulses for a bad part, a register that proves that inspection goes on.

In: inspections. Out: writes to a PLC or a remote I/O module. Kept: the connection, the pulses that are due, the heartbeat's count. One
thread owns the connection and does all writes; `deliver` only hands over, so that a slow PLC never holds up the camera.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, Protocol

from pydantic import Field

from edgevision.errors import Unavailable
from edgevision.records import Inspection, Phase, Settings, Verdict
from edgevision.registry import Registry

BEATS = 65_535  # the register counts 1..65535; 0 says that the sink was closed
Clock = Callable[[], float]


class RejectSettings(Settings):
    """Where the output is and how it behaves. Addresses count from 0."""

    type: Literal["modbus_reject"] = Field("modbus_reject", description="Names this sink.")
    host: str = Field(description="Address of the PLC or I/O module.", min_length=1, max_length=253)
    port: int = Field(502, ge=1, le=65_535, description="Its Modbus TCP port.")
    device_id: int = Field(1, ge=0, le=247, description="Its Modbus unit.")
    reject_coil: int = Field(0, ge=0, le=65_535, description="Coil that is on during a reject pulse.")
    heartbeat_register: int = Field(0, ge=0, le=65_535, description="Holding register that counts up while parts are inspected.")
    heartbeat_s: float = Field(0.5, ge=0.05, le=60, description="Seconds between two counts.")
    stale_s: float = Field(5.0, ge=0.1, le=3600, description="The count stands still after so many seconds without a completed inspection.")
    pulse_ms: float = Field(120.0, ge=5, le=60_000, description="Length of a reject pulse.")
    delay_ms: float = Field(0.0, ge=0, le=600_000, description="From the picture to the pulse: the way from the camera to the ejector.")
    late_ms: float = Field(
        500.0, ge=0, le=60_000, description="A pulse later than this would hit another part; the count stands still instead."
    )
    reject_on: tuple[Verdict, ...] = Field(
        (Verdict.NG, Verdict.NOT_INSPECTED), description="Verdicts that reject a part; a part that was not inspected is not good."
    )
    timeout_s: float = Field(1.0, ge=0.05, le=60, description="How long an answer of the PLC may take.")


class Link(Protocol):
    """The two writes that are needed. Both raise Unavailable."""

    def coil(self, is_on: bool) -> None: ...

    def heartbeat(self, count: int) -> None: ...

    def close(self) -> None: ...


class Output:
    """What the coil and the register should be at any time. Knows neither clock nor network."""

    def __init__(self, settings: RejectSettings) -> None:
        self.settings = settings
        self._starts: deque[float] = deque()
        self._on_until = float("-inf")
        self._fresh_until = float("-inf")
        self._silent_until = float("-inf")
        self._beat_due = float("-inf")
        self.beat = 0

    def take(self, inspection: Inspection, now: float, age_s: float) -> None:
        """Note a verdict on a picture of that age. A triggered part is rejected by its verdict, else each new defect rejects once."""
        if inspection.verdict is not Verdict.NOT_INSPECTED:
            self._fresh_until = now + self.settings.stale_s
        if inspection.part_id is not None:
            is_bad = inspection.verdict in self.settings.reject_on
        else:
            is_bad = any(event.phase is Phase.NEW and event.verdict in self.settings.reject_on for event in inspection.events)
        if not is_bad:
            return
        start = now - age_s + self.settings.delay_ms / 1e3
        if now - start > self.settings.late_ms / 1e3:
            self._silent_until = now + self.settings.stale_s
        else:
            self._starts.append(start)

    def coil(self, now: float) -> bool:
        """Is a pulse on? One that starts during another prolongs it; one that starts late is as long as any."""
        while self._starts and self._starts[0] <= now:
            self._starts.popleft()
            self._on_until = now + self.settings.pulse_ms / 1e3
        return now < self._on_until

    def is_beating(self, now: float) -> bool:
        """Is a count due? Never while nothing has been inspected or a pulse was missed: the PLC must see that it stands still."""
        if now < self._beat_due or not self._is_sound(now):
            return False
        self._beat_due = now + self.settings.heartbeat_s
        self.beat = self.beat % BEATS + 1
        return True

    def pause_s(self, now: float) -> float:
        """How long nothing has to be written, unless something is taken meanwhile."""
        due = [now + self.settings.heartbeat_s, *list(self._starts)[:1]]
        if now < self._on_until:
            due.append(self._on_until)
        if self._is_sound(now):
            due.append(self._beat_due)
        return max(0.0, min(due) - now)

    def forget(self) -> None:
        """Drop the pulses: after a broken link they would reject the wrong parts."""
        self._starts.clear()
        self._on_until = float("-inf")

    def _is_sound(self, now: float) -> bool:
        return self._silent_until <= now <= self._fresh_until


class ModbusLink:
    """A connection through pymodbus, the only place that knows it."""

    def __init__(self, settings: RejectSettings) -> None:
        try:
            from pymodbus.client import ModbusTcpClient
            from pymodbus.exceptions import ModbusException
        except ImportError as error:
            raise Unavailable("modbus_reject: pymodbus is not installed; run: pip install 'edgevision[modbus]'") from error
        self._settings = settings
        self._where = f"modbus_reject {settings.host}:{settings.port}"
        self._errors = (ModbusException, OSError)
        self._client = ModbusTcpClient(settings.host, port=settings.port, timeout=settings.timeout_s, retries=0)
        if not self._client.connect():
            raise Unavailable(
                f"{self._where}: no connection within {settings.timeout_s:g} s; check address, cable and the PLC's Modbus server"
            )

    def coil(self, is_on: bool) -> None:
        self._ask(self._client.write_coil, self._settings.reject_coil, is_on)

    def heartbeat(self, count: int) -> None:
        self._ask(self._client.write_register, self._settings.heartbeat_register, count)

    def close(self) -> None:
        self._client.close()

    def _ask(self, write: Callable[..., Any], address: int, value: bool | int) -> None:
        try:
            answer = write(address, value, device_id=self._settings.device_id)
        except self._errors as error:
            raise Unavailable(f"{self._where}: {write.__name__} {address}: {error}; the connection is made anew") from error
        if answer.isError():
            raise Unavailable(f"{self._where}: {write.__name__} {address} was refused ({answer}); check the address and unit in the PLC")


class RejectSink:
    """interfaces.Sink. Begins and ends with the coil off; a broken link silences the heartbeat, on which the PLC must stop the line."""

    def __init__(
        self,
        settings: RejectSettings,
        connect: Callable[[RejectSettings], Link] = ModbusLink,
        clock: Clock = time.monotonic,
        calendar: Clock = time.time,
    ) -> None:
        self.settings = settings
        self._connect, self._clock, self._calendar = connect, clock, calendar
        self._output = Output(settings)
        self._wake = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._problem: Unavailable | None = None

    def open(self) -> None:
        """Connect and switch the coil off. May be called again after an Unavailable."""
        self.close()
        link = self._connect(self.settings)
        try:
            link.coil(False)
        except Unavailable:
            link.close()
            raise
        self._output.forget()
        self._problem, self._stop = None, threading.Event()
        self._thread = threading.Thread(target=self._write, args=(link, self._stop), name="modbus_reject", daemon=True)
        self._thread.start()

    def deliver(self, inspection: Inspection) -> None:
        """Hand one inspection over. A link that broke is told once, as Unavailable; the next call connects again."""
        if self._problem is not None:
            problem, self._problem, self._thread = self._problem, None, None
            raise problem
        if self._thread is None:
            self.open()
        with self._wake:
            self._output.take(inspection, self._clock(), self._calendar() - inspection.ts)
            self._wake.notify()

    def close(self) -> None:
        """Coil off, heartbeat 0, hang up. A link that is broken is just dropped."""
        with self._wake:
            self._stop.set()
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(timeout=4 * self.settings.timeout_s)
        self._thread = None

    def _write(self, link: Link, stop: threading.Event) -> None:
        """The thread: write what has changed, then wait for the next change."""
        was_on = False
        try:
            while True:
                with self._wake:
                    if stop.is_set():
                        break
                    now = self._clock()
                    is_on, is_beating = self._output.coil(now), self._output.is_beating(now)
                    if is_on == was_on and not is_beating:
                        self._wake.wait(self._output.pause_s(now))
                        continue
                if is_on != was_on:
                    link.coil(is_on)
                    was_on = is_on
                if is_beating:
                    link.heartbeat(self._output.beat)
            link.coil(False)
            link.heartbeat(0)
        except Unavailable as error:
            self._problem = error
        finally:
            link.close()


def register(registry: Registry) -> None:
    registry.register("sink", "modbus_reject", RejectSink, RejectSettings)
