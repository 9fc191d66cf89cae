"""How a Phi that was learnt on one surface does on another: the squared error of its attention beside dense attention on the same tokens,
as a share of the dense answer's square, mean of the layers; beside it that of single tokens spread evenly, with which learning begins, and
that of block means.

    python benchmarks/phi_transfer.py --weights weights/neu-det-csat.npz ../shared/data/neu-det ../shared/data/magnetic-tile
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from edgevision.networks.attention.phi import block_means
from edgevision.networks.turbovit_weights import read_turbovit
from edgevision.study.train.classify import Exam
from edgevision.study.train.course import last_common
from edgevision.study.train.surfaces import load_surface
from edgevision.study.train.token_attention import Choice, attentions
from edgevision.study.train.turbovit import TrainedTurboViT, load_weights

MEASUREMENTS = (16, 32, 64, 128)


def measure_means(network):
    for module in network.attention.values():
        means = block_means(module.count, module.tokens.key)
        module.phi.data = torch.from_numpy(means).unflatten(1, module.tokens.key)


def error_of(network, exam):
    errors = []
    for module in network.attention.values():
        module.compares = True
    with torch.no_grad():
        for batch in exam.batches:
            network.run(batch.x, batch.start)
            errors += [float(module.error) for module in network.attention.values()]
    return sum(errors) / len(errors)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("data", type=Path, nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = read_turbovit(arguments.weights)
    bare = {name: value for name, value in found.weights.items() if ".attention." not in name}
    for folder in arguments.data:
        surface, exam = load_surface(folder), None
        for count in MEASUREMENTS:
            row = []
            for weights in (found.weights, bare, None):
                network = TrainedTurboViT(found.spec, attentions(found.spec, Choice("csat", measurements=count)))
                load_weights(network, bare if weights is None else weights).eval()
                if weights is None:
                    measure_means(network)
                exam = exam or Exam.of(network, surface, found.spec.trained_px, last_common(network), each=1)
                row.append(error_of(network, exam))
            print(f"{surface.name}, m {count}: learnt {row[0]:.3f}, tokens {row[1]:.3f}, means {row[2]:.3f}", flush=True)


if __name__ == "__main__":
    main()
