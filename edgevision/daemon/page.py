"""Page and metrics of the running service. In: the supervisor and what it runs. Out: views of it, over HTTP. Keeps the server.

It may stop no inspection and no alert: what fails here is a line in the log and an alarm.
"""

from __future__ import annotations

import logging

from edgevision import __version__
from edgevision.daemon.supervise import Parts, Supervisor
from edgevision.errors import Unavailable
from edgevision.web.server import Server
from edgevision.web.view import NodeView

log = logging.getLogger("edgevision")


class Page:
    """See `supervise.Extra`."""

    def __init__(self, supervisor: Supervisor, parts: Parts):
        self._supervisor = supervisor
        self._parts = parts
        self._server: Server | None = None
        self._trouble: str | None = None

    @property
    def alarms(self) -> tuple[str, ...]:
        """Why nobody can look, where that is so."""
        return () if self._trouble is None else (self._trouble,)

    def start(self) -> None:
        """Open the port, where one is wanted."""
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

    def stop(self) -> None:
        """Close every connection."""
        if self._server is not None:
            self._server.stop()

    def view(self) -> NodeView:
        """The node as of now, from any thread. Raises Unavailable when the outbox cannot be read."""
        supervisor, parts, config = self._supervisor, self._parts, self._supervisor.config
        outbox, publisher = parts.outbox.stats(), parts.publisher.stats()
        return NodeView(
            node=config.node.id,
            version=__version__,
            boot_id=parts.outbox.boot_id,
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
            cameras=parts.board.snapshots(),
        )
