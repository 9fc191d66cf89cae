"""What sparse and compressed attention cost in accuracy, on crops of a surface: taught by a dense network, then judged over keep or m.

Writes the weights, `accuracy-DATA.json` and a picture: accuracy beside multiply-adds of the attention at 256 px and, as these are what an
inspection runs at, of the same layers at 1024 px.

    python benchmarks/attention_accuracy.py --data ../shared/data/neu-det --network neu-det-dense.npz --out weights
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import torch

from edgevision.networks.attention import Tokens
from edgevision.networks.attention.hybrid import share_of
from edgevision.networks.turbovit import layers, macs, sizes
from edgevision.networks.turbovit_weights import read_turbovit
from edgevision.study.train.classify import Exam
from edgevision.study.train.course import CourseTask, last_common, run
from edgevision.study.train.surfaces import load_surface
from edgevision.study.train.token_attention import Choice, attentions
from edgevision.study.train.turbovit import TrainedTurboViT, load_weights

KEEPS = (0.05, 0.1, 0.15, 0.25, 0.5)
MEASUREMENTS = (8, 16, 32, 64, 128)
TAUGHT = MappingProxyType({
    "sparsifiner": Choice("sparsifiner", 0.1), "hybrid": Choice("hybrid", 0.1), "csat": Choice("csat", measurements=128),
})  # fmt: skip


def attention_macs(spec, choice, px):
    """(ours, dense) multiply-adds of the global attention layers for a picture, choosing and measuring included."""
    made, ours, dense = sizes(layers(spec), px, px), 0, 0
    for step in layers(spec):
        if step.op != "attention" or step.kind == "unit":
            continue
        side = spec.block * px // spec.trained_px
        tokens = Tokens(made[step.name][1:], made[step.inputs[-1]][1:], step.heads, step.channels // step.heads, side)
        blocks, dim = tokens.blocks[0] * tokens.blocks[1], tokens.head_dim
        dense += tokens.dense_macs
        if choice.kind == "csat":
            count = min(choice.measurements, tokens.keys)
            ours += 2 * count * tokens.channels * (tokens.keys + tokens.queries)
            continue
        share = share_of(choice.keep, blocks) / blocks
        ours += round(share * tokens.dense_macs)
        if choice.kind == "hybrid":  # pooled scores, and the means of what is dropped
            ours += blocks * blocks * tokens.channels + 2 * tokens.queries * blocks * tokens.channels
        else:
            ours += tokens.heads * blocks * (2 * (dim // 2) * dim + 2 * blocks * (dim // 2) + blocks * blocks)
    return ours, dense


def judge(found, weights, choice, exam):
    spec = replace(found.spec, kinds=tuple("unit" if kind == "unit" else choice.kind for kind in found.spec.kinds))
    return exam.accuracy(load_weights(TrainedTurboViT(spec, attentions(spec, choice)), weights).eval()), spec


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--network", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    began = time.perf_counter()
    found, surface = read_turbovit(arguments.network), load_surface(arguments.data)
    dense = load_weights(TrainedTurboViT(found.spec), found.weights).eval()
    exam = Exam.of(dense, surface, found.spec.trained_px, last_common(dense))
    whole = sum(macs(dense.steps, found.spec.trained_px, found.spec.trained_px).values())
    told = arguments.out / f"accuracy-{surface.name}.json"
    rows = json.loads(told.read_text()) if told.exists() else []
    known = {row["method"] for row in rows}
    if "dense" not in known:
        rows.append({"method": "dense", "setting": 1.0, "taught": "as it was", "accuracy": exam.accuracy(dense), "network_macs": whole})
        print(rows[-1], flush=True)
        again = CourseTask(arguments.data, arguments.out / "control", arguments.network, Choice("dense"), start=last_common(dense),
                           steps=arguments.steps, threads=arguments.threads)  # fmt: skip
        control = read_turbovit(run(again)["network"])
        longer = exam.accuracy(load_weights(TrainedTurboViT(found.spec), control.weights).eval())
        rows.append({"method": "dense", "setting": 1.0, "taught": "taught", "accuracy": longer, "network_macs": whole})
        print(rows[-1], flush=True)
    for kind, taught in TAUGHT.items():
        if kind in known:
            continue
        path = arguments.out / f"{surface.name}-{kind}.npz"
        if not path.exists():
            run(CourseTask(arguments.data, arguments.out, arguments.network, taught, steps=arguments.steps, threads=arguments.threads))
            print(kind, "taught", f"{time.perf_counter() - began:.1f} s", flush=True)
        weights = read_turbovit(path).weights
        for value in MEASUREMENTS if kind == "csat" else KEEPS:
            choice = Choice(kind, measurements=value) if kind == "csat" else Choice(kind, value)
            for name, learnt in (("as it was", found.weights), ("taught", weights)):
                accuracy, spec = judge(found, learnt, choice, exam)
                small, large = (attention_macs(spec, choice, px) for px in (spec.trained_px, 4 * spec.trained_px))
                rows.append({
                    "method": kind, "setting": value, "taught": name, "accuracy": accuracy,
                    "attention_macs": small[0], "dense_attention_macs": small[1],
                    "attention_macs_1024": large[0], "dense_attention_macs_1024": large[1],
                })  # fmt: skip
                print(rows[-1], flush=True)
        told.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
