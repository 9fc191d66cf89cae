"""A small broker inside the process, for the demo and for users who have none yet: amqtt, MQTT 3.1.1, on loopback only, for anyone.

In: a port. Out: a running broker on its own thread and event loop. Keeps messages in memory only.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from types import TracebackType
from typing import Any, Self

from edgevision.errors import Unavailable

START_S = 10.0
LOOPBACK = "127.0.0.1"


class EmbeddedBroker:
    """Started by `start` or `with`, stopped by `stop` or the end of the block."""

    def __init__(self, port: int | None = None):
        """`port` None or 0 takes a free one; `port` then says which."""
        self.host = LOOPBACK
        self.port = port or 0
        self._is_up = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)

    def start(self) -> None:
        """Listen. Raises Unavailable when the port is taken or the broker does not come up."""
        self.port = _claim(self.port)
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._thread.start()
        if not self._is_up.wait(START_S) or self._error is not None:
            raise Unavailable(f"embedded broker on {self.host}:{self.port}: {self._error or 'did not start'}; use a broker of your own")

    def stop(self) -> None:
        """Disconnect everyone and stop; safe to call twice."""
        if self._loop is not None and self._done is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._done.set)
            self._thread.join(START_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # amqtt raises many kinds; whoever waits in `start` is told
            self._error = error
            self._is_up.set()

    async def _serve(self) -> None:
        from amqtt.broker import Broker  # slow to import, and most processes never need it

        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(lambda loop, context: None)  # a client that vanishes is no news
        broker = Broker(_configuration(self.host, self.port))
        await broker.start()
        self._is_up.set()
        await self._done.wait()
        await broker.shutdown()


def _configuration(host: str, port: int) -> dict[str, Any]:
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }


def _claim(port: int) -> int:
    """The port when it is free, some free port for 0. Asked here because amqtt's own complaint is a traceback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise Unavailable(
                f"embedded broker: port {port} on {LOOPBACK}: {error.strerror}; stop the program that has it, or choose another port"
            ) from error
        free: int = probe.getsockname()[1]
        return free
