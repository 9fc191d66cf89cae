"""How long a TurboViT of random weights takes for a whole picture, in our engine or in OpenVINO. In: a spec. Out: milliseconds, the median.

Time does not depend on what the weights are. Both are given f32 and the same threads.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgevision.networks.turbovit import TurboViTSpec
from edgevision.networks.turbovit_weights import random_turbovit
from edgevision.recompute.load_tokens import open_tokens
from edgevision.recompute.settings import TurboViTSettings
from edgevision.study.peers.openvino_dense import OpenVinoDense
from edgevision.study.turbovit_export import export_turbovit

LEAST_RUNS, LEAST_S = 7, 0.25


def engine_ms(spec: TurboViTSpec, px: int, threads: int) -> float:
    """In ours, everything live: what a picture costs that changed everywhere."""
    network = open_tokens(random_turbovit(spec), TurboViTSettings(), (px, px), 0.0, threads)
    x = np.random.default_rng(0).standard_normal((1, 3, px, px)).astype(np.float32)
    return median_ms(lambda: network.first(x))


def openvino_ms(spec: TurboViTSpec, px: int, threads: int, precision: str = "f32") -> float:
    """In OpenVINO, of the exported file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "turbovit.onnx"
        export_turbovit(random_turbovit(spec), (px, px), path)
        network = OpenVinoDense(path, (1, 3, px, px), precision, threads)
    x = np.random.default_rng(0).standard_normal((1, 3, px, px)).astype(np.float32)
    return median_ms(lambda: network.infer(x))


def median_ms(run: Callable[[], object]) -> float:
    """Of at least `LEAST_RUNS` runs after a first one that does not count, and of more where they are short."""
    run()
    laps: list[float] = []
    while len(laps) < LEAST_RUNS or sum(laps) < LEAST_S:
        began = time.perf_counter()
        run()
        laps.append(time.perf_counter() - began)
    return float(np.median(laps) * 1e3)
