"""The files that a camera's configuration names, as one fingerprint: their content may change where no word of the configuration does.

In: a configuration. Out: a SHA-256 for each camera, of its network, gates, golden picture, metadata and plugins. Keeps nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from edgevision.candidate import OTHERWISE, CandidateSettings
from edgevision.config import CameraConfig, Config
from edgevision.registry import Chosen, Registry

SECTIONS = ("compare", "recompute", "segment", "judge", "rules", "sinks")  # a source's files are read anew with each decoder


def fingerprints(config: Config, registry: Registry) -> dict[str, str]:
    """Each camera's, and under `CAMERA/candidate` its candidate's. A file that is not there counts as one; whoever needs it says so."""
    known: dict[Path, bytes] = {}
    found = {}
    for name, camera in config.cameras.items():
        named = {name: {*_named(camera, SECTIONS), *_plugins(camera, registry)}, candidate_of(name): {*_named(camera.candidate, OTHERWISE)}}
        for key, paths in named.items():
            total = hashlib.sha256()
            for path in sorted(paths):
                if path not in known:
                    known[path] = _digest(path)
                total.update(str(path).encode() + known[path])
            found[key] = total.hexdigest()
    return found


def candidate_of(camera: str) -> str:
    """Under which name a camera's candidate has its fingerprint."""
    return f"{camera}/candidate"


def _named(settings: CameraConfig | CandidateSettings, sections: tuple[str, ...]) -> Iterator[Path]:
    """The files in these sections, a network with its weights. What ships with edgevision changes with a restart only."""
    for section in sections:
        for path in _paths(getattr(settings, section)):
            yield path
            if path.suffix == ".xml":
                yield path.with_suffix(".bin")


def _paths(value: object) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Chosen):
        yield from _paths(value.settings)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _paths(getattr(value, name))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _paths(each)


def _plugins(camera: CameraConfig, registry: Registry) -> Iterator[Path]:
    """The code of its plugins."""
    chosen = [("source", camera.source), ("policy", camera.recompute.policy)]
    chosen += [("rule", rule) for rule in camera.rules] + [("sink", sink) for sink in camera.sinks]
    for kind, choice in chosen:
        folder = registry.origin(kind, choice.type)
        if folder is not None:
            yield from folder.glob("*.py")


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return b""
