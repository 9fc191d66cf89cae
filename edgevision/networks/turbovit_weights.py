"""The weights of a TurboViT and the file that holds them. In: a path, or a spec and a seed. Out: a TurboViT. Keeps nothing.

The file is NumPy's .npz: one float32 array a name (see `turbovit`), or float16 to be half as large; `spec` and `metadata` as JSON text. The
metadata is that of any network here: `mean`, `std`, `scale`, `channel_order`, `labels`, `threshold`.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.networks.turbovit import TurboViTSpec, weight_shapes

SCHEMA = "edgevision.turbovit/1"
_REMEDY = "give a .npz file that `edgevision train` wrote for turbovit"
Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class TurboViT:
    """A network ready to be built: `weights` by name, what its file says of itself, where it came from."""

    spec: TurboViTSpec
    weights: Weights
    metadata: Mapping[str, str]
    path: str
    sha256: str

    def learned(self, layer: str) -> dict[str, NDArray[np.float32]]:
        """What an attention has learned for itself, by its own names; {} where the file has nothing of it."""
        start = f"{layer}."
        return {name.removeprefix(start): array for name, array in self.weights.items() if name.startswith(start)}


def read_turbovit(path: str | Path) -> TurboViT:
    """The network in a file. Raises UnsupportedNetwork, one line, for one that is none or whose weights are not those of its spec."""
    try:
        raw = Path(path).read_bytes()
        with np.load(Path(path), allow_pickle=False) as opened:
            arrays = {name: _widened(np.asarray(opened[name])) for name in opened.files}
    except FileNotFoundError as error:
        raise UnsupportedNetwork(f"{path}: no such file; {_REMEDY}") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UnsupportedNetwork(f"{path}: is no file of weights ({type(error).__name__}); {_REMEDY}") from error
    spec, metadata = _described(str(path), arrays)
    weights = {name: array for name, array in arrays.items() if name not in ("spec", "metadata")}
    _check(str(path), spec, weights)
    return TurboViT(spec, MappingProxyType(weights), MappingProxyType(metadata), str(path), hashlib.sha256(raw).hexdigest())


def _widened(array: NDArray[Any]) -> NDArray[Any]:
    """Numbers as they are computed with: a file may hold them in half precision."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


def write_turbovit(path: str | Path, spec: TurboViTSpec, weights: Weights, metadata: Mapping[str, str], *, is_half: bool = False) -> None:
    """Write the file, whole or not at all. Raises InputError for a disk that does not take it, UnsupportedNetwork for wrong weights."""
    arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in weights.items()}
    _check(str(path), spec, arrays)
    if is_half:
        arrays = {name: array.astype(np.float16) for name, array in arrays.items()}
    draft = Path(path).with_suffix(".draft.npz")
    texts = {"spec": json.dumps({"schema": SCHEMA, **asdict(spec)}), "metadata": json.dumps(dict(metadata))}
    try:
        np.savez(draft, **{name: np.array(text) for name, text in texts.items()}, **arrays)  # type: ignore[arg-type]
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InputError(f"{path}: {error.strerror}; name a file in a folder that is there and may be written") from error


def random_turbovit(spec: TurboViTSpec, seed: int = 0) -> TurboViT:
    """A network that has learned nothing, the same for the same seed: for measuring speed, which does not depend on what is learned."""
    random = np.random.default_rng(seed)
    weights: dict[str, NDArray[np.float32]] = {}
    for name, shape in weight_shapes(spec).items():
        fan_in = int(np.prod(shape[1:])) if len(shape) in (2, 4) else 0
        values = random.standard_normal(shape, np.float32)
        if name.endswith(".weight") and len(shape) == 1:
            weights[name] = (1 + 0.1 * values).astype(np.float32)
        else:
            weights[name] = (values * (fan_in**-0.5 if fan_in else 0.1)).astype(np.float32)
    text = json.dumps({"seed": seed, **asdict(spec)})
    metadata = {"labels": ", ".join(spec.labels), "seed": str(seed)}
    return TurboViT(
        spec,
        MappingProxyType(weights),
        MappingProxyType(metadata),
        f"turbovit (random, seed {seed})",
        hashlib.sha256(text.encode()).hexdigest(),
    )


def _described(path: str, arrays: Mapping[str, NDArray[Any]]) -> tuple[TurboViTSpec, dict[str, str]]:
    """The spec and the metadata that the file holds as text."""
    try:
        said = json.loads(str(arrays["spec"]))
        metadata = json.loads(str(arrays["metadata"]))
        schema = said.pop("schema")
    except (KeyError, ValueError, AttributeError) as error:
        raise UnsupportedNetwork(f"{path}: has no readable spec and metadata; {_REMEDY}") from error
    if schema != SCHEMA:
        raise UnsupportedNetwork(f"{path}: schema is '{schema}'; this version reads '{SCHEMA}'; {_REMEDY}")
    unknown = set(said) - {field.name for field in fields(TurboViTSpec)}
    if unknown or not isinstance(metadata, dict):
        raise UnsupportedNetwork(f"{path}: its spec says '{min(unknown, default='metadata')}', which is not known; {_REMEDY}")
    try:
        given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
        spec = TurboViTSpec(**given)
    except (InputError, TypeError) as error:
        raise UnsupportedNetwork(f"{path}: its spec is no network: {error}; {_REMEDY}") from error
    return spec, {str(key): str(value) for key, value in metadata.items()}


def _check(path: str, spec: TurboViTSpec, weights: Mapping[str, NDArray[Any]]) -> None:
    """Raises UnsupportedNetwork for weights of another architecture, or that are no numbers."""
    wanted = weight_shapes(spec)
    for name, shape in wanted.items():
        found = weights.get(name)
        if found is None:
            raise UnsupportedNetwork(f"{path}: has no weights '{name}' {list(shape)}: they are of another architecture; {_REMEDY}")
        if found.shape != shape:
            raise UnsupportedNetwork(
                f"{path}: weights '{name}' are {list(found.shape)}, its spec wants {list(shape)}: of another architecture; {_REMEDY}"
            )
    for name, array in weights.items():
        if name not in wanted and ".attention." not in name:
            raise UnsupportedNetwork(f"{path}: weights '{name}' belong to no layer of its spec; {_REMEDY}")
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise UnsupportedNetwork(f"{path}: weights '{name}' are not all finite float32 numbers; {_REMEDY}")
