"""The service as commands see it: what a request or a `set` can have done. In: calls from the thread of `Requests`. Keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgevision.config import Config, builtin_registry, load, read
from edgevision.daemon.change import Wish
from edgevision.daemon.keeper import Keeper
from edgevision.daemon.requests import Body, Done
from edgevision.daemon.supervise import Supervisor
from edgevision.errors import CameraError


class ServiceNode:
    """See `requests.Node`."""

    def __init__(self, path: Path, supervisor: Supervisor, keepers: Mapping[str, Keeper]):
        """`keepers` may change meanwhile: cameras come and go."""
        self._path = path
        self._supervisor = supervisor
        self._keepers = keepers

    def cameras(self) -> tuple[str, ...]:
        """Every camera of the configuration in force, disabled ones included."""
        return tuple(self._supervisor.config.cameras)

    def offer(self, camera: str, body: Body) -> bool:
        """Ask for a part; False when it waits already."""
        return self._keeper(camera).offer(body)

    def ask(self, camera: str, verb: str, body: Body, done: Done) -> None:
        """Ask a camera's worker."""
        self._keeper(camera).ask(verb, body, done)

    def reload(self, changes: Mapping[str, str], done: Done) -> None:
        """Work by the file and these changes, or not at all."""
        self._supervisor.reload(Wish(dict(changes), done))

    def try_changes(self, changes: Mapping[str, str]) -> Config:
        """The configuration that the file and these changes give."""
        return load(read(self._path, changes=changes), registry=builtin_registry())

    def _keeper(self, camera: str) -> Keeper:
        keeper = self._keepers.get(camera)
        if keeper is None:
            raise CameraError(f"{camera}: the camera is disabled; set it to ON first")
        return keeper
