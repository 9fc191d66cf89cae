"""The sources that ship: name to the module that registers it. In: a registry. Out: nothing. Keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from edgevision.errors import ConfigError
from edgevision.registry import Registry, nearest

_HOMES: Mapping[str, str] = MappingProxyType(
    {
        "file": "edgevision.capture.file",
        "folder": "edgevision.capture.folder",
        "rtsp": "edgevision.capture.rtsp",
        "synthetic": "edgevision.capture.synthetic",
        "v4l2": "edgevision.capture.v4l2",
    }
)


def register(registry: Registry) -> None:
    """Make every source that ships known."""
    for name in _HOMES:
        register_one(registry, name)


def register_one(registry: Registry, name: str) -> None:
    """Make one source known, importing no other: a decoder child needs just its own. Raises ConfigError for an unknown name."""
    if name not in _HOMES:
        raise ConfigError(f"source is {name!r}; it must be one of {', '.join(_HOMES)}{nearest(name, _HOMES)}")
    import_module(_HOMES[name]).register(registry)
