"""What others ask of the node over MQTT: `request/inspect_now` names a part. In: topic, payload. Out: a queued part, a response body.

Every message comes from outside: its size, kind and characters are checked, and a bad one is answered, logged and otherwise ignored.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from edgevision.capture.trigger import MAX_MESSAGE_BYTES
from edgevision.errors import CameraError, InputError
from edgevision.publish.topics import Topics
from edgevision.registry import nearest

log = logging.getLogger("edgevision")


class TakesParts(Protocol):
    """A camera that may be asked for parts, as Keeper and Feed are."""

    def offer(self, message: Mapping[str, Any]) -> bool:
        """Take a request. False when the part waits already. Raises InputError or CameraError."""


class Requests:
    """Called by the publisher's thread with each message. `feeds` may change meanwhile: cameras come and go."""

    def __init__(self, topics: Topics, feeds: Mapping[str, TakesParts]):
        self._root = f"{topics.base}/{topics.node}"
        self._feeds = feeds

    def __call__(self, topic: str, payload: bytes) -> tuple[str, bytes] | None:
        """Take one message; the response's topic and payload, None where none is due."""
        verb = topic.removeprefix(f"{self._root}/request/")
        if verb == topic:
            return None
        transaction = None
        try:
            body = _body(payload)
            transaction = body.get("transaction")
            if verb != "inspect_now":
                raise InputError(f"request {verb[:32]!r} is not known; this version answers inspect_now")
            is_taken = self._inspect(body)
            answer: dict[str, Any] = {"status": "ok", "queued": is_taken}
        except (InputError, CameraError) as error:
            log.warning("request refused: %s", error)
            answer = {"status": "error", "error": str(error)}
        if isinstance(transaction, str | int):
            answer["transaction"] = transaction
        return f"{self._root}/response/{verb[:32]}", json.dumps(answer).encode()

    def _inspect(self, body: Mapping[str, Any]) -> bool:
        camera = body.get("camera", next(iter(self._feeds)) if len(self._feeds) == 1 else None)
        if not isinstance(camera, str) or camera not in self._feeds:
            raise InputError(
                f"request: camera is {camera!r}; it must be one of {', '.join(self._feeds)}{nearest(str(camera), self._feeds)}"
            )
        return self._feeds[camera].offer(body)


def _body(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_MESSAGE_BYTES:
        raise InputError(f"request: {len(payload)} bytes; the limit is {MAX_MESSAGE_BYTES}; send only what is needed")
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise InputError('request: not JSON; send {"transaction": "...", ...}') from error
    if not isinstance(body, dict):
        raise InputError(f"request: a JSON {type(body).__name__}; send an object")
    return body
