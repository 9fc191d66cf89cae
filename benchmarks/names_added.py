"""What a name that is added to a head costs the others: networks that never saw one of the classes, a head on each, that class added by
ten pictures. Three seeds of the head and of which pictures are drawn. Judged on pictures that nobody learnt from.

    edgevision train --data ../shared/data/neu-det --without inclusion --out weights/no-inclusion --steps 240      # one for each class
    python benchmarks/names_added.py --data ../shared/data/neu-det weights/no-*/neu-det-dense.npz
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from edgevision.networks.names import Remembered
from edgevision.networks.turbovit_weights import read_turbovit
from edgevision.study.train import names
from edgevision.study.train.surfaces import judged_crops, load_surface
from edgevision.study.train.turbovit import TrainedTurboViT, load_weights


def rows_of(path, data, seeds, examples):
    found = read_turbovit(path)
    network = load_weights(TrainedTurboViT(found.spec), found.weights).eval()
    whole = load_surface(data)
    (new,) = set(whole.labels) - set(found.spec.labels)
    surface = load_surface(data, new)
    whole = replace(whole, mean=surface.mean, std=surface.std)  # as the network knows them
    order = [whole.labels.index(one) for one in (*surface.labels, new)]
    px, old = network.spec.trained_px, len(surface.labels)
    judged = names.replace_labels(names.tokens_of(network, whole, judged_crops(whole, px)), order)
    crops, parts = names.cut(surface.learnt, surface, px, names.EACH, 0)
    learnt = names.tokens_of(network, surface, crops)
    pictures = tuple(one for one in whole.learnt if one.label == order[-1])
    shown, of = names.cut(pictures, whole, px, names.OF_EXAMPLE, 0)
    means, side = names.tokens_of(network, whole, shown).means, int(learnt.x.shape[1] ** 0.5)
    memory = Remembered(learnt.means.astype(np.float16), learnt.labels.numpy(), parts)
    for seed in range(seeds):
        head = names.fitted(names.begun(surface.labels, learnt.x.shape[2], (side, side), seed), learnt, seed)
        head = replace(head, memory=memory)
        drawn = np.isin(of, np.random.default_rng((seed, 13)).permutation(len(pictures))[:examples])
        placed = head.placed(new, means[drawn], of[drawn])
        before, known = names.accuracy_of(head, judged.of(list(range(old)))), names.split(placed, judged, old)
        letters = names.split(head.added(new), judged, old)
        yield new, seed, before, known["old"], known["new"], letters["old"], letters["new"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--examples", type=int, default=10)
    parser.add_argument("networks", type=Path, nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| added | seed | others before | others after | it | by letters alone: others, it |\n|---|---|---|---|---|---|")
    for path in arguments.networks:
        for new, seed, before, after, it, others, alone in rows_of(path, arguments.data, arguments.seeds, arguments.examples):
            print(f"| {new} | {seed} | {before:.1%} | {after:.1%} | {it:.1%} | {others:.1%}, {alone:.1%} |", flush=True)


if __name__ == "__main__":
    main()
