"""Keeps the service running: starts the stages in order, watches them, tells the world, stops them in order.

In: the built stages. Out: retained states on MQTT, notices to systemd, an exit code. Stopping drains within ten seconds.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgevision.config import Config, builtin_registry, load
from edgevision.daemon.board import Board
from edgevision.daemon.notify import Notifier
from edgevision.daemon.sinks import SinkRunner
from edgevision.daemon.worker import Worker
from edgevision.errors import EdgevisionError, Unavailable
from edgevision.publish.mqtt import Publisher
from edgevision.publish.orders import heed
from edgevision.publish.outbox import Outbox
from edgevision.publish.payload import Identity, camera_state_body, encode, health_body, state_body
from edgevision.publish.topics import Topics

log = logging.getLogger("edgevision")

TICK_S = 1.0
HEALTH_S = 30.0
JOIN_S = 4.0
SINKS_S = 1.0
DRAIN_S = 3.0  # with the goodbye to the broker, the three stay below ten seconds
STALL_S = 10.0
WEDGED_S = 120.0  # who is silent for so long is not coming back: systemd starts the service anew


@dataclass(frozen=True)
class Parts:
    """What the supervisor runs. `path` is the file that `config` was read from."""

    path: Path
    config: Config
    topics: Topics
    identities: Mapping[str, Identity]
    outbox: Outbox
    publisher: Publisher
    board: Board
    workers: tuple[Worker, ...]
    sinks: tuple[SinkRunner, ...]
    notifier: Notifier


class Supervisor:
    """The service. `run` returns when it was stopped, or when every camera's source has ended."""

    def __init__(self, parts: Parts, identity: Identity):
        self._parts = parts
        self._identity = identity
        self._stopping = threading.Event()
        self._is_reload_asked = False
        self._is_config_ok = True
        self._stalled: tuple[str, ...] = ()
        self._since_ts = time.time()
        self._health_s = float("-inf")

    def stop(self) -> None:
        """Ask for an ordered end; safe in a signal handler."""
        self._stopping.set()

    def reload(self) -> None:
        """Ask for a look at the configuration file; safe in a signal handler."""
        self._is_reload_asked = True

    def run(self) -> int:
        """The service's life; the exit code."""
        parts = self._parts
        parts.publisher.start()
        for sink in parts.sinks:
            sink.start()
        for worker in parts.workers:
            worker.start()
        parts.notifier.send("READY=1", f"STATUS={len(parts.workers)} cameras")
        log.info(
            "running: node %s, %d cameras, broker %s:%d",
            parts.topics.node,
            len(parts.workers),
            parts.config.mqtt.host,
            parts.config.mqtt.port,
        )
        try:
            self._watch()
        finally:
            self._finish()
        return max((worker.exit_code for worker in parts.workers), default=0)

    def _watch(self) -> None:
        """Tick until the end. A disk that fails for a while costs the figures, not the service."""
        while not self._stopping.wait(TICK_S) and self._is_needed():
            try:
                if self._is_reload_asked:
                    self._look_at_file()
                self._tick(time.monotonic())
            except Unavailable as error:
                log.error("%s", error)

    def _is_needed(self) -> bool:
        """False when every source has ended, or when one worker failed: then a fresh start is better than a camera less."""
        workers = self._parts.workers
        return any(worker.is_running for worker in workers) and not any(worker.has_failed for worker in workers)

    def announce(self, camera: str) -> None:
        """Publish a camera's availability and state."""
        snapshot = self._parts.board.snapshots()[camera]
        publisher, topics = self._parts.publisher, self._parts.topics
        publisher.retain(topics.availability(camera), snapshot.availability.encode())
        publisher.retain(topics.state(camera), encode(camera_state_body(snapshot, self._parts.identities[camera])))

    def _look_at_file(self) -> None:
        """Check the file and say what a restart would do; what runs stays as it is."""
        self._is_reload_asked = False
        parts = self._parts
        try:
            config = load(parts.path, registry=builtin_registry())
        except EdgevisionError as error:
            self._is_config_ok = False
            log.error("reload: %s; what runs stays as it is", error)
        else:
            self._is_config_ok = True
            is_same = config.sha256 == parts.config.sha256
            log.log(
                logging.INFO if is_same else logging.WARNING,
                "reload: %s is %s",
                parts.path,
                "sound and what runs" if is_same else "sound and differs from what runs; restart the service to use it",
            )
        self._publish_figures()

    def _tick(self, now_s: float) -> None:
        """Once a second: states that changed, the figures when due, a sign of life for systemd."""
        parts = self._parts
        heed(parts.outbox)
        for camera in parts.board.take_changed():
            self.announce(camera)
        if now_s - self._health_s >= HEALTH_S:
            self._health_s = now_s
            self._publish_figures()
        stalled = parts.board.stalled(now_s, STALL_S)
        for camera in stalled:
            if camera not in self._stalled:
                log.error("%s: one inspection takes more than %g s: offline until it ends", camera, STALL_S)
            parts.board.set_availability(camera, "offline")
        self._stalled = stalled
        is_alive = not parts.board.stalled(now_s, WEDGED_S)
        parts.notifier.send(*(["WATCHDOG=1"] if is_alive else []), f"STATUS={self._status(stalled)}")

    def _publish_figures(self) -> None:
        parts = self._parts
        snapshots = parts.board.snapshots()
        figures = health_body(self._identity, time.time(), os.getloadavg(), resident_bytes(), snapshots)
        parts.publisher.retain(parts.topics.health(), encode(figures), qos=0)
        stats = parts.outbox.stats()
        cameras = {name: snapshot.availability for name, snapshot in snapshots.items()}
        outbox = {"pending": stats.pending, "oldest_age_s": stats.oldest_age_s}
        body = state_body(self._identity, self._since_ts, self._is_config_ok, outbox, cameras, stats.alarms)
        parts.publisher.retain(parts.topics.state(), encode(body))

    def _status(self, stalled: tuple[str, ...]) -> str:
        parts = self._parts
        online = sum(snapshot.availability == "online" for snapshot in parts.board.snapshots().values())
        stall = f", stalled: {', '.join(stalled)}" if stalled else ""
        return f"{online} of {len(parts.workers)} cameras online, {parts.outbox.stats().pending} messages wait{stall}"

    def _finish(self) -> None:
        """Cameras first, then what they produced, then the connection."""
        parts = self._parts
        parts.notifier.send("STOPPING=1", "STATUS=draining")
        for worker in parts.workers:
            worker.stop()
        deadline_s = time.monotonic() + JOIN_S
        for worker in parts.workers:
            if not worker.join(max(0.1, deadline_s - time.monotonic())):
                log.error("%s: did not stop within %g s", worker.name, JOIN_S)
        deadline_s = time.monotonic() + SINKS_S
        for sink in parts.sinks:
            sink.stop(max(0.05, deadline_s - time.monotonic()))
        try:
            for camera in parts.board.take_changed():
                self.announce(camera)
            self._publish_figures()
            parts.publisher.stop(DRAIN_S)
            log.info("stopped: %d messages wait in the outbox for the next start", parts.outbox.stats().pending)
        except Unavailable as error:
            log.error("stopped: %s", error)
        parts.outbox.close()


def resident_bytes() -> int:
    """The process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
