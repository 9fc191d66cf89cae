"""Where each message goes: `{base}/{node}/...`, nothing above it. In: ids. Out: topic names. Keeps nothing but the two ids."""

from __future__ import annotations

import re

from edgevision.errors import InputError

ID_PATTERN = "[a-z0-9_-]{1,32}"
RESERVED_CAMERAS = ("availability", "state", "health", "request", "response", "event")


def check_id(value: str, what: str) -> str:
    """`value` itself when it may stand in a topic; else InputError. `what` names it in the message, as `node.id`."""
    if not re.fullmatch(ID_PATTERN, value):
        raise InputError(f"{what} is {value!r}; it must be 1 to 32 characters of a-z, 0-9, '_' and '-', because it is part of MQTT topics")
    return value


class Topics:
    """The topic names of one node, as the table in the README lists them."""

    def __init__(self, base: str, node: str):
        self.base = check_id(base, "mqtt.base")
        self.node = check_id(node, "node.id")
        self._root = f"{base}/{node}"

    @property
    def client_id(self) -> str:
        """The MQTT client id: one connection per node."""
        return f"{self.base}-{self.node}"

    @property
    def commands(self) -> tuple[str, str]:
        """The two filters a node listens to, and nothing else."""
        return f"{self._root}/+/+/set", f"{self._root}/request/+"

    def availability(self, camera: str | None = None) -> str:
        """`online` or `offline` (a camera also `disabled`), retained."""
        return f"{self._below(camera)}/availability"

    def state(self, camera: str | None = None) -> str:
        """What the node, or one camera, is doing, retained."""
        return f"{self._below(camera)}/state"

    def health(self) -> str:
        """Load, memory and latency every 30 s, retained."""
        return f"{self._root}/health"

    def event(self, camera: str) -> str:
        """The life of each defect: `new`, `update`, `end`; also `gap`."""
        return f"{self._below(camera)}/event"

    def result(self, camera: str) -> str:
        """One message an inspected part or trigger."""
        return f"{self._below(camera)}/result"

    def setting(self, camera: str, key: str, what: str = "state") -> str:
        """One scalar of a camera: `what` is `set` (towards the node) or `state` (from it, retained)."""
        return f"{self._below(camera)}/{check_id(key, 'the key of a setting')}/{what}"

    def request(self, verb: str) -> str:
        """A command to the node."""
        return f"{self._root}/request/{check_id(verb, 'the verb of a request')}"

    def response(self, verb: str) -> str:
        """The answer to a command."""
        return f"{self._root}/response/{check_id(verb, 'the verb of a response')}"

    def parse_command(self, topic: str) -> tuple[str, ...] | None:
        """`(camera, key)` of a set topic, `(verb,)` of a request topic, None for anything else."""
        levels = topic.split("/")
        if levels[:2] != [self.base, self.node] or not all(re.fullmatch(ID_PATTERN, level) for level in levels):
            return None
        if len(levels) == 5 and levels[4] == "set":
            return levels[2], levels[3]
        if len(levels) == 4 and levels[2] == "request":
            return (levels[3],)
        return None

    def _below(self, camera: str | None) -> str:
        if camera is None:
            return self._root
        if camera in RESERVED_CAMERAS:
            raise InputError(f"camera id is {camera!r}; that name is a topic of the node itself; choose another")
        return f"{self._root}/{check_id(camera, 'camera id')}"
