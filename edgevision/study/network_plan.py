"""`edgevision plan`: how a network would run here, step by step. In: a loaded network. Out: text or plain data. Keeps nothing."""

from __future__ import annotations

from typing import Any

from edgevision.errors import InputError
from edgevision.networks.turbovit import KINDS, TurboViTSpec
from edgevision.networks.turbovit_weights import random_turbovit, read_turbovit
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.load_tokens import open_tokens, with_keep
from edgevision.recompute.plan import AnyStep, AttentionStep, IslandStep, Plan
from edgevision.recompute.settings import TurboViTSettings
from edgevision.recompute.splice import SpliceNetwork
from edgevision.recompute.splice_plan import Part


def open_turbovit(name: str, input_shape: tuple[int, ...] | None, attention: tuple[str, ...], keep: float) -> SelectiveNetwork:
    """The network of tokens in a .npz file, or for `turbovit` an untrained one. Raises InputError for kinds or sizes that cannot be."""
    unknown = set(attention) - set(KINDS)
    if unknown:
        raise InputError(f"--attention names '{min(unknown)}'; it must be of {', '.join(KINDS)}, one for each stage")
    network = random_turbovit(TurboViTSpec()) if name == "turbovit" else read_turbovit(name)
    size = network.spec.trained_px
    _, _, height, width = input_shape or (1, 3, size, size)
    settings = with_keep(TurboViTSettings(attention=attention), keep)
    return open_tokens(network, settings, (height, width), 0.0)


def plan_report(net: SelectiveNetwork) -> dict[str, Any]:
    """The plan as plain data; `line` of each step is what people read."""
    plan = net.plan
    return {
        "network": plan.path,
        "sha256": net.sha256,
        "input_shape": list(net.input_shape),
        "outputs": {name: list(shape) for name, shape in net.outputs.items()},
        "dense_macs": plan.dense_macs,
        "steps": [_step(plan, step) for step in plan.steps],
    }


def splice_report(net: SpliceNetwork) -> dict[str, Any]:
    """The splicing engine's plan as plain data; `prices_ms` are what the ways were estimated at when one was chosen."""
    plan = net.plan
    return {
        "network": plan.path,
        "sha256": net.sha256,
        "input_shape": list(net.input_shape),
        "outputs": {name: list(shape) for name, shape in net.outputs.items()},
        "dense_macs": plan.macs,
        "way": plan.way,
        "prices_ms": {way: seconds * 1e3 for way, seconds in plan.prices.items()},
        "pools": list(plan.pools),
        "parts": [_part(part) for part in plan.parts],
    }


def _part(part: Part) -> dict[str, Any]:
    crops = part.pattern.seconds if part.pattern else {}
    return {
        "name": part.name,
        "how": "crops" if part.pattern else "whole",
        "macs": part.macs,
        "whole_ms": part.whole_s * 1e3,
        "margin_px": part.pattern.margin_px if part.pattern else 0,
        "missing": part.error,
        "crops": [{"height": height, "width": width, "ms": seconds * 1e3} for (height, width), seconds in crops.items()],
    }


def _step(plan: Plan, step: AnyStep) -> dict[str, Any]:
    if isinstance(step, IslandStep):
        return {"name": step.name, "how": "island", "why": step.why, "nodes": list(step.nodes), "line": plan.line(step)}
    tensor = plan.tensors[step.target]
    return {
        "name": step.name,
        "how": "selective",
        "op": step.attention.kind if isinstance(step, AttentionStep) else step.op,
        "shape": [1, tensor.channels, tensor.height, tensor.width],
        "precision": plan.precision(step),
        "gate": plan.gates.get(step.name, 0.0),
        "macs": plan.macs(step),
        "line": plan.line(step),
    }
