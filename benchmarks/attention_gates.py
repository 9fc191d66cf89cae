r"""What a gate costs a network of tokens in accuracy: the selective answer on every frame of clips made of pictures it was not taught on.

Half of the judged pictures make the clips on which the largest gate is chosen whose loss against gate 0 stays below a point in 95 of 100
draws of the clips; the other half makes those that say what it is worth. Writes gates-DATA.json, clip by clip, and a picture.

    python benchmarks/attention_gates.py --data ../shared/data/neu-det --weights benchmarks/weights --out benchmarks/weights \
        --plot gates.png
    python benchmarks/attention_gates.py --read benchmarks/weights/gates-neu-det.json --plot gates.png
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
from edgevision.networks.turbovit_weights import read_turbovit
from edgevision.recompute.load import load_for_frames
from edgevision.recompute.settings import RecomputeSettings
from edgevision.study.gate_accuracy import Tally, loss_of, selective, tally, watch, whole
from edgevision.study.surface_clip import ClipSettings, Piece, surface_clip
from edgevision.study.train.surfaces import crop, load_surface, resized

GATES = "0,0.02,0.05"
CASES = {"dense": {}, "sparsifiner": {"sparsifiner": {"keep": 0.1}}, "hybrid": {"hybrid": {"keep": 0.1}}, "csat": {"measurements": 64}}
POINT = 0.01
CROPS = 2
WHOLE_EVERY = 4  # frames
SIDES = ("chosen_on", "judged_on")
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


def rows_of(kind, network, halves, ladder):
    wholes, exact = [[whole(network, clip, WHOLE_EVERY) for clip in clips] for clips in halves], None
    for gate in ladder:
        network.set_gates(gate)
        courses = [[selective(network, clip) for clip in clips] for clips in halves]
        exact = exact or courses
        yield {"method": kind, "gate": gate, **CASES[kind]} | {
            name: [asdict(tally(*one)) for one in zip(*parts, strict=True)]
            for name, parts in zip(SIDES, zip(courses, exact, wholes, halves, strict=True), strict=True)
        }


def judged(row):
    return {name: loss_of([Tally(**one) for one in row[name]]) for name in SIDES}


def largest(rows):
    """The largest gate up to which all are within a point on the clips to choose on."""
    good = 0.0
    for row in sorted(rows, key=lambda row: row["gate"]):
        if judged(row)["chosen_on"].most > POINT:
            break
        good = row["gate"]
    return good


def table(rows):
    yield "| attention | gate | accuracy | lost | at most | named otherwise | in the last third | lost against raw | MACs |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        one = judged(row)["judged_on"]
        mark = "**" if row["gate"] == largest([other for other in rows if other["method"] == row["method"]]) else ""
        yield (
            f"| {row['method']} | {mark}{row['gate']:g}{mark} | {one.accuracy:.1%} | {100 * one.loss:.2f} | {100 * one.most:.2f} | "
            f"{one.differing:.2%} | {one.late:.2%} | {100 * one.raw_loss:.2f} | {one.macs:.1%} |"
        )


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
        found = [judged(row)["judged_on"] for row in mine]
        gates, losses = [row["gate"] for row in mine], [100 * one.loss for one in found]
        left.plot(gates, losses, "o-", color=COLOURS[kind], markersize=4, label=f"{kind}: chosen {largest(mine):g}")
        left.fill_between(gates, losses, [100 * one.most for one in found], color=COLOURS[kind], alpha=0.1, linewidth=0)
        right.plot([100 * one.macs for one in found], losses, "o-", color=COLOURS[kind], markersize=4)
    for axes, label in ((left, "gate of all steps, share of a step's range"), (right, "multiply-adds a frame, % of the whole network")):
        axes.axhline(100 * POINT, color="tab:red", linestyle="--", linewidth=1)
        axes.set_xlabel(label)
        axes.grid(True, color="whitesmoke")
    left.set_ylabel("points of frames lost against gate 0")
    left.legend(frameon=False)
    figure.suptitle("frames named rightly, clips of pictures that neither network nor gate was chosen on; bands: 95 of 100 draws of clips")
    figure.savefig(path, dpi=110)


def measured(arguments):
    surface, began, rows = load_surface(arguments.data), time.perf_counter(), []
    for kind in arguments.methods.split(","):
        weights = arguments.weights / f"{surface.name}-{kind}.npz"
        px = read_turbovit(weights).spec.trained_px
        settings = RecomputeSettings.model_validate({"network": "turbovit", "turbovit": {"weights": weights, **CASES[kind]}})
        network = load_for_frames(settings, px, px)
        halves = [clips_of(pieces, arguments.clips, px, 1000 * number) for number, pieces in enumerate(pieces_of(surface, px))]
        for row in rows_of(kind, network, halves, sorted({0.0, *map(float, arguments.gates.split(","))})):
            rows.append(row)
            print(kind, row["gate"], *judged(row).values(), f"{time.perf_counter() - began:.0f} s", flush=True)
            (arguments.out / f"gates-{surface.name}.json").write_text(json.dumps(rows) + "\n")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--read", type=Path, metavar="JSON", help="what was measured before")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--gates", default=GATES)
    parser.add_argument("--methods", default="sparsifiner,hybrid,csat")
    parser.add_argument("--clips", type=int, default=12, help="to choose on, and as many to judge on")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rows = json.loads(arguments.read.read_text()) if arguments.read else measured(arguments)
    print("\n".join(table(rows)))
    if arguments.plot:
        draw(rows, arguments.plot)


if __name__ == "__main__":
    main()
