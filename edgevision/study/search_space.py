"""Which TurboViTs a search may propose, and how one comes from others (METHODS 5). In: specs, random numbers. Out: specs. Keeps nothing.

What is held: mask units first, queries pooled in three places, all heads of a stage as wide as each other. What is searched: blocks,
widths, heads, hidden widths of the MLP of each stage, the units' side, and whether the third stage looks at the whole picture.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from edgevision.networks.turbovit import PATCH_PX, TurboViTSpec, layers, parameters, sizes

DEPTHS = ((1, 2, 3), (1, 2, 3, 4), (1, 2, 3, 4, 5, 6, 7, 8, 10, 12), (1, 2, 3, 4))
DIMS = (32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 512)
HEAD_DIMS = (16, 32, 64)  # 16 where a width has no other
RATIOS = (1.0, 1.5, 2.0, 3.0, 4.0)
UNITS = (8, 16)
THIRD = ("unit", "dense")
STAGES = 4
MB = 1e6
T = TypeVar("T")


def smallest(labels: tuple[str, ...], trained_px: int) -> TurboViTSpec:
    """The least of all: a limit that it does not keep cannot be kept."""
    return _spec(TurboViTSpec(labels=labels, trained_px=trained_px), (1,) * STAGES, (DIMS[0],) * STAGES, (DIMS[0],) * STAGES)


def drawn(random: np.random.Generator, base: TurboViTSpec) -> TurboViTSpec:
    """Any of the space, widths never falling from stage to stage; labels and size are the base's."""
    depths = tuple(int(random.choice(choices)) for choices in DEPTHS)
    dims = tuple(sorted(int(random.choice(DIMS)) for _ in range(STAGES)))
    hidden = tuple(round(dim * float(random.choice(RATIOS))) for dim in dims)
    made = _spec(base, depths, dims, hidden)
    heads = tuple(dim // int(random.choice(_head_dims(dim))) for dim in dims)
    kinds = ("unit", "unit", str(random.choice(THIRD)), "dense")
    return replace(made, heads=heads, unit=int(random.choice(_unit_sides(base))), kinds=kinds)


def mutated(random: np.random.Generator, parent: TurboViTSpec, changes: int = 2) -> TurboViTSpec:
    """The parent with one to `changes` of its choices made anew, each a step away from what it was, where there are steps."""
    made = parent
    for _ in range(int(random.integers(1, changes + 1))):
        made = (_deeper, _wider, _heads, _hidden, _units)[int(random.choice(5, p=(0.3, 0.3, 0.1, 0.2, 0.1)))](random, made)
    return made


def crossed(random: np.random.Generator, one: TurboViTSpec, other: TurboViTSpec) -> TurboViTSpec:
    """The first stages of one and the last ones of the other; where the widths would fall, the wider goes on."""
    cut = int(random.integers(1, STAGES))
    names = ("depths", "dims", "hidden", "heads")
    kept: dict[str, Any] = {name: (*getattr(one, name)[:cut], *getattr(other, name)[cut:]) for name in names}
    if any(a > b for a, b in zip(kept["dims"], kept["dims"][1:], strict=False)):
        return one
    return replace(one, **kept)


def memory_mb(spec: TurboViTSpec, px: int) -> float:
    """Of the weights and of one camera's Memory at `px`, as the engine keeps every layer's output, in f32."""
    steps = layers(spec)
    made = sizes(steps, px, px)
    return float(4 * (parameters(spec) + sum(int(np.prod(made[step.name])) for step in steps)) / MB)


def _spec(base: TurboViTSpec, depths: tuple[int, ...], dims: tuple[int, ...], hidden: tuple[int, ...]) -> TurboViTSpec:
    heads = tuple(dim // _head_dims(dim)[-1] for dim in dims)
    return replace(base, depths=depths, dims=dims, heads=heads, hidden=hidden, pools=(False, True, True, True), unit=UNITS[0])


def _unit_sides(spec: TurboViTSpec) -> list[int]:
    """Those into which the picture that it is made for can be cut."""
    return [unit for unit in UNITS if spec.trained_px % (PATCH_PX * unit) == 0]


def _head_dims(dim: int) -> list[int]:
    """What heads may be as wide as, the widest last: few heads."""
    return [head for head in HEAD_DIMS if dim % head == 0][-2:]


def _deeper(random: np.random.Generator, spec: TurboViTSpec) -> TurboViTSpec:
    stage = int(random.choice(STAGES, p=(0.15, 0.2, 0.45, 0.2)))
    return replace(spec, depths=_with(spec.depths, stage, _beside(random, DEPTHS[stage], spec.depths[stage])))


def _wider(random: np.random.Generator, spec: TurboViTSpec) -> TurboViTSpec:
    """One stage; others follow where widths would fall. Heads stay as wide as they can, hidden layers in proportion."""
    stage = int(random.integers(STAGES))
    dim = _beside(random, DIMS, spec.dims[stage])
    dims = tuple(min(d, dim) if i < stage else max(d, dim) if i > stage else dim for i, d in enumerate(spec.dims))
    hidden = tuple(round(h / was * now) for h, was, now in zip(spec.hidden, spec.dims, dims, strict=True))
    heads = tuple(
        count if now % count == 0 and now // count in HEAD_DIMS else now // _head_dims(now)[-1]
        for count, now in zip(spec.heads, dims, strict=True)
    )
    return replace(spec, dims=dims, hidden=hidden, heads=heads)


def _heads(random: np.random.Generator, spec: TurboViTSpec) -> TurboViTSpec:
    stage = int(random.integers(STAGES))
    return replace(spec, heads=_with(spec.heads, stage, spec.dims[stage] // int(random.choice(_head_dims(spec.dims[stage])))))


def _hidden(random: np.random.Generator, spec: TurboViTSpec) -> TurboViTSpec:
    stage = int(random.integers(STAGES))
    return replace(spec, hidden=_with(spec.hidden, stage, round(spec.dims[stage] * float(random.choice(RATIOS)))))


def _units(random: np.random.Generator, spec: TurboViTSpec) -> TurboViTSpec:
    """Another side of the units, or another reach of the third stage."""
    if random.random() < 0.5:
        return replace(spec, unit=int(random.choice(_unit_sides(spec))))
    return replace(spec, kinds=_with(spec.kinds, 2, THIRD[1 - THIRD.index(spec.kinds[2])]))


def _beside(random: np.random.Generator, choices: tuple[int, ...], now: int) -> int:
    """A neighbour of `now` among the choices."""
    place = min(range(len(choices)), key=lambda i: abs(choices[i] - now))
    near = [i for i in (place - 1, place + 1) if 0 <= i < len(choices)]
    return choices[int(random.choice(near))]


def _with(values: tuple[T, ...], place: int, value: T) -> tuple[T, ...]:
    return (*values[:place], value, *values[place + 1 :])
