"""The layers of a transformer but attention, one at a time: our steps on a map of tokens against OpenVINO's nodes on (1, tokens, channels).

    python benchmarks/token_layers.py [--threads 2] [--rounds 15] [--json FILE]

f32; best of the rounds, taken in turns. "5 %": one square of tokens live, our time over all of OpenVINO's. `off by`: the largest difference
as a share of the output's range.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import openvino as ov
from openvino import opset13 as op

from edgevision.kernels.forms import Across, Activation, Convolve, Pool, Window
from edgevision.networks.turbovit import TurboViTSpec
from edgevision.networks.turbovit_weights import random_turbovit
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.plan import Plan, Ref, Step, Tensor
from edgevision.recompute.token_plan import token_graph

LAYERS = (  # name, side of the map, channels in, channels out, kind
    ("stage 1 norm", 256, 64, 64, "norm"), ("stage 1 qkv", 256, 64, 192, "linear"), ("stage 1 mlp_in", 256, 64, 256, "gelu"),
    ("stage 1 mlp_out", 256, 256, 64, "residual"), ("stage 2 mlp_in", 128, 128, 512, "gelu"), ("stage 3 norm", 64, 256, 256, "norm"),
    ("stage 3 qkv", 64, 256, 768, "linear"), ("stage 3 join", 64, 256, 256, "residual"), ("stage 3 mlp_in", 64, 256, 1024, "gelu"),
    ("stage 3 mlp_out", 64, 1024, 256, "residual"), ("stage 4 qkv", 32, 512, 1536, "linear"), ("stage 4 mlp_in", 32, 512, 2048, "gelu"),
    ("stage 3 pool", 128, 256, 256, "pool"),
)  # fmt: skip


def ours(side, inputs, outputs, kind, weights, threads):
    """One step on a map; with a residual, the map's own first channels."""
    half = side // 2 if kind == "pool" else side
    tensors = {"image": Tensor("image", side, side, inputs), "out": Tensor("out", half, half, outputs)}
    sources = (Ref("image", 0, inputs),)
    if kind == "norm":
        form = Across("normalise", 1e-6)
    elif kind == "pool":
        form = Pool(Window((2, 2), (2, 2)), "max")
    else:
        activation = Activation("gelu" if kind == "gelu" else "none")
        form = Convolve(Window((1, 1)), weights[0][:, :, None, None], weights[1], activation=activation, residual=kind == "residual")
        sources = (*sources, Ref("image", 0, outputs)) if kind == "residual" else sources
    step = Step("out", form, sources, "out")
    outs, gates = MappingProxyType({"out": Ref("out", 0, outputs)}), MappingProxyType({"out": 0.0})
    plan = Plan("one layer", "image", MappingProxyType(tensors), (step,), outs, gates)
    shapes = {"image": (1, inputs, side, side), "out": (1, outputs, half, half)}
    graph = token_graph(random_turbovit(TurboViTSpec((1,), (8,), (1,), (8,), (False,), ("unit",), labels=("a",), trained_px=32)), (32, 32))
    graph = replace(graph, shapes=MappingProxyType(shapes), outputs=MappingProxyType({"out": "out"}))
    return SelectiveNetwork.of_plan(graph, plan, threads, {})


def theirs(side, inputs, outputs, kind, weights, threads):
    """The same on (1, tokens, channels), compiled alone."""
    x = op.parameter([1, side * side, inputs], np.float32)
    if kind == "norm":
        node = op.mvn(x, np.array([2], np.int64), True, 1e-6, "inside_sqrt")
    elif kind == "pool":
        fours = op.reshape(x, np.array([1, -1, 4, inputs], np.int64), False)
        node = op.reduce_max(fours, np.array([2], np.int64), False)
    else:
        node = op.add(op.matmul(x, op.constant(weights[0]), False, True), op.constant(weights[1][None, None]))
        node = op.gelu(node, "erf") if kind == "gelu" else node
    inputs_of = [x]
    if kind == "residual":
        other = op.parameter([1, side * side, outputs], np.float32)
        node, inputs_of = op.add(node, other), [x, other]
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,
    }
    return ov.Core().compile_model(ov.Model([node], inputs_of, "layer"), "CPU", settings).create_infer_request()


def measure(layer, threads, rounds):
    name, side, inputs, outputs, kind = layer
    random = np.random.default_rng(0)
    weights = random.standard_normal((outputs, inputs), np.float32) * inputs**-0.5, random.standard_normal(outputs, np.float32)
    net, request = ours(*layer[1:], weights, threads), theirs(*layer[1:], weights, threads)
    x = random.standard_normal((1, inputs, side, side), np.float32)
    tokens = np.ascontiguousarray(x[0].transpose(1, 2, 0).reshape(1, -1, inputs))
    feeds = [tokens, np.ascontiguousarray(tokens[:, :, :outputs])] if kind == "residual" else [tokens]
    for place, feed in enumerate(feeds):
        request.set_input_tensor(place, ov.Tensor(feed, shared_memory=True))
    square, live = round(side * 0.05**0.5), np.zeros((side, side), np.bool_)
    live[3 : 3 + square, 5 : 5 + square] = True
    best = {"openvino": np.inf, "all": np.inf, "5 %": np.inf}
    for _ in range(rounds):
        began = time.perf_counter()
        request.infer()
        best["openvino"] = min(best["openvino"], time.perf_counter() - began)
        made = net.first(x)["out"]
        best["all"] = min(best["all"], net.costs.steps[0].seconds)
        fresh = np.where(live, random.standard_normal(x.shape, np.float32), x)
        net.next(fresh, live)
        best["5 %"] = min(best["5 %"], net.costs.steps[0].seconds)
        made = np.array(net.first(x)["out"])
    theirs_out = request.get_output_tensor(0).data
    off = (
        None
        if kind == "pool"
        else float(np.abs(made[0].transpose(1, 2, 0).reshape(theirs_out.shape) - theirs_out).max() / np.ptp(theirs_out))
    )
    macs = net.plan.dense_macs
    dense, whole, part = best["openvino"], best["all"], best["5 %"]
    row = {"layer": name, "tokens": side * side, "openvino_ms": dense * 1e3, "all_ms": whole * 1e3, "changed_ms": part * 1e3}
    return row | {"x_all": dense / whole, "x_changed": dense / part, "gflops": 2 * macs / whole / 1e9, "off_by": off}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    rows = []
    print("| layer | tokens | OpenVINO ms | ours ms | GFLOP/s | x | 5 % live ms | x | off by |\n|---|---|---|---|---|---|---|---|---|")
    for layer in LAYERS:
        row = measure(layer, arguments.threads, arguments.rounds)
        rows.append(row)
        off = "" if row["off_by"] is None else f"{row['off_by']:.0e}"
        cells = [row["layer"], str(row["tokens"]), *(f"{row[key]:.2f}" for key in ("openvino_ms", "all_ms"))]
        cells += [f"{row['gflops']:.0f}", f"{row['x_all']:.2f}", f"{row['changed_ms']:.3f}", f"{row['x_changed']:.1f}", off]
        print(f"| {' | '.join(cells)} |", flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file)


if __name__ == "__main__":
    main()
