"""From a file's nodes to a Plan: folds constants, bias, scale, activation and residual into convolutions; gathers the rest in islands.

In: a Graph and the gates. Out: a Plan. Keeps nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from edgevision.errors import UnsupportedNetwork
from edgevision.kernels.forms import Activation, Combine, Convolve, Form, Window
from edgevision.recompute.graph import Graph, Node
from edgevision.recompute.operations import Compute, Join, Meaning, Unfit, View, is_picture, translate
from edgevision.recompute.plan import IslandStep, Plan, Ref, Step, Tensor

IDENTITY = Activation()


def lower(graph: Graph, gates: Mapping[str, float] | None = None) -> Plan:
    """The plan of a graph. Raises UnsupportedNetwork where the input is no image or an island cannot be cut."""
    if not is_picture(graph.input, graph):
        raise UnsupportedNetwork(
            f"{graph.path}: input {list(graph.shapes[graph.input])} is no image; it must be (1, channels, height, width) f32"
        )
    meanings = _meanings(graph)
    lowering = _Lowering(graph)
    for group in _groups(graph, meanings):
        if isinstance(meanings[group[0].outputs[0]], str):
            lowering.island(group, str(meanings[group[0].outputs[0]]))
        else:
            for node in group:
                lowering.node(node, meanings[node.outputs[0]])
    return lowering.plan(gates or {})


def _meanings(graph: Graph) -> dict[str, Meaning | str]:
    """By a node's first output: its meaning, or why it has none."""
    meanings: dict[str, Meaning | str] = {}
    for node in graph.nodes:
        try:
            meanings[node.outputs[0]] = translate(node, graph)
        except Unfit as reason:
            meanings[node.outputs[0]] = str(reason)
    return meanings


def _groups(graph: Graph, meanings: Mapping[str, Meaning | str]) -> list[list[Node]]:
    """Nodes in running order: selective stretches (even level) and islands (odd level) take turns, so that no island waits for itself."""
    level: dict[str, int] = {}
    groups: dict[int, list[Node]] = {}
    for node in graph.nodes:
        before = max((level.get(tensor, 0) for tensor in node.inputs), default=0)
        is_island = isinstance(meanings[node.outputs[0]], str)
        own = before + (before % 2 != is_island)
        for output in node.outputs:
            level[output] = own
        groups.setdefault(own, []).append(node)
    return [groups[own] for own in sorted(groups)]


@dataclass(slots=True, eq=False)
class _Draft:
    """A step that may still take in what follows it."""

    name: str
    form: Form
    sources: list[Ref]
    target: str


