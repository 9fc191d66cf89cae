"""The accuracy of the taught attentions as the engine runs them, on the crops that `attention_accuracy.py` judged them on in torch; and of
heads that are asked by name, beside torch on the same crops.

    python benchmarks/attention_engine.py --data ../shared/data/neu-det --weights weights
    python benchmarks/attention_engine.py --data ../shared/data/neu-det --weights benchmarks/weights --csat dense-longer csat-tokens
    python benchmarks/attention_engine.py --data ../shared/data/neu-det --network NET.npz --names HEAD.npz
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgevision.networks.names import NamedState, read_names
from edgevision.networks.turbovit_weights import read_turbovit
from edgevision.recompute.load_tokens import open_tokens
from edgevision.recompute.settings import TurboViTSettings
from edgevision.study.train import names
from edgevision.study.train.surfaces import judged_crops, load_surface
from edgevision.study.train.turbovit import TrainedTurboViT, load_weights

CASES = (
    ("dense", {}),
    ("sparsifiner", {"sparsifiner": {"keep": 0.1}}),
    ("sparsifiner", {"sparsifiner": {"keep": 0.25}}),
    ("hybrid", {"hybrid": {"keep": 0.1}}),
    ("csat", {"measurements": 64}),
    ("csat", {"measurements": 128}),
)
CSAT = {"attention": ["unit", "unit", "csat", "csat"], "phi": "tokens"}


def answers(path, chosen, surface):
    """What the engine makes of each judged crop, and the crops' labels."""
    found = read_turbovit(path)
    px = found.spec.trained_px
    if chosen.get("output") == "tokens":
        found = replace(found, spec=replace(found.spec, head="tokens"))
    network = open_tokens(found, TurboViTSettings.model_validate(chosen), (px, px), 0.0, 1)
    images, labels = judged_crops(surface, px)
    gray = (images.astype(np.float32) / 255 - surface.mean) / surface.std
    for one, label in zip(gray, labels, strict=True):
        yield next(iter(network.first(np.repeat(one[None, None], 3, 1).astype(np.float32)).values())), label


def named(arguments, surface):
    """The share of crops that a head names rightly, asked in the engine and in torch."""
    head, right = read_names(arguments.names), []
    surface = names.as_known(surface, read_turbovit(arguments.network).metadata)
    order = [surface.labels.index(one) for one in head.names]
    for tokens, label in answers(arguments.network, {"output": "tokens"}, surface):
        right.append(order[int(NamedState(head).first(tokens[0].transpose(1, 2, 0)).argmax())] == label)
    found = read_turbovit(arguments.network)
    network = load_weights(TrainedTurboViT(found.spec), found.weights).eval()
    judged = names.tokens_of(network, surface, judged_crops(surface, found.spec.trained_px))
    return np.mean(right), names.accuracy_of(head, names.replace_labels(judged, order))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--csat", nargs="*", default=(), metavar="FILE", help="these of the weights, by CSAT of 64 and 128, instead of all")
    parser.add_argument("--network", type=Path, help="with --names: the network that the head looks at")
    parser.add_argument("--names", type=Path)
    arguments = parser.parse_args()
    surface = load_surface(arguments.data)
    if arguments.names is not None:
        print("{}: engine {:.4f}, torch {:.4f}".format(arguments.names.name, *named(arguments, surface)))
        return
    cases = [(name, {**CSAT, "measurements": m}) for name in arguments.csat for m in (64, 128)] or CASES
    for name, chosen in cases:
        told = [
            int(scores.argmax()) == label for scores, label in answers(arguments.weights / f"{surface.name}-{name}.npz", chosen, surface)
        ]
        print(f"{name} {chosen}: {np.mean(told):.4f}", flush=True)


if __name__ == "__main__":
    main()
