"""The reject output: its timing with a passed clock, its protocol against a real Modbus server."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgevision.config import builtin_registry, load
from edgevision.errors import Unavailable
from edgevision.interfaces import Sink
from edgevision.records import Defect, Event, Inspection, Phase, Region, Scene, Verdict
from edgevision.registry import Registry

HERE = Path(__file__).parent


def plugin() -> tuple[Any, Any]:
    """The plugin's settings class and its module's names."""
    registry = Registry()
    registry.load_plugin(HERE)
    return registry.settings("sink", "modbus_reject"), registry.get("sink", "modbus_reject")


def names(factory: Any) -> dict[str, Any]:
    return factory.__init__.__globals__


def inspection(verdict: Verdict, ts: float = 0.0, part_id: str | None = "part-1", events: tuple[Event, ...] = ()) -> Inspection:
    return Inspection(
        "cam", 0, ts, (8, 8), verdict, None, Scene.NORMAL, "partial", 0.0, 0.0, 1.0, 0.0, None, (), (), events, 0.0, 0.7, None, {}, part_id
    )  # fmt: skip


def event(phase: Phase, verdict: Verdict) -> Event:
    defect = Defect(Region("dent", 0.9, (0, 0, 4, 4), 16, ((0, 0), (3, 0), (3, 3)), (2.0, 2.0)), verdict, 0.7, "area_score")
    return Event("e", "t", phase, 0.0, 0.0, 3, verdict, None, defect)


def output(**settings: Any) -> Any:
    kind, factory = plugin()
    return names(factory)["Output"](kind(host="plc", pulse_ms=100, **settings))


def pulses(out: Any, until: float) -> list[tuple[float, float]]:
    """When the coil is on, by walking the pauses that the output itself asks for."""
    now, spans, start = 0.0, [], None
    while now < until:
        is_on = out.coil(now)
        out.is_beating(now)
        if is_on and start is None:
            start = now
        if not is_on and start is not None:
            spans.append((round(start, 3), round(now, 3)))
            start = None
        now += max(out.pause_s(now), 1e-6)
    return spans


@pytest.mark.parametrize(
    ("verdict", "is_rejected"), [(Verdict.OK, False), (Verdict.WARN, False), (Verdict.NG, True), (Verdict.NOT_INSPECTED, True)]
)
def test_what_rejects_a_part(verdict, is_rejected):
    out = output(delay_ms=400)
    out.take(inspection(verdict), 0.0, age_s=0.05)
    assert pulses(out, 2.0) == ([(0.35, 0.45)] if is_rejected else [])


def test_a_free_running_camera_rejects_each_new_defect_once():
    out = output()
    for told in ((), (event(Phase.NEW, Verdict.NG),), (event(Phase.UPDATE, Verdict.NG),), (event(Phase.END, Verdict.NG),)):
        out.take(inspection(Verdict.NG, part_id=None, events=told), 0.0, 0.0)
    out.take(inspection(Verdict.WARN, part_id=None, events=(event(Phase.NEW, Verdict.WARN),)), 0.0, 0.0)
    assert pulses(out, 1.0) == [(0.0, 0.1)]


def test_parts_on_their_way_have_a_pulse_each():
    out = output(delay_ms=500)
    for index in range(3):
        out.take(inspection(Verdict.NG), 0.0, age_s=-0.2 * index)
    assert pulses(out, 2.0) == [(0.5, 0.6), (0.7, 0.8), (0.9, 1.0)]


def test_a_late_pulse_is_dropped_and_the_heartbeat_stands_still():
    out = output(late_ms=200, stale_s=3.0)
    out.take(inspection(Verdict.NG), 0.0, age_s=0.3)
    assert pulses(out, 1.0) == []
    assert not out.is_beating(2.9)
    out.take(inspection(Verdict.OK), 3.0, age_s=0.0)
    assert out.is_beating(3.0)


def test_the_heartbeat_needs_inspections():
    out = output(heartbeat_s=0.5, stale_s=2.0)
    assert not out.is_beating(0.0)
    out.take(inspection(Verdict.NOT_INSPECTED, part_id=None), 0.0, 0.0)
    assert not out.is_beating(0.0)
    out.take(inspection(Verdict.OK), 1.0, 0.0)
    assert [out.is_beating(1.0 + step / 4) for step in range(7)] == [True, False, True, False, True, False, True]
    assert not out.is_beating(3.5)
    out.beat = 65_535
    out.take(inspection(Verdict.OK), 4.0, 0.0)
    assert out.is_beating(4.0)
    assert out.beat == 1


class Plc:
    """A real Modbus TCP server on loopback, and a second client to look into it."""

    def __init__(self) -> None:
        from pymodbus.client import ModbusTcpClient
        from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
        from pymodbus.server import ModbusTcpServer

        self.writes: list[tuple[int, int, int]] = []  # function, address, value
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        blocks = {name: ModbusSequentialDataBlock(1, [0] * 32) for name in ("co", "hr")}

        async def start() -> Any:
            context = ModbusServerContext(devices=ModbusDeviceContext(**blocks), single=True)
            server = ModbusTcpServer(context, address=("127.0.0.1", 0), trace_pdu=self._note)
            await server.serve_forever(background=True)
            return server

        self._server = asyncio.run_coroutine_threadsafe(start(), self._loop).result(10)
        self.port = self._server.transport.sockets[0].getsockname()[1]
        self._client = ModbusTcpClient("127.0.0.1", port=self.port, timeout=2)
        assert self._client.connect()

    def _note(self, is_sending: bool, pdu: Any) -> Any:
        if not is_sending and pdu.function_code in (5, 6):
            self.writes.append((pdu.function_code, pdu.address, int((pdu.bits if pdu.function_code == 5 else pdu.registers)[0])))
        return pdu

    def coil(self, address: int) -> bool:
        return bool(self._client.read_coils(address, count=1).bits[0])

    def register(self, address: int) -> int:
        return int(self._client.read_holding_registers(address, count=1).registers[0])

    def stop(self) -> None:
        self._client.close()
        asyncio.run_coroutine_threadsafe(self._server.shutdown(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def plc() -> Iterator[Plc]:
    if os.environ.get("CI") != "true":
        pytest.importorskip("pymodbus", reason="pymodbus is not installed: pip install 'edgevision[modbus]'")
    server = Plc()
    yield server
    server.stop()


def sink_of(port: int, **settings: Any) -> Sink:
    kind, factory = plugin()
    sink = factory(kind(host="127.0.0.1", port=port, reject_coil=8, heartbeat_register=3, timeout_s=2, **settings))
    assert isinstance(sink, Sink)
    return sink


def wait_for(is_true: Callable[[], bool], limit_s: float = 5.0) -> None:
    """Poll a real server until it shows what is expected."""
    end = time.monotonic() + limit_s
    while not is_true():
        assert time.monotonic() < end, "not seen in time"
        threading.Event().wait(0.005)


def test_a_bad_part_pulses_the_coil_of_a_real_server(plc):
    sink = sink_of(plc.port, pulse_ms=150)
    sink.open()
    assert not plc.coil(8)
    sink.deliver(inspection(Verdict.OK, time.time()))
    wait_for(lambda: plc.register(3) > 0)
    assert not plc.coil(8)
    sink.deliver(inspection(Verdict.NG, time.time()))
    wait_for(lambda: plc.coil(8))
    wait_for(lambda: not plc.coil(8))
    sink.close()
    assert plc.register(3) == 0
    assert [write for write in plc.writes if write[0] == 5] == [(5, 8, 0), (5, 8, 1), (5, 8, 0), (5, 8, 0)]


def test_closing_ends_a_pulse(plc):
    sink = sink_of(plc.port, pulse_ms=60_000)
    sink.open()
    sink.deliver(inspection(Verdict.NG, time.time()))
    wait_for(lambda: plc.coil(8))
    sink.close()
    assert not plc.coil(8)


def test_a_recording_never_fires(plc):
    sink = sink_of(plc.port)
    sink.open()
    sink.deliver(inspection(Verdict.NG, ts=1_000_000.0))
    sink.close()
    assert (5, 8, 1) not in plc.writes


def test_a_refused_address_says_so(plc):
    kind, factory = plugin()
    sink = factory(kind(host="127.0.0.1", port=plc.port, reject_coil=5000))
    with pytest.raises(Unavailable, match=r"write_coil 5000 was refused.*check the address"):
        sink.open()


def test_a_plc_that_goes_and_comes_is_told_once():
    kind, factory = plugin()
    fail = threading.Event()
    written: list[str] = []

    class FlakyLink:
        def __init__(self, settings: Any) -> None:
            if fail.is_set():
                raise Unavailable("plc: no connection")

        def coil(self, is_on: bool) -> None:
            self._write(f"coil {is_on}")

        def heartbeat(self, count: int) -> None:
            self._write(f"beat {count}")

        def close(self) -> None:
            written.append("closed")

        def _write(self, what: str) -> None:
            if fail.is_set():
                raise Unavailable("plc: gone")
            written.append(what)

    sink = factory(kind(host="plc", pulse_ms=5), connect=FlakyLink, calendar=lambda: 0.0)
    sink.open()
    fail.set()
    sink.deliver(inspection(Verdict.NG))
    wait_for(lambda: written[-1] == "closed")
    with pytest.raises(Unavailable, match="gone"):
        sink.deliver(inspection(Verdict.OK))
    with pytest.raises(Unavailable, match="no connection"):
        sink.deliver(inspection(Verdict.OK))
    fail.clear()
    sink.deliver(inspection(Verdict.OK))
    wait_for(lambda: any(what.startswith("beat") for what in written))
    sink.close()
    assert "coil True" not in written
    assert written[-2:] == ["beat 0", "closed"]


def test_no_plc_is_unavailable():
    if os.environ.get("CI") != "true":
        pytest.importorskip("pymodbus", reason="pymodbus is not installed: pip install 'edgevision[modbus]'")
    kind, factory = plugin()
    with pytest.raises(Unavailable, match=r"modbus_reject 127\.0\.0\.1:1: no connection"):
        factory(kind(host="127.0.0.1", port=1, timeout_s=0.2)).open()


def test_the_sample_loads():
    config = load(HERE / "sample.yaml", env={}, registry=builtin_registry())
    assert config.cameras["line"].sinks[0].type == "modbus_reject"
