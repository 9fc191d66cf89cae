"""The accuracy of the taught attentions as the engine runs them, on the crops that `attention_accuracy.py` judged them on in torch.

python benchmarks/attention_engine.py --data ../shared/data/neu-det --weights weights
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from edgevision.networks.turbovit_weights import read_turbovit
from edgevision.recompute.load_tokens import open_tokens
from edgevision.recompute.settings import TurboViTSettings
from edgevision.study.train.surfaces import judged_crops, load_surface

CASES = (("dense", 1.0), ("sparsifiner", 0.1), ("sparsifiner", 0.25), ("hybrid", 0.1), ("csat", 64), ("csat", 128))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    arguments = parser.parse_args()
    surface = load_surface(arguments.data)
    for kind, value in CASES:
        found = read_turbovit(arguments.weights / f"{surface.name}-{kind}.npz")
        px = found.spec.trained_px
        chosen = {"sparsifiner": {"keep": value}, "hybrid": {"keep": value}} if value <= 1 else {"measurements": value}
        network = open_tokens(found, TurboViTSettings.model_validate(chosen), (px, px), 0.0, 1)
        images, labels = judged_crops(surface, px)
        gray = (images.astype(np.float32) / 255 - surface.mean) / surface.std
        right = [int(network.first(np.repeat(one[None, None], 3, 1).astype(np.float32))["scores"].argmax()) for one in gray]
        print(f"{kind} {value}: {np.mean(np.array(right) == labels):.4f}", flush=True)


if __name__ == "__main__":
    main()
