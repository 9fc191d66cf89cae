"""What a gate costs a network of tokens in accuracy: the selective answer on every frame of clips made of pictures it was not taught on.

Half of the judged pictures make the clips on which the largest gate is chosen whose loss stays below a point in 95 of 100 draws of the
clips; the other half makes those that say what it is worth. Writes DATA-gates.json and a picture.

    python benchmarks/attention_gates.py --data ../shared/data/neu-det --weights benchmarks/weights --out benchmarks/weights --plot gates.png
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from edgevision.compare.background import ChangeSettings
from edgevision.recompute.load import load_for_frames
from edgevision.recompute.settings import RecomputeSettings
from edgevision.study.gate_accuracy import loss_of, selective, watch, whole
from edgevision.study.surface_clip import ClipSettings, Piece, surface_clip
from edgevision.study.train.surfaces import crop, load_surface, resized

GATES = (0.0, 0.02, 0.05, 0.07, 0.1, 0.15, 0.2)
CASES = {"dense": {}, "sparsifiner": {"sparsifiner": {"keep": 0.1}}, "hybrid": {"hybrid": {"keep": 0.1}}, "csat": {"measurements": 64}}
POINT = 0.01
CROPS = 2
COLOURS = {"dense": "black", "sparsifiner": "tab:blue", "hybrid": "tab:green", "csat": "tab:orange"}


def pieces_of(surface, px):
    """(to choose on, to judge on): crops of the pictures that nothing was taught on, every second one of each class."""
    halves = [], []
    for number, picture in enumerate(surface.judged):
        random = np.random.default_rng((2, number))
        for _ in range(CROPS):
            image, label = crop(picture, surface.crop_px, random)
            halves[number % 2].append(Piece(resized(image, px), label))
    return halves


def clips_of(pieces, count, px, first):
    settings, recompute = ClipSettings(px=px), RecomputeSettings()
    return [watch(surface_clip(pieces, settings, first + seed), ChangeSettings(), recompute.keyframe_s) for seed in range(count)]


def rows_of(kind, network, halves):
    wholes = [[whole(network, clip) for clip in clips] for clips in halves]
    for gate in GATES:
        row = {"method": kind, "gate": gate, **CASES[kind]}
        for name, clips, held in zip(("chosen_on", "judged_on"), halves, wholes, strict=True):
            row[name] = asdict(loss_of([selective(network, clip, gate) for clip in clips], held, clips))
            row[name]["whole"] = float(np.mean(np.concatenate([
                (one.named == clip.labels)[clip.labels >= 0] for one, clip in zip(held, clips, strict=True)
            ])))  # fmt: skip
        yield row


def largest(rows):
    """The largest gate up to which all are within a point on the clips to choose on."""
    good = 0.0
    for row in sorted(rows, key=lambda row: row["gate"]):
        if row["chosen_on"]["most"] > POINT:
            break
        good = row["gate"]
    return good


def draw(rows, path):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    for kind in CASES:
        mine = [row for row in rows if row["method"] == kind]
        if not mine:
            continue
        gates, losses = [row["gate"] for row in mine], [100 * row["judged_on"]["loss"] for row in mine]
        left.plot(gates, losses, "o-", color=COLOURS[kind], markersize=4, label=f"{kind}: chosen {largest(mine):g}")
        left.fill_between(gates, losses, [100 * row["judged_on"]["most"] for row in mine], color=COLOURS[kind], alpha=0.1, linewidth=0)
        right.plot([100 * row["judged_on"]["macs"] for row in mine], losses, "o-", color=COLOURS[kind], markersize=4)
    for axes, label in ((left, "gate of all steps, share of a step's range"), (right, "multiply-adds a frame, % of the whole network")):
        axes.axhline(100 * POINT, color="tab:red", linestyle="--", linewidth=1)
        axes.set_xlabel(label)
        axes.grid(True, color="whitesmoke")
    left.set_ylabel("points lost against the whole network on the raw frame")
    left.legend(frameon=False)
    figure.suptitle("frames named rightly, clips of pictures that neither network nor gate was chosen on; bands: 95 of 100 draws of clips")
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--methods", default=",".join(CASES))
    parser.add_argument("--clips", type=int, default=8, help="to choose on, and as many to judge on")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    surface, began, rows = load_surface(arguments.data), time.perf_counter(), []
    for kind in arguments.methods.split(","):
        weights = arguments.weights / f"{surface.name}-{kind}.npz"
        settings = RecomputeSettings.model_validate({"network": "turbovit", "turbovit": {"weights": weights, **CASES[kind]}})
        network = load_for_frames(settings, *network_px(weights))
        halves = [
            clips_of(pieces, arguments.clips, network.input_shape[2], 1000 * number)
            for number, pieces in enumerate(pieces_of(surface, network.input_shape[2]))
        ]
        for row in rows_of(kind, network, halves):
            rows.append(row)
            print(json.dumps(row), f"{time.perf_counter() - began:.0f} s", flush=True)
        print(kind, "largest gate within a point:", largest([row for row in rows if row["method"] == kind]), flush=True)
        (arguments.out / f"gates-{surface.name}.json").write_text(json.dumps(rows, indent=1) + "\n")
    if arguments.plot:
        draw(rows, arguments.plot)


def network_px(weights):
    from edgevision.networks.turbovit_weights import read_turbovit

    return (read_turbovit(weights).spec.trained_px,) * 2


if __name__ == "__main__":
    main()
