"""`edgevision check`: is this configuration sound, and with `--probe`, does what it names answer. In: a path. Out: lines, an exit code."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgevision.capture.folder import FolderSettings, first_picture
from edgevision.compare.background import ChangeDetector
from edgevision.config import CameraConfig, Config, builtin_registry, load
from edgevision.daemon.build_rollout import with_candidate
from edgevision.daemon.build_worker import open_feed
from edgevision.errors import BadFrame, ConfigError, EdgevisionError, InputError, Unavailable
from edgevision.pipeline import Pipeline
from edgevision.publish.mqtt import tail
from edgevision.recompute.load import check_network, network_path
from edgevision.registry import Registry

PROBE_S = 10.0


def check(path: Path, has_probe: bool = False) -> dict[str, Any]:
    """The report: `ok`, `exit_code` (0, 78 for the file, 69 for what does not answer), `lines` for a person, one a thing looked at."""
    registry = builtin_registry()
    try:
        config = load(path, registry=registry)
        lines = [f"{path}: sound, {len(config.cameras)} camera{'s' * (len(config.cameras) != 1)}, sha256 {config.sha256[:12]}"]
        for name, camera in config.cameras.items():
            network = network_path(camera.recompute)
            check_network(camera.recompute)
            Pipeline.from_config(config, name, registry)  # finds a golden picture that is missing or none
            refuse_unfit(camera, name)
            lines.append(f"{name}: source {camera.source.type}, trigger {camera.trigger.type}, network {network.name}")
            if camera.candidate.enabled:
                other = with_candidate(config, name)
                check_network(other.cameras[name].recompute)
                Pipeline.from_config(other, name, registry)
                what = ", ".join(camera.candidate.otherwise) or "nothing"
                lines.append(f"{name}: a candidate with share {camera.candidate.share:g}; it differs in {what}")
    except EdgevisionError as error:
        return {"ok": False, "exit_code": error.exit_code, "lines": str(error).splitlines()}
    exit_code = 0
    if has_probe:
        probes = [probe_state(config), probe_broker(config), *(probe_camera(config, name, registry) for name in config.cameras)]
        lines += [text for _, text in probes]
        exit_code = 0 if all(is_fine for is_fine, _ in probes) else Unavailable.exit_code
    return {"ok": exit_code == 0, "exit_code": exit_code, "lines": lines}


def refuse_unfit(camera: CameraConfig, name: str) -> None:
    """Raises ConfigError where a folder's first picture is of another size or kind than the golden one: no part would be inspected."""
    settings, seen = camera.source.settings, None
    if camera.compare.reference == "golden" and isinstance(settings, FolderSettings):
        seen = first_picture(settings)
    golden = ChangeDetector(camera.compare).golden if seen is not None else None
    if golden is not None and seen is not None:
        try:
            golden.refuse_unlike(seen, camera.compare.golden)
        except InputError as error:
            raise ConfigError(f"camera {name}: compare.golden: {error}") from error


def probe_broker(config: Config) -> tuple[bool, str]:
    """Does the broker take us in, with the user and password that are set."""
    try:
        tail(config.mqtt, (), lambda topic, payload: None, _once())
    except EdgevisionError as error:
        return False, str(error)
    return True, f"mqtt {config.mqtt.host}:{config.mqtt.port}: takes us in"


def _once() -> Callable[[], bool]:
    """False the first time, for the connection to be made, True from then on."""
    turns = iter((False,))
    return lambda: next(turns, True)


def probe_state(config: Config) -> tuple[bool, str]:
    """Can the state folder be written, by the user who asks."""
    folder = config.node.state_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return False, f"state folder {folder}: {error.strerror}; make it writable for this user or set node.state_dir"
    return True, f"state folder {folder}: can be written"


def probe_camera(config: Config, name: str, registry: Registry) -> tuple[bool, str]:
    """Does the camera give a picture, do polygons and reference fit it, and can the network inspect it."""
    camera = open_feed(config, name, registry).camera
    try:
        with camera:
            frame = camera.next(PROBE_S)
    except EdgevisionError as error:
        return False, str(error)
    if frame is None:
        return False, f"{name}: no frame within {PROBE_S:g} s: {camera.counters.last_error or 'no answer'}"
    try:
        ChangeDetector(config.cameras[name].compare).measure(frame.image)
        said = Pipeline.from_config(config, name, registry).inspect(frame)
    except BadFrame as error:
        return False, f"{name}: NOT_INSPECTED: {error}"
    except EdgevisionError as error:
        return False, f"{name}: {error}"
    if said.mode == "none":
        return False, f"{name}: NOT_INSPECTED: {said.reason}"
    height, width = frame.image.shape[:2]
    return True, f"{name}: gives frames of {width}x{height}"
