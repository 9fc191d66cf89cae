"""Gates found by `edgevision gates`, kept beside the network they are for. In: a file, a network. Out: gates by step name. Keeps nothing.

The file is JSON: `schema`, `network` (a name, for people), `sha256` of the network file, `gates` (step name: share of the step's range),
and `measured`, what the search found, for people. Gates of another network would be silently wrong, so they are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgevision.errors import ConfigError, InputError

SCHEMA = "edgevision.gates/1"
_REMEDY = "make it with `edgevision gates NETWORK --clip VIDEO --out FILE`"


@dataclass(frozen=True, slots=True)
class GateFile:
    """What such a file holds. `gates` are shares of a step's output range, at least 0 and below 1."""

    network: str
    sha256: str
    gates: Mapping[str, float]
    measured: Mapping[str, Any] = field(default_factory=dict)
    schema: str = SCHEMA


def write_gates(path: Path, content: GateFile) -> None:
    """Write the file. Raises InputError when it cannot be written."""
    try:
        path.write_text(json.dumps(asdict(content), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a file in a folder that is there and may be written") from error


def read_gates(path: Path, network: Path) -> dict[str, float]:
    """The gates for `network`, a network file that is there. Raises ConfigError for a file that is none or belongs to another network."""
    content = _parsed(path)
    gates = content.get("gates")
    if content.get("schema") != SCHEMA or not isinstance(gates, dict):
        raise ConfigError(f"{path}: schema is {content.get('schema')!r}; it must be {SCHEMA!r} with `gates`; {_REMEDY}")
    found = sha256_of(network)
    if content.get("sha256") != found:
        raise ConfigError(
            f"{path}: its gates are for {content.get('network')} (sha256 {str(content.get('sha256'))[:12]}), "
            f"the network is {network} (sha256 {found[:12]}); {_REMEDY}"
        )
    for name, gate in gates.items():
        if isinstance(gate, bool) or not isinstance(gate, int | float) or not 0 <= gate < 1:
            raise ConfigError(f"{path}: gate of step '{name}' is {gate!r}; it must be a number, at least 0 and below 1; {_REMEDY}")
    return {name: float(gate) for name, gate in gates.items()}


def sha256_of(network: Path) -> str:
    """Of a network file, as `SelectiveNetwork.sha256` gives it."""
    return hashlib.sha256(network.read_bytes()).hexdigest()


def _parsed(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; recompute.gate is a number or the path of a gate file; {_REMEDY}") from error
    except ValueError as error:  # no UTF-8, or no JSON
        raise ConfigError(f"{path}: is no gate file: {error}; {_REMEDY}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: is no gate file: it holds no JSON object; {_REMEDY}")
    return content
