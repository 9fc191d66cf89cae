"""Dense attention in torch, to be timed beside ours. In: queries, keys, values (head, token, channel). Out: the same, and its time."""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray


class TorchAttention:
    """torch's own scaled_dot_product_attention, in f32."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def run(self, parts: tuple[NDArray[np.float32], ...]) -> tuple[NDArray[np.float32], float]:
        """(head, token, channel) and milliseconds."""
        query, key, value = (torch.from_numpy(part)[None] for part in parts)
        with torch.inference_mode():
            start = time.perf_counter()
            made = torch.nn.functional.scaled_dot_product_attention(query, key, value)
            elapsed_ms = (time.perf_counter() - start) * 1e3
        return made[0].numpy(), elapsed_ms