@dataclass(slots=True, eq=False)
class _Lowering:
    """The plan in the making. `where` says in which channels a file's tensor lives."""

    graph: Graph
    tensors: dict[str, Tensor] = field(default_factory=dict)
    where: dict[str, Ref] = field(default_factory=dict)
    steps: list[_Draft | IslandStep] = field(default_factory=list)
    makers: dict[str, _Draft] = field(default_factory=dict)
    homed: set[str] = field(default_factory=set)
    uses: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.uses = self.graph.uses()
        self.where[self.graph.input] = self._tensor(self.graph.input, self.graph.input)

    def node(self, node: Node, meaning: Meaning | str) -> None:
        """Enter one node."""
        if isinstance(meaning, View):
            self._view(meaning)
        elif isinstance(meaning, Join):
            self._join(node, meaning)
        elif isinstance(meaning, Compute):
            self._compute(node, meaning)

    def _tensor(self, name: str, like: str, parts: tuple[str, ...] = ()) -> Ref:
        _, channels, height, width = self.graph.shapes[like]
        self.tensors[name] = Tensor(name, height, width, channels, parts)
        return Ref(name, 0, channels)

    def _view(self, view: View) -> None:
        whole = self.where[view.source]
        for output, start, channels in view.slices:
            self.where[output] = Ref(whole.tensor, whole.start + start, channels)
            self._share(view.source, output)

    def _share(self, source: str, output: str) -> None:
        """Both are the same channels: whoever counts the readers of one must not overlook those of the other."""
        if self.uses[source] > 1:
            self.uses[output] += self.uses[source]

    def _join(self, node: Node, join: Join) -> None:
        if len(join.sources) == 1:
            self.where[node.outputs[0]] = self.where[join.sources[0]]
            self._share(join.sources[0], node.outputs[0])
            return
        parts = tuple(self._part(source, node, place) for place, source in enumerate(join.sources))
        self.where[node.outputs[0]] = self._tensor(node.outputs[0], node.outputs[0], parts)
        self.homed.update(parts)

    def _part(self, source: str, node: Node, place: int) -> str:
        """A tensor that may live in the joined buffer: the source itself, or a copy if it already has a home or is not whole."""
        ref = self.where[source]
        is_free = ref.channels == self.tensors[ref.tensor].channels and ref.tensor not in self.homed and ref.tensor != self.graph.input
        name = ref.tensor
        if not is_free:
            name = f"{node.name}/copy{place}"
            self._add(_Draft(name, Combine("copy"), [ref], name), source)
        self.homed.add(name)
        return name

    def _compute(self, node: Node, meaning: Compute) -> None:
        output, source = node.outputs[0], meaning.sources[0]
        forms = list(meaning.forms)
        if len(meaning.sources) == 2:
            if not self._fold_silu(node, meaning) and not self._fold_residual(node, meaning):
                sources = [self.where[tensor] for tensor in meaning.sources]
                self.where[output] = self._add(_Draft(node.name, forms[0], sources, output), output)
            return
        current = self.where[source]
        while forms and self.uses[source] == 1 and self._fold(current, forms[0]):
            forms.pop(0)
        if len(forms) == 2:
            forms = [_scale_and_shift(forms[0], forms[1])]
        if forms:
            current = self._add(_Draft(node.name, forms[0], [current], output), output)
        self.where[output] = current

    def _add(self, draft: _Draft, like: str) -> Ref:
        self.steps.append(draft)
        self.makers[draft.target] = draft
        return self._tensor(draft.target, like)

    def _maker(self, ref: Ref) -> _Draft | None:
        """The step that wrote exactly these channels, if nothing else did."""
        is_whole = ref.channels == self.tensors[ref.tensor].channels and ref.tensor not in self.homed
        return self.makers.get(ref.tensor) if is_whole else None

    def _fold(self, ref: Ref, form: Form) -> bool:
        """Take a channel-wise form into the step before it."""
        maker = self._maker(ref)
        if maker is None or not isinstance(form, Combine):
            return False
        if form.op == "copy" and isinstance(maker.form, Convolve | Combine) and maker.form.activation == IDENTITY:
            maker.form = replace(maker.form, activation=form.activation)
            return True
        folded = _absorb(maker.form, form) if isinstance(maker.form, Convolve) else None
        maker.form = folded or maker.form
        return folded is not None

    def _fold_residual(self, node: Node, meaning: Compute) -> bool:
        """conv(x) + y as one step, if nothing else reads conv(x). Of two candidates the later one waits for the other anyway."""
        if meaning.forms != (Combine("add"),) and getattr(meaning.forms[0], "op", "") != "add":
            return False
        for place in (1, 0) if self._order(meaning.sources[1]) > self._order(meaning.sources[0]) else (0, 1):
            source, other = meaning.sources[place], meaning.sources[1 - place]
            maker = self._maker(self.where[source])
            if maker is None or self.uses[source] != 1 or not isinstance(maker.form, Convolve):
                continue
            if maker.form.activation != IDENTITY or maker.form.residual or maker.form.is_depthwise:
                continue
            maker.form = replace(maker.form, residual=True)
            maker.sources.append(self.where[other])
            self.steps.remove(maker)
            self.steps.append(maker)
            self.where[node.outputs[0]] = self.where[source]
            return True
        return False

    def _order(self, tensor: str) -> int:
        maker = self.makers.get(self.where[tensor].tensor)
        return next((place for place, step in enumerate(self.steps) if step is maker), -1)

    def _fold_silu(self, node: Node, meaning: Compute) -> bool:
        """x * sigmoid(x), written as two nodes."""
        if getattr(meaning.forms[0], "op", "") != "mul":
            return False
        for gate, value in (meaning.sources, meaning.sources[::-1]):
            maker = self._maker(self.where[gate])
            if maker is None or self.uses[gate] != 1 or maker.sources != [self.where[value]]:
                continue
            if isinstance(maker.form, Combine) and maker.form.op == "copy" and maker.form.activation.kind == "sigmoid":
                maker.form = Combine("copy", activation=Activation("silu"))
                self.where[node.outputs[0]] = self.where[gate]
                self._merge_silu(maker, value, node.outputs[0])
                return True
        return False

    def _merge_silu(self, silu: _Draft, value: str, output: str) -> None:
        """Into the convolution before it, when sigmoid and product were its only readers."""
        before = self._maker(self.where[value])
        if before is None or self.uses[value] != 2 or not isinstance(before.form, Convolve) or before.form.activation != IDENTITY:
            return
        before.form = replace(before.form, activation=silu.form.activation)  # type: ignore[union-attr]
        self.steps.remove(silu)
        del self.makers[silu.target], self.tensors[silu.target]
        self.where[output] = self.where[value]

    def island(self, nodes: list[Node], why: str) -> None:
        """Enter nodes that only OpenVINO can run, as one step."""
        inside = {output for node in nodes for output in node.outputs}
        reads = dict.fromkeys(t for node in nodes for t in node.inputs if t not in inside and t not in self.graph.constants)
        sources = tuple((tensor, self.where.get(tensor)) for tensor in reads)
        outside = {t for node in self.graph.nodes if node not in nodes for t in node.inputs} | set(self.graph.outputs.values())
        targets = []
        for tensor in (output for node in nodes for output in node.outputs if output in outside):
            picture = is_picture(tensor, self.graph)
            targets.append((tensor, picture))
            if picture:
                self.where[tensor] = self._tensor(tensor, tensor)
        names = tuple(node.name for node in nodes)
        if targets:
            self.steps.append(IslandStep(names[-1], names, sources, tuple(targets), why))

    def plan(self, gates: Mapping[str, float]) -> Plan:
        """Close the books."""
        steps = tuple(s if isinstance(s, IslandStep) else Step(s.name, s.form, tuple(s.sources), s.target) for s in self.steps)
        return Plan(
            path=self.graph.path,
            input=self.graph.input,
            tensors=MappingProxyType(dict(self.tensors)),
            steps=steps,
            outputs=MappingProxyType({name: self.where.get(tensor, tensor) for name, tensor in self.graph.outputs.items()}),
            gates=gates_by_step(gates, steps, self.graph.path),
        )


