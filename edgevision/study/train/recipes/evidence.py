"""What the grain of a whole picture says, beside what a network marks in it. In: pictures of surfaces, good and bad, and which of them show
the same part; a network's file. Out: how likely the grain makes a bad one, and the file with it. Keeps nothing.

A network that marks pixels is least sure of a side that was ground otherwise: no pixel of it is odd. `grain.py` tells it of the whole. How
far that speaks for a bad picture, as log odds, is fitted on parts that were left out of what is usual. In the file, those log odds, at most
`HEARD` either way, are added where the network is surest; what lies lower by `BELOW` or more stays as it was, and so do the marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgevision.study.scores import auroc
from edgevision.study.train.recipes.grain import grain_nodes, grain_of, grain_weights, runs_down
from edgevision.study.train.recipes.likeness import LEFT_OUT, NOWHERE, Usual, broken_off, distances, mirrored, usual
from edgevision.study.train.recipes.likeness_file import distance_nodes_of_grain, distance_weights_of_grain
from edgevision.study.train.recipes.variation import Bytes

Floats = NDArray[np.float32]
HEARD, BELOW = 2.0, 1.0
WORTH = 0.75  # AUROC on parts left out, from which on it is heard at all
LEAST_GOOD = 20
LOOKED_AT = 20  # good pictures, for the way that the grain runs
ROUNDS = 30  # of Newton's method


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is usual by zone, and the log odds of a distance: 0 at `even`, `steepness` for a unit more."""

    known: tuple[Usual, ...]
    is_upright: bool
    even: float
    steepness: float

    def log_odds(self, image: Bytes) -> float:
        """Of a picture (H, W, 3) being bad, by its grain, as far as it is heard."""
        far = _farthest(grain_of(image, is_upright=self.is_upright), self.known, is_upright=self.is_upright)
        return float(np.clip(self.steepness * (far - self.even), -HEARD, HEARD))


def learn_evidence(images: Sequence[Bytes], are_bad: Sequence[bool], groups: Sequence[str]) -> Evidence | None:
    """None where the grain does not tell good from bad on parts that it has not seen, or where there are too few good pictures."""
    good = [image for image, is_bad in zip(images, are_bad, strict=True) if not is_bad]
    if len(good) < LEAST_GOOD or not any(are_bad):
        return None
    is_upright = runs_down(good[:: -(-len(good) // LOOKED_AT)])
    views = [
        [grain_of(np.ascontiguousarray(one), is_upright=is_upright) for one in (mirrored(image)[: 1 if is_bad else None])]
        for image, is_bad in zip(images, are_bad, strict=True)
    ]
    numbers = {group: number for number, group in enumerate(sorted(set(groups)))}
    parts = np.array([numbers[group] % LEFT_OUT for group in groups])
    far = np.zeros(len(images))
    for part in range(LEFT_OUT):
        rest = [one for shown, is_bad, own in zip(views, are_bad, parts, strict=True) if not is_bad and own != part for one in shown]
        if not rest:
            return None
        without = usual(rest)
        for place in np.flatnonzero(parts == part):
            far[place] = _farthest(views[place][0], without, is_upright=is_upright)
    bad = np.array(are_bad)
    steepness, even = _fitted(far, bad)
    if steepness <= 0 or (auroc(far[~bad], far[bad]) or 0.0) < WORTH:
        return None
    seen = [one for shown, is_bad in zip(views, are_bad, strict=True) if not is_bad for one in shown]
    return Evidence(usual(seen), is_upright, even, steepness)


def _farthest(shown: Floats, known: Sequence[Usual], *, is_upright: bool) -> float:
    return float(broken_off(distances(shown, known), is_upright=is_upright).max(initial=NOWHERE))


def _fitted(far: NDArray[np.float64], bad: NDArray[np.bool_]) -> tuple[float, float]:
    """Logistic regression, good and bad pictures as if there were as many of both: steepness, and where it is even."""
    weight = np.where(bad, 0.5 / max(1, bad.sum()), 0.5 / max(1, (~bad).sum())) * len(bad)
    entered, found = np.stack([far - far.mean(), np.ones_like(far)], axis=1), np.zeros(2)
    for _ in range(ROUNDS):
        chance = 1 / (1 + np.exp(-np.clip(entered @ found, -30, 30)))
        slope = entered.T @ (weight * (chance - bad)) + 1e-3 * found
        bend = (entered * (weight * chance * (1 - chance))[:, None]).T @ entered + 1e-3 * np.eye(2)
        found -= np.linalg.solve(bend, slope)
    return float(found[0]), float(far.mean() - found[1] / found[0]) if found[0] else 0.0


def add_evidence(path: Path, evidence: Evidence) -> None:
    """Let the file's network, whose last step is the sigmoid `defect`, hear it."""
    model = onnx.load(str(path))
    nodes = [node for node in model.graph.node if list(node.output) != ["defect"]]
    last = next(node for node in model.graph.node if list(node.output) == ["defect"])
    nodes += [
        *grain_nodes(is_upright=evidence.is_upright),
        *distance_nodes_of_grain(is_upright=evidence.is_upright),
        helper.make_node("ReduceMax", ["grain.broken"], ["grain.most"], axes=[2, 3], keepdims=1),
        helper.make_node("Mul", ["grain.most", "heard.steep"], ["heard.far"]),
        helper.make_node("Sub", ["heard.far", "heard.even"], ["heard.odds"]),
        helper.make_node("Clip", ["heard.odds", "heard.least", "heard.most"], ["heard"]),
        helper.make_node("ReduceMax", [last.input[0]], ["surest"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Sub", [last.input[0], "surest"], ["surest.below"]),
        helper.make_node("Add", ["surest.below", "heard.below"], ["surest.above"]),
        helper.make_node("Clip", ["surest.above", "grain.none", "grain.all"], ["surest.share"]),
        helper.make_node("Mul", ["surest.share", "heard"], ["heard.there"]),
        helper.make_node("Add", [last.input[0], "heard.there"], ["defect.heard"]),
        helper.make_node("Sigmoid", ["defect.heard"], ["defect"], name="defect"),
    ]
    numbers = {"steep": evidence.steepness, "even": evidence.steepness * evidence.even, "least": -HEARD, "most": HEARD, "below": BELOW}
    held = {f"heard.{name}": np.array(value, np.float32) for name, value in numbers.items()}
    held |= grain_weights(is_upright=evidence.is_upright) | distance_weights_of_grain(evidence.known, is_upright=evidence.is_upright)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(np.ascontiguousarray(one, np.float32), name) for name, one in held.items())
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
