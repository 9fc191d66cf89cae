"""Class queries over a picture's tokens, for `bench attention`: what a cache of measurements costs to build, and to keep (METHODS 1).

In: the layer's geometry, a number of measurements. Out: rows as `bench attention` has them, with `queries` and `cache_mb`. A few queries,
as names of defects would ask them, look at all tokens: `dense` in NumPy at every token; CSAT at measurements, made anew at every shot, and
kept up to date where one square of CHANGED tokens takes new values. All at gate 0; times hold measuring and looking.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edgevision.kernels.forms import Float
from edgevision.networks.attention import Opening, Tokens
from edgevision.networks.attention.csat import Csat, CsatState, plane
from edgevision.study.attention_scene import shots

QUERIES = 16
CHANGED = 0.01
MEGABYTE = 1 << 20
Told = Callable[[str], None]


def cross_rows(layer: Tokens, measurements: int, threads: int, count: int, told: Told) -> Iterator[dict[str, Any]]:
    """Dense, measured anew, kept up to date: `count` shots after three."""
    random = np.random.default_rng(1)
    query = plane(random.standard_normal((1, QUERIES, layer.channels)).astype(np.float32))
    target = plane(np.zeros_like(query.values))
    state = CsatState(Csat(measurements), (1, QUERIES), layer.key, (layer.heads, layer.head_dim), Opening(crew=threads))
    ms: dict[str, list[float]] = {"dense": [], "anew": [], "kept": []}
    work, off = {"dense": 2 * QUERIES * layer.keys * layer.channels}, [0.0, 0.0]
    for number, (scene, _) in zip(range(count + 3), shots(layer, CHANGED, 0), strict=False):
        told(f"class queries, shot {number + 1} of {count + 3}")
        times = {}
        for name, everything in (("kept", number == 0), ("anew", True)):
            began = time.perf_counter()
            state.run(query, scene.key, scene.value, target, everything, None)
            times[name], work[name] = (time.perf_counter() - began) * 1e3, state.macs
        made = target.values  # measured anew comes to the same bits
        began = time.perf_counter()
        exact = _dense(query.values, scene.key.values, scene.value.values, layer)
        times["dense"] = (time.perf_counter() - began) * 1e3
        if number >= 3:
            apart = np.abs(made - exact) / float(np.ptp(exact))
            off = [max(off[0], float(apart.max())), off[1] + float(apart.mean()) / count]
            for name, taken in times.items():
                ms[name].append(taken)
    held = 2 * layer.keys * layer.channels * 4
    ours = state.cache_bytes, state.size_bytes
    for name, changed, (cache, kept) in (("dense", 1.0, (held, held)), ("anew", 1.0, ours), ("kept", CHANGED, ours)):
        is_ours = name != "dense"
        yield {
            "method": "csat_queries" if is_ours else "dense_queries",
            "engine": "ours" if is_ours else "numpy",
            "queries": QUERIES,
            "changed": changed,
            "gate": 0.0,
            "ms_p50": round(float(np.median(ms[name])), 3),
            "ms_p99": round(float(np.percentile(ms[name], 99)), 3),
            "error_to_dense": float(f"{off[0]:.3g}") if is_ours else 0.0,
            "error_mean": float(f"{off[1]:.3g}") if is_ours else 0.0,
            "macs": work[name],
            "mb": round(kept / MEGABYTE, 1),
            "cache_mb": round(cache / MEGABYTE, 2),
        }


def _dense(query: Float, key: Float, value: Float, layer: Tokens) -> Float:
    """(1, query, channel)."""
    parts = (one.reshape(-1, layer.heads, layer.head_dim).transpose(1, 0, 2) for one in (query, key, value))
    asked, keys, values = parts
    scores = asked @ keys.transpose(0, 2, 1) * np.float32(layer.head_dim**-0.5)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    made = weights @ values / weights.sum(axis=2, keepdims=True)
    return np.asarray(made.transpose(1, 0, 2).reshape(query.shape), np.float32)


def cross_note(rows: list[dict[str, Any]]) -> str:
    """What the rows come to, one sentence."""
    dense, anew, kept = rows
    return (
        f"class queries ({QUERIES}): {CHANGED:.0%} of the tokens changed costs 1/{anew['ms_p50'] / kept['ms_p50']:.0f} of measuring anew "
        f"({kept['ms_p50']:.2f} of {anew['ms_p50']:.2f} ms; dense {dense['ms_p50']:.2f}); what queries read is "
        f"{dense['cache_mb'] / kept['cache_mb']:.0f} times smaller ({kept['cache_mb']:.2f} of {dense['cache_mb']:.1f} MB)"
    )
