"""What the service offers beside inspecting: commands, orders for the outbox, settable values, page and metrics. In: turns. Keeps threads.

None of it may stop an inspection or an alert: what fails here is a line in the log and an alarm.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from edgevision import __version__
from edgevision.daemon.board import Board
from edgevision.daemon.changes import states
from edgevision.daemon.requests import Node, Requests
from edgevision.daemon.supervise import Supervisor
from edgevision.errors import Unavailable
from edgevision.publish.mqtt import Publisher
from edgevision.publish.orders import heed
from edgevision.publish.outbox import Outbox
from edgevision.publish.topics import Topics
from edgevision.web.server import Server
from edgevision.web.view import NodeView

log = logging.getLogger("edgevision")

STOP_S = 0.5


@dataclass(frozen=True)
class Ends:
    """What is shown and spoken through."""

    topics: Topics
    outbox: Outbox
    publisher: Publisher
    board: Board


class Beside:
    """The supervisor calls `start`, `turn` about once a second, and `stop`, from its own thread."""

    def __init__(self, supervisor: Supervisor, ends: Ends, requests: Requests, node: Node):
        self._supervisor = supervisor
        self._ends = ends
        self._requests = requests
        self._node = node
        self._server: Server | None = None
        self._shown: Mapping[tuple[str, str], str] = {}
        self._trouble: str | None = None

    @property
    def alarms(self) -> tuple[str, ...]:
        """What does not work here."""
        return () if self._trouble is None else (self._trouble,)

    def start(self) -> None:
        """Begin to obey, and open the page."""
        self.show()
        self._requests.start(self._node, self._ends.publisher.reply, self.show)
        config = self._supervisor.config
        if not config.web.enabled:
            return
        server = Server(config.web, self.view, config.node.state_dir / "pictures")
        try:
            server.start()
        except Unavailable as error:
            self._trouble = str(error)
            log.error("%s; the service goes on without it", error)
            return
        self._server = server
        log.info("page and metrics on http://%s:%d", config.web.host, config.web.port)

    def turn(self) -> None:
        """Carry out what was asked of the outbox; show settable values that changed. Raises Unavailable when the disk fails."""
        sent = heed(self._ends.outbox)
        if sent:
            log.info("outbox: %d messages that were set aside are sent again", sent)
        if states(self._supervisor.config) != self._shown:
            self.show()

    def show(self) -> None:
        """Publish every camera's settable values as they are in force; from any thread."""
        now = states(self._supervisor.config)
        for (camera, key), text in now.items():
            self._ends.publisher.retain(self._ends.topics.setting(camera, key), text.encode())
        for camera, key in set(self._shown) - set(now):
            self._ends.publisher.retain(self._ends.topics.setting(camera, key), b"")
        self._shown = now

    def stop(self) -> None:
        """Obey nothing more, and close the page."""
        self._requests.stop(STOP_S)
        if self._server is not None:
            self._server.stop()

    def view(self) -> NodeView:
        """The node as of now, from any thread. Raises Unavailable when the outbox cannot be read."""
        supervisor, config = self._supervisor, self._supervisor.config
        outbox, publisher = self._ends.outbox.stats(), self._ends.publisher.stats()
        return NodeView(
            node=config.node.id,
            version=__version__,
            boot_id=self._ends.outbox.boot_id,
            since_ts=supervisor.since_ts,
            config_sha256=config.sha256,
            is_config_ok=supervisor.is_config_ok,
            is_connected=publisher.is_connected,
            broker=publisher.state,
            waiting=outbox.pending,
            waiting_bytes=outbox.pending_bytes,
            oldest_s=outbox.oldest_age_s,
            set_aside=outbox.set_aside,
            history=outbox.history,
            alarms=supervisor.all_alarms(),
            published={"accepted": publisher.accepted, "kept": publisher.kept, "set_aside": publisher.set_aside},
            dropped=outbox.dropped,
            cameras=self._ends.board.snapshots(),
        )
