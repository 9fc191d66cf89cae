"""The whole network through ONNX Runtime: what a user would run instead of us. Extra `bench`.

In: float32 (1, C, H, W). Out: outputs by name, and the time of the run alone, fed without a copy.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import Unavailable, UnsupportedNetwork

_ERRORS_ONLY = 3


class OnnxRuntimeDense:
    """One session on the CPU. `first_ms` is its first run."""

    def __init__(self, path: Path, shape: tuple[int, ...], threads: int = 1):
        """Raises Unavailable where onnxruntime is not installed, UnsupportedNetwork where it cannot run the file."""
        try:
            import onnxruntime
        except ImportError as error:
            raise Unavailable("onnxruntime is not installed: pip install 'edgevision[bench]'") from error
        if path.suffix != ".onnx":
            raise UnsupportedNetwork(f"{path}: ONNX Runtime reads only .onnx files")
        try:
            self._session = onnxruntime.InferenceSession(str(path), _options(onnxruntime, threads), ["CPUExecutionProvider"])
            self._input = self._session.get_inputs()[0].name
            self._names = [output.name for output in self._session.get_outputs()]
            self.first_ms = self.infer(np.zeros(shape, np.float32))[1]
        except Exception as error:  # its errors share no class below this one
            raise UnsupportedNetwork(f"{path}: ONNX Runtime cannot run it: {str(error).strip().splitlines()[0][:200]}") from error

    def infer(self, x: NDArray[np.float32]) -> tuple[dict[str, NDArray[Any]], float]:
        """The outputs for x, in the file's order, and the milliseconds that it took."""
        start = time.perf_counter()
        outputs = self._session.run(self._names, {self._input: x})
        elapsed_ms = (time.perf_counter() - start) * 1e3
        return dict(zip(self._names, outputs, strict=True)), elapsed_ms


def _options(onnxruntime: Any, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.force_spinning_stop", "1")  # its threads would spin on into the next engine's time
    return options
