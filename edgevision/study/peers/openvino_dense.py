"""The whole network through OpenVINO: what a user would run instead of us.

In: float32 (1, C, H, W). Out: outputs by name, and the time of the inference alone.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import MappingProxyType

import numpy as np
import openvino as ov
from numpy.typing import NDArray

HINTS = MappingProxyType({"f32": {"INFERENCE_PRECISION_HINT": "f32"}, "default": {}})


class OpenVinoDense:
    """One compiled model at one precision: `f32` forces single precision, `default` is what OpenVINO picks for this CPU."""

    def __init__(self, path: Path, shape: tuple[int, ...], precision: str = "f32", threads: int = 1):
        core = ov.Core()
        model = core.read_model(path)
        model.reshape(list(shape))
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
        self._request = core.compile_model(model, "CPU", {**settings, **HINTS[precision]}).create_infer_request()
        self._input = np.zeros(shape, np.float32)
        self._request.set_input_tensor(ov.Tensor(self._input, shared_memory=True))
        self._names = [next(iter(port.get_names()), f"output{i}") for i, port in enumerate(model.outputs)]
        self._request.infer()

    def infer(self, x: NDArray[np.float32]) -> tuple[dict[str, NDArray[np.float32]], float]:
        """The outputs for x and the milliseconds that the inference took; copying x in is not counted."""
        self._input[...] = x
        start = time.perf_counter()
        self._request.infer()
        elapsed_ms = (time.perf_counter() - start) * 1e3
        return {name: self._request.get_output_tensor(i).data for i, name in enumerate(self._names)}, elapsed_ms
