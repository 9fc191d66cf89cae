"""Outputs beside MQTT, kept alive: opened with back-off, a failing one counted and retried, never in the way of the camera.

In: inspections. Out: calls to a Sink. Kept: a bounded queue a sink; what no longer fits in it is counted and logged.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from edgevision.errors import Unavailable
from edgevision.interfaces import Sink
from edgevision.records import Inspection

log = logging.getLogger("edgevision")

QUEUE = 256
RETRY_S = 1.0


class SinkRunner:
    """One sink in a thread of its own. `count(name)` is told of deliveries, failures and drops."""

    def __init__(self, name: str, sink: Sink, count: Callable[[str], None]):
        self.name = name
        self._sink = sink
        self._count = count
        self._queue: queue.Queue[Inspection] = queue.Queue(QUEUE)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sink-{name}", daemon=True)

    def start(self) -> None:
        """Begin, in a thread; the sink is opened there."""
        self._thread.start()

    def deliver(self, inspection: Inspection) -> None:
        """Hand over one inspection without waiting; a full queue is counted and logged."""
        try:
            self._queue.put_nowait(inspection)
        except queue.Full:
            self._count("sink_dropped")
            log.error("sink %s: %d inspections wait already; one is dropped: is its device reachable?", self.name, QUEUE)

    def stop(self, timeout_s: float) -> None:
        """Deliver what waits, at most for `timeout_s`, then close."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        is_open = False
        pending: Inspection | None = None
        while not (self._stopping.is_set() and pending is None and self._queue.empty()):
            try:
                if not is_open:
                    self._sink.open()
                    is_open = True
                pending = pending or self._queue.get(timeout=0.1)
                self._sink.deliver(pending)
                self._count("sink_delivered")
                pending = None
            except queue.Empty:
                continue
            except Exception as error:  # a plugin may raise anything
                if is_open and pending is not None and not isinstance(error, Unavailable):
                    self._count("sink_dropped")  # the sink is there, it is this inspection that it cannot take
                    pending = None
                is_open = self._lost(error)
            if self._stopping.is_set() and not is_open:
                break
        self._close()
        self._own_up(self._queue.qsize() + (pending is not None))

    def _own_up(self, left: int) -> None:
        """Say how many inspections the sink never got."""
        for _ in range(left):
            self._count("sink_dropped")
        if left:
            log.error("sink %s: stopped before it took %d inspections", self.name, left)

    def _lost(self, error: Exception) -> bool:
        self._count("sink_failures")
        log.error("sink %s: %s; tried again in %g s", self.name, error, RETRY_S)
        self._close()
        self._stopping.wait(RETRY_S)
        return False

    def _close(self) -> None:
        try:
            self._sink.close()
        except Exception as error:
            log.error("sink %s: close: %s", self.name, error)
