"""The service as commands see it: its cameras, and the ways to ask them or to change what they work by. In: deeds. Out: answers.

Called from the thread that obeys commands. Keeps nothing; what it names comes and goes with the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgevision.config import Config, builtin_registry, load, read
from edgevision.daemon.change import Wish
from edgevision.daemon.keeper import Keeper
from edgevision.errors import CameraError

Body = Mapping[str, Any]


class Node:
    """See `requests.Node`. `wish` is Supervisor.reload, set once there is one."""

    def __init__(self, path: Path, keepers: Mapping[str, Keeper], cameras: Callable[[], tuple[str, ...]]):
        """`keepers` are those of the cameras that are enabled, `cameras` names all that are configured."""
        self.cameras = cameras
        self.wish: Callable[[Wish], None] = lambda wish: None
        self._path = path
        self._keepers = keepers

    def offer(self, camera: str, body: Body) -> bool:
        """Ask for a part; False when it waits already. Raises InputError, CameraError."""
        return self._keeper(camera).offer(body)

    def count(self, camera: str, count: float, ts: float) -> None:
        """Hand on what a belt's encoder says; nothing is done where the camera does not run. Returns at once."""
        keeper = self._keepers.get(camera)
        if keeper is not None:
            keeper.count(count, ts)

    def ask(self, camera: str, verb: str, body: Body, done: Callable[[Body], None]) -> None:
        """Ask a camera's worker; `done` is called once, from any thread. Raises CameraError."""
        self._keeper(camera).ask(verb, body, done)

    def reload(self, changes: Mapping[str, str], done: Callable[[Body], None]) -> None:
        """Work by the file and these changes, or not at all; `done` is called once, from the supervisor's thread."""
        self.wish(Wish(dict(changes), done))

    def try_changes(self, changes: Mapping[str, str]) -> Config:
        """The configuration that the file and these changes give. Raises ConfigError."""
        return load(read(self._path, changes=changes), registry=builtin_registry())

    def _keeper(self, camera: str) -> Keeper:
        keeper = self._keepers.get(camera)
        if keeper is None:
            raise CameraError(f"{camera}: the camera is disabled; set it enabled first")
        return keeper
