"""The last look at a plan: how its tensors are held in the precision asked for, floats for who reads the outputs, gates by step.

In: a plan as the file says. Out: the plan that runs. Keeps nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.kernels.forms import BF16, F32, Combine, Convolve, Total
from edgevision.kernels.plain.store import decode, encode
from edgevision.recompute.plan import AnyStep, AttentionStep, IslandStep, Plan, Ref, Step, Tensor


def choose_precision(path: str | Path, is_quantised: bool, wanted: str) -> str:
    """What the network runs in: `auto` is the file's own. Raises UnsupportedNetwork where the file cannot run as wanted."""
    if is_quantised:
        if wanted not in ("auto", "int8"):
            raise UnsupportedNetwork(f"{path}: is quantised and runs in int8; leave precision out, or give the file it was made of")
        return "int8"
    if wanted == "int8":
        raise UnsupportedNetwork(f"{path}: precision int8 needs a quantised file; make one with: edgevision quantize {path} --data DIR")
    return "f32" if wanted == "auto" else wanted


def finish(plan: Plan, gates: Mapping[str, float], precision: str) -> Plan:
    """The plan in `precision`. Raises InputError for a gate that belongs to no step."""
    plan = _with_float_outputs(_as_bf16(plan) if precision == "bf16" else plan)
    return replace(plan, gates=gates_by_step(gates, plan.steps, plan.path))


def _as_bf16(plan: Plan) -> Plan:
    """Every tensor held as bf16, and the weights of what multiplies bf16. Sums of rows, what attention reads and writes, and what only the
    user reads stay f32."""
    read = {ref.tensor for step in plan.steps if not isinstance(step, IslandStep) for ref in step.sources}
    read |= {ref.tensor for step in plan.steps if isinstance(step, IslandStep) for _, ref in step.sources if ref is not None}
    homed = {part for tensor in plan.tensors.values() for part in tensor.parts}
    last = {ref.tensor for ref in plan.outputs.values() if isinstance(ref, Ref)} - read - homed - {plan.input}
    last = {name for name in last if not plan.tensors[name].parts}
    last |= {step.target for step in plan.steps if isinstance(step, Step) and isinstance(step.form, Total) and step.form.axis == 1}
    for step in plan.steps:
        if isinstance(step, AttentionStep):
            last |= {step.target, *(ref.tensor for ref in step.sources)}
    tensors = {name: tensor if name in last else replace(tensor, store=BF16) for name, tensor in plan.tensors.items()}
    steps = tuple(_rounded(step) if isinstance(step, Step) and step.sources[0].tensor not in last else step for step in plan.steps)
    return replace(plan, tensors=MappingProxyType(tensors), steps=steps)


def _rounded(step: Step) -> Step:
    form = step.form
    if not isinstance(form, Convolve) or form.is_depthwise:
        return step
    weights = decode(encode(np.asarray(form.weights, np.float32), BF16), BF16)
    return replace(step, form=replace(form, weights=weights))


def _with_float_outputs(plan: Plan) -> Plan:
    """A public output that is not held as f32 gets a copy that is."""
    tensors, steps, outputs = dict(plan.tensors), list(plan.steps), dict(plan.outputs)
    for name, ref in plan.outputs.items():
        if isinstance(ref, str) or plan.tensors[ref.tensor].store == F32:
            continue
        whole, copy = plan.tensors[ref.tensor], f"{name}/f32"
        tensors[copy] = Tensor(copy, whole.height, whole.width, ref.channels)
        steps.append(Step(copy, Combine("copy"), (ref,), copy))
        outputs[name] = Ref(copy, 0, ref.channels)
    return replace(plan, tensors=MappingProxyType(tensors), steps=tuple(steps), outputs=MappingProxyType(outputs))


def gates_by_step(gates: Mapping[str, float], steps: tuple[AnyStep, ...], path: str) -> Mapping[str, float]:
    """One gate a step; "*" is for all that are not named. Raises InputError for a name that no step has."""
    names = [step.name for step in steps if not isinstance(step, IslandStep)]
    unknown = set(gates) - set(names) - {"*"}
    if unknown:
        raise InputError(f"{path}: gate for '{min(unknown)}', but no step has this name; see the plan for names")
    return MappingProxyType({name: float(gates.get(name, gates.get("*", 0.0))) for name in names})