def _absorb(form: Convolve, following: Combine) -> Convolve | None:
    """`following` applied to the convolution's sum, as new weights and bias."""
    constant = following.constant
    if constant is None or following.swapped or form.residual or form.activation != IDENTITY:
        return None
    if following.op == "add":
        return replace(form, bias=form.bias + constant)
    if following.op == "sub":
        return replace(form, bias=form.bias - constant)
    if following.op in ("mul", "div"):
        factor = constant if following.op == "mul" else (np.float32(1) / constant).astype(np.float32)
        return replace(form, weights=form.weights * factor[:, None, None, None], bias=form.bias * factor)
    return None


def _scale_and_shift(scale: Form, shift: Form) -> Convolve:
    """x * scale + shift as a 1x1 depthwise convolution."""
    factors, offsets = getattr(scale, "constant", None), getattr(shift, "constant", None)
    if factors is None or offsets is None:
        raise UnsupportedNetwork("two forms in a row are only a scale and a shift")
    return Convolve(Window((1, 1)), factors.reshape(-1, 1, 1, 1), offsets, groups=len(factors))


def gates_by_step(gates: Mapping[str, float], steps: tuple[Step | IslandStep, ...], path: str) -> Mapping[str, float]:
    """One gate a step; "*" is for all that are not named. Raises UnsupportedNetwork for a name that no step has."""
    names = [step.name for step in steps if isinstance(step, Step)]
    unknown = set(gates) - set(names) - {"*"}
    if unknown:
        raise UnsupportedNetwork(f"{path}: gate for '{min(unknown)}', but no step has this name; see the plan for names")
    return MappingProxyType({name: float(gates.get(name, gates.get("*", 0.0))) for name in names})
