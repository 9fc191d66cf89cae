"""Dense attention in OpenVINO, as a layer of a network would be run there: what a user would run instead of ours.

In: queries, keys, values (head, token, channel), as it likes them. Out: the same, and the time of the inference alone.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openvino import Core, Model, opset13

from edgevision.study.peers.openvino_dense import HINTS

FORMS = ("products", "fused")


class OpenVinoAttention:
    """`form`: two products and a softmax, or OpenVINO's own scaled_dot_product_attention; `precision` as for OpenVinoDense."""

    def __init__(self, shape: tuple[int, int, int], form: str, precision: str, threads: int) -> None:
        sources = [opset13.parameter([1, *shape], np.float32) for _ in range(3)]
        query, key, value = sources
        if form == "fused":
            made = opset13.scaled_dot_product_attention(query, key, value)
        else:
            scores = opset13.multiply(opset13.matmul(query, key, False, True), opset13.constant(np.float32(shape[2] ** -0.5)))
            made = opset13.matmul(opset13.softmax(scores, -1), value, False, False)
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False} | HINTS[precision]
        self._request: Any = Core().compile_model(Model([made], sources, "attention"), "CPU", settings).create_infer_request()

    def run(self, parts: tuple[NDArray[np.float32], ...]) -> tuple[NDArray[np.float32], float]:
        """(head, token, channel) and milliseconds; copying in is not counted."""
        for place, part in enumerate(parts):
            self._request.get_input_tensor(place).data[...] = part[None]
        start = time.perf_counter()
        self._request.infer()
        elapsed_ms = (time.perf_counter() - start) * 1e3
        return self._request.get_output_tensor(0).data[0], elapsed_ms
