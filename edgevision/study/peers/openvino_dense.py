"""The whole network through OpenVINO: what a user would run instead of us.

In: float32 (1, C, H, W). Out: outputs by name, and the time of the inference alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from edgevision.study.peers.openvino_model import compile_model, is_quantised, read_model

# In "simulated" a quantised file is worked out in floats, every FakeQuantize as it is written: the answer that int8 approaches.
HINTS: Mapping[str, dict[str, Any]] = MappingProxyType({
    "f32": {"INFERENCE_PRECISION_HINT": "f32"},
    "default": {},
    "simulated": {"INFERENCE_PRECISION_HINT": "f32", "LP_TRANSFORMS_MODE": False},
})  # fmt: skip
_TYPES = MappingProxyType({"float32": "f32", "bfloat16": "bf16", "float16": "f16"})


class OpenVinoDense:
    """One compiled model at one precision: `f32` forces single precision, `default` is what OpenVINO picks for this CPU.

    `first_ms` is the first inference. `precision` is what the floats are in, or int8 for a quantised file that is not simulated.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], precision: str = "f32", threads: int = 1):
        model = read_model(path, shape)
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
        compiled = compile_model(model, settings | HINTS[precision], path)
        kind = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.precision = "int8" if is_quantised(model) and precision != "simulated" else _TYPES.get(kind, kind)
        self._request = compiled.create_infer_request()
        self._input = np.zeros(shape, np.float32)
        self._request.set_input_tensor(ov.Tensor(self._input, shared_memory=True))
        self._names = [next(iter(port.get_names()), f"output{i}") for i, port in enumerate(model.outputs)]
        self.first_ms = self._infer_ms()

    def infer(self, x: NDArray[np.float32]) -> tuple[dict[str, NDArray[np.float32]], float]:
        """The outputs for x, in the file's order, and the milliseconds that the inference took; copying x in is not counted."""
        self._input[...] = x
        elapsed_ms = self._infer_ms()
        return {name: self._request.get_output_tensor(i).data for i, name in enumerate(self._names)}, elapsed_ms

    def _infer_ms(self) -> float:
        start = time.perf_counter()
        self._request.infer()
        return (time.perf_counter() - start) * 1e3
