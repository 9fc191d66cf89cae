"""TurboViT in torch with dense attention, whole at every shot: what `bench turbovit` races beside OpenVINO. Keeps the network."""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray

from edgevision.networks.turbovit import layers, macs
from edgevision.networks.turbovit_weights import TurboViT
from edgevision.study.train.turbovit import TrainedTurboViT, load_weights


class TorchDense:
    """One network at one size, in f32."""

    def __init__(self, network: TurboViT, size_px: int, threads: int) -> None:
        torch.set_num_threads(threads)
        self._network = load_weights(TrainedTurboViT(network.spec), network.weights).eval()
        self._is_class = network.spec.head == "class"
        self._macs = sum(macs(layers(network.spec), size_px, size_px).values())

    def run(self, x: NDArray[np.float32], live: NDArray[np.bool_]) -> tuple[NDArray[np.float32], float, int]:
        """The answer, milliseconds, multiply-adds; whatever changed."""
        picture = torch.from_numpy(x)
        start = time.perf_counter()
        with torch.inference_mode():
            logits = self._network(picture)
            answer = logits.softmax(dim=1) if self._is_class else logits.sigmoid()
        return answer.numpy(), (time.perf_counter() - start) * 1e3, self._macs
