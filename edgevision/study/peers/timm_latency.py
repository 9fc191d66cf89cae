"""Hierarchical networks of others, as timm builds them, on OpenVINO: their time beside a TurboViT's at the same input. Extra `peers`.

In: names, a size. Out: rows. Weights are random: time does not depend on them. timm needs torch and torchvision; OpenVINO converts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgevision.errors import InputError, Unavailable, UnsupportedNetwork
from edgevision.networks.turbovit import TurboViTSpec, layers, macs, parameters
from edgevision.networks.turbovit_weights import random_turbovit
from edgevision.study.peers.openvino_dense import OpenVinoDense
from edgevision.study.peers.openvino_model import converted, save_model
from edgevision.study.peers.turbovit_latency import median_ms
from edgevision.study.turbovit_export import export_turbovit

PEERS = ("mobilevitv2_200", "hiera_tiny_224")
PRECISIONS = ("f32", "default")


def race(ours: Mapping[str, TurboViTSpec], peers: Sequence[str] = PEERS, *, px: int = 224, threads: int = 1) -> list[dict[str, Any]]:
    """A row a network: `name`, `parameters_m`, `gmacs` (None for peers), `f32_ms`, `default_ms`, p50 of rounds in turn.

    Raises Unavailable without timm, InputError for a name that it does not know.
    """
    with tempfile.TemporaryDirectory() as folder:
        rows, lanes = [], []
        for name, path, facts in (*_ours(ours, px, Path(folder)), *_peers(peers, px, Path(folder))):
            rows.append({"name": name, **facts})
            lanes.append([OpenVinoDense(path, (1, 3, px, px), precision, threads) for precision in PRECISIONS])
        x = np.random.default_rng(0).standard_normal((1, 3, px, px)).astype(np.float32)
        for place, precision in enumerate(PRECISIONS):
            for row, lane in zip(rows, lanes, strict=True):
                row[f"{precision}_ms"] = median_ms(partial(lane[place].infer, x))
    return rows


def _ours(specs: Mapping[str, TurboViTSpec], px: int, folder: Path) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    for name, spec in specs.items():
        path = folder / f"{name}.onnx"
        export_turbovit(random_turbovit(spec), (px, px), path)
        yield name, path, {"parameters_m": parameters(spec) / 1e6, "gmacs": sum(macs(layers(spec), px, px).values()) / 1e9}


def _peers(names: Sequence[str], px: int, folder: Path) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    try:
        import timm
    except (ImportError, RuntimeError) as error:
        raise Unavailable(f"timm cannot be loaded ({str(error).splitlines()[0]}): pip install 'edgevision[peers]'") from error
    for name in names:
        if not timm.is_model(name):
            raise InputError(f"{name}: timm knows no such network; `timm.list_models()` names them")
        try:
            network = timm.create_model(name, pretrained=False, img_size=px) if "hiera" in name else timm.create_model(name)
        except (TypeError, AssertionError, ValueError) as error:
            raise UnsupportedNetwork(f"{name}: timm cannot build it for {px} px: {error}") from error
        count = sum(parameter.numel() for parameter in network.parameters())
        path = folder / f"{name}.xml"
        save_model(converted(network.eval(), (1, 3, px, px)), path)
        yield name, path, {"parameters_m": count / 1e6, "gmacs": None}
