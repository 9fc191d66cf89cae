"""Values that were set over MQTT while running. In: a camera's key and a text. Out: changes for the configuration, states to publish.

They stand above the YAML file and below the environment, and outlive a restart. Kept: `changes.json`, with a schema version: a newer one is
refused, and a broken one is set aside and said.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgevision.config import CameraConfig, Config
from edgevision.errors import ConfigError, InputError, Unavailable
from edgevision.registry import nearest

SCHEMA = 1
MAX_TEXT = 128
MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Key:
    """A setting that may be set: where it stands below `cameras.CAMERA`, how a payload is read and a value is shown."""

    path: str
    parse: Callable[[str], Any]
    show: Callable[[Any], str]


def _switch(text: str) -> bool:
    if text not in ("ON", "OFF"):
        raise InputError(f"is {text[:20]!r}; it must be ON or OFF")
    return text == "ON"


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or len(text) > MAX_TEXT:
        raise InputError(f"is {text[:20]!r}; it must be a number")
    return value


def _whole(text: str) -> int:
    value = _number(text)
    if value != int(value):
        raise InputError(f"is {text[:20]!r}; it must be a whole number")
    return int(value)


def _text(text: str) -> str:
    if len(text) > MAX_TEXT or not text.isprintable():
        raise InputError(f"has {len(text)} characters; it must be at most {MAX_TEXT} printable ones")
    return text


KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "enabled": Key("enabled", _switch, lambda value: "ON" if value else "OFF"),
        "recipe": Key("recipe_id", _text, str),
        "product": Key("product_id", _text, str),
        "ng_threshold": Key("judge.ng", _number, lambda value: f"{value:g}"),
        "warn_threshold": Key("judge.warn", _number, lambda value: f"{value:g}"),
        "min_area": Key("judge.min_area_px", _whole, str),
        "measurements": Key("recompute.turbovit.measurements", _whole, str),
        "sparsity": Key("recompute.turbovit.sparsity", _number, lambda value: f"{value:g}"),
        "adjust": Key("compare.adjust.enabled", _switch, lambda value: "ON" if value else "OFF"),
        "candidate": Key("candidate.enabled", _switch, lambda value: "ON" if value else "OFF"),
        "candidate_share": Key("candidate.share", _number, lambda value: f"{value:g}"),
        "adjusted_noise": Key("compare.adjust.noise_sigma", _number, lambda value: "" if value is None else f"{value:g}"),
    }
)


def parse_payload(camera: str, name: str, payload: bytes) -> tuple[str, str | None]:
    """The dotted path and the YAML text that a `set` asks for; None to go back to the file's value. Raises InputError."""
    if name not in KEYS:
        raise InputError(f"{camera}/{name[:32]}: not known; it must be one of {', '.join(KEYS)}{nearest(name, KEYS)}")
    path = f"cameras.{camera}.{KEYS[name].path}"
    if not payload:
        return path, None
    if len(payload) > 4 * MAX_TEXT:
        raise InputError(f"{camera}/{name}: {len(payload)} bytes; the limit is {4 * MAX_TEXT}; send the value only")
    try:
        return path, json.dumps(KEYS[name].parse(payload.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise InputError(f"{camera}/{name}: not UTF-8; send text") from error
    except InputError as error:
        raise InputError(f"{camera}/{name} {error}") from error


def unused(camera: CameraConfig, name: str) -> str:
    """Why a setting does nothing for this camera; empty where it does something."""
    if KEYS[name].path.startswith("recompute.turbovit.") and camera.recompute.network != "turbovit":
        return f"is for cameras whose recompute.network is turbovit; this one's is {camera.recompute.network}"
    return ""


def shown(camera: CameraConfig, name: str) -> str:
    """A setting's effective value as its `state` topic says it; empty where it does nothing."""
    if unused(camera, name):
        return ""
    value: Any = camera
    for part in KEYS[name].path.split("."):
        value = getattr(value, part)
    return KEYS[name].show(value)


def asked(name: str, text: str) -> str:
    """What the `state` topic will say once this YAML text is in force."""
    return KEYS[name].show(json.loads(text))


def states(config: Config) -> dict[tuple[str, str], str]:
    """Every camera's settable values: (camera, key) to text."""
    return {(camera, name): shown(settings, name) for camera, settings in config.cameras.items() for name in KEYS}


class Changes:
    """The changes in force. `read` first."""

    def __init__(self, path: Path):
        self._path = path
        self._kept: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def kept(self) -> Mapping[str, str]:
        """Dotted path to YAML text, as `config.read` takes them."""
        return MappingProxyType(self._kept)

    def read(self, tell: Callable[[str, str], None] = lambda level, text: None) -> None:
        """Take up what was kept. Raises ConfigError for a file of a newer version, Unavailable for one that may not be read."""
        try:
            with self._path.open("rb") as file:
                plain = json.loads(file.read(MAX_FILE_BYTES + 1))
            if not isinstance(plain, dict) or not isinstance(plain.get("schema"), int) or not isinstance(plain.get("changes"), dict):
                raise ValueError("it holds no changes")
            if plain["schema"] > SCHEMA:
                text = f"its schema is {plain['schema']}, this version reads up to {SCHEMA}; install the newer version or remove it"
                raise ConfigError(f"{self._path}: {text}")
            self._kept = {str(path): str(text) for path, text in plain["changes"].items()}
        except FileNotFoundError:
            return
        except OSError as error:
            raise Unavailable(f"{self._path}: {error.strerror}; make the folder readable for this user or set node.state_dir") from error
        except (ValueError, RecursionError) as error:
            aside = self._path.with_name(self._path.name + ".broken")
            os.replace(self._path, aside)
            tell("error", f"{self._path}: {error}; set aside as {aside.name}: values set over MQTT are those of the file again")

    def with_change(self, path: str, text: str | None) -> dict[str, str]:
        """What would be kept after this change; None takes a value back to the file's."""
        others = {known: value for known, value in self._kept.items() if known != path}
        return others if text is None else {**others, path: text}

    def put(self, path: str, text: str | None) -> None:
        """Make one change the one in force, on disk first, from any thread. Raises Unavailable; nothing is changed then."""
        with self._lock:
            self.keep(self.with_change(path, text))

    def keep(self, changes: Mapping[str, str]) -> None:
        """Make these the ones in force, all at once."""
        draft = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("w", encoding="utf-8") as file:
                json.dump({"schema": SCHEMA, "changes": dict(changes)}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._path)
        except OSError as error:
            raise Unavailable(f"{self._path}: {error.strerror}; make the state folder writable for this user") from error
        self._kept = dict(changes)
