"""From a file's nodes to a Plan: folds constants, bias, scale, activation and residual into convolutions; gathers the rest in islands.

In: a Graph and the gates. Out: a Plan. Keeps nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import UnsupportedNetwork
from edgevision.kernels.forms import F32, Activation, Combine, Convolve, Form, Pick, Store
from edgevision.recompute.arrangement import Arrangement
from edgevision.recompute.fold import (
    IDENTITY,
    absorb,
    activated,
    before_pick,
    is_positive,
    on_grid,
    only_moves,
    origins,
    scale_and_shift,
    spread,
)
from edgevision.recompute.graph import Graph, Node
from edgevision.recompute.operations import Arrange, Compute, Join, Meaning, Quantise, View, is_picture
from edgevision.recompute.patterns import understand
from edgevision.recompute.plan import IslandStep, Plan, Ref, Step, Tensor
from edgevision.recompute.precision import finish
from edgevision.recompute.quantised import Grid, channel_factors

_EXACT_TAPS = 512  # depthwise sums of bytes are kept in f32, exact below 2^24


def lower(graph: Graph, gates: Mapping[str, float] | None = None, precision: str = "f32") -> Plan:
    """The plan of a graph, in `precision` f32, bf16 or, for a quantised file, int8.

    Raises UnsupportedNetwork where the input is no image or an island cannot be cut.
    """
    if not is_picture(graph.input, graph):
        raise UnsupportedNetwork(
            f"{graph.path}: input {list(graph.shapes[graph.input])} is no image; it must be (1, channels, height, width) f32"
        )
    graph, meanings = understand(graph)
    lowering = _Lowering(graph)
    for group in _groups(graph, meanings):
        if isinstance(meanings[group[0].outputs[0]], str):
            lowering.island(group, str(meanings[group[0].outputs[0]]))
        else:
            for node in group:
                lowering.node(node, meanings[node.outputs[0]])
    return finish(lowering.plan(), gates or {}, precision)


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
    scales: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    arrangements: dict[str, Arrangement] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.uses = self.graph.uses()
        self.where[self.graph.input] = self._tensor(self.graph.input, self.graph.input)

    def node(self, node: Node, meaning: Meaning | str) -> None:
        """Enter one node."""
        if isinstance(meaning, Quantise) and isinstance(meaning.store, Store):
            self._quantise(node, meaning.store)
        elif isinstance(meaning, Quantise) and isinstance(meaning.store, Grid):
            self._quantise_channels(node, meaning.store)
        elif isinstance(meaning, View):
            self._view(meaning)
        elif isinstance(meaning, Join):
            self._join(node, meaning)
        elif isinstance(meaning, Compute):
            self._compute(node, self._whole(node, meaning))
        elif isinstance(meaning, Arrange):
            self.where[node.outputs[0]] = self.where[meaning.source]
            self._share(meaning.source, node.outputs[0])
            if not meaning.arrangement.is_plain:
                self.arrangements[node.outputs[0]] = meaning.arrangement

    def _tensor(self, name: str, like: str, parts: tuple[str, ...] = (), store: Store = F32) -> Ref:
        _, channels, height, width = self.graph.shapes[like]
        self.tensors[name] = Tensor(name, height, width, channels, parts, store)
        return Ref(name, 0, channels)

    def _store(self, ref: Ref) -> Store:
        return self.tensors[ref.tensor].store

    def _quantise(self, node: Node, store: Store) -> None:
        """From here on as bytes: the step before writes them at once if nobody else wants its floats."""
        source, output = node.inputs[0], node.outputs[0]
        ref = self.where[source]
        maker, whole = self.makers.get(ref.tensor), self.tensors[ref.tensor]
        is_ours = ref.channels == whole.channels and ref.tensor not in self.homed and (maker or ref.tensor == self.graph.input)
        has_floats = whole.store == F32 or (maker is not None and only_moves(maker.form))
        if whole.store == store:
            self.where[output] = ref
            self._share(source, output)
        elif is_ours and self.uses[source] == 1 and has_floats:
            self.tensors[ref.tensor] = replace(self.tensors[ref.tensor], store=store)
            self.where[output] = ref
            self._hold_phases(maker, store)
        else:
            self.where[output] = self._add(_Draft(node.name, Combine("copy"), [ref], output), output, store)

    def _hold_phases(self, maker: _Draft | None, store: Store) -> None:
        """What only a Pick reads is held as the Pick's own result is: its phases are written as bytes at once."""
        if maker is None or not isinstance(maker.form, Pick) or maker.form.activation != IDENTITY or maker.form.taps.min() < 0:
            return
        source = self.tensors[maker.sources[0].tensor]
        is_whole = maker.sources[0].channels == source.channels and min(maker.form.rows.min(), maker.form.columns.min()) >= 0
        is_ours = source.name in self.private or (maker.target in self.private and source.name not in self.homed)
        names = source.parts or (source.name,)
        if is_whole and is_ours and source.store == F32 and all(name in self.makers for name in names):
            for name in {source.name, *names}:
                self.tensors[name] = replace(self.tensors[name], store=store)

    def _quantise_channels(self, node: Node, grid: Grid) -> None:
        """Bytes of a scale for each channel: held in steps of 1, each channel counted in its own scale. Floats again unless all who read
        them are depthwise convolutions, which take the scales into their factors, and no output of the network shows them.
        """
        source, output = node.inputs[0], node.outputs[0]
        maker = self._maker(self.where[source]) if self.uses[source] == 1 else None
        grid = grid.of_positive() if maker is not None and is_positive(maker.form) else grid
        shift = grid.zeros - grid.store.zero
        folded = on_grid(maker.form, grid.store, grid.scale) if maker is not None and grid.is_even else None
        if maker is not None and folded is not None:
            maker.form, ref = folded, self.where[source]
            self.tensors[ref.tensor] = replace(self.tensors[ref.tensor], store=grid.store)
        else:
            name = f"{node.name}/steps"
            ref = self._add(_Draft(name, spread(1 / grid.scale, shift), [self.where[source]], name), output, grid.store)
        is_shown = output in self.graph.outputs.values()
        if grid.is_even and not is_shown and all(self._is_depthwise(reader) for reader in self.graph.nodes if output in reader.inputs):
            self.where[output], self.scales[output] = ref, grid.scale
        else:
            self.where[output] = self._add(_Draft(node.name, spread(grid.scale, -shift * grid.scale), [ref], output), output)

    def _is_depthwise(self, node: Node) -> bool:
        weights = self.graph.weights.get(node.inputs[1]) if node.op == "GroupConvolution" else None
        if weights is None or weights.steps.ndim != 5 or weights.steps.shape[1:3] != (1, 1) or weights.steps[0].size > _EXACT_TAPS:
            return False
        return channel_factors(weights, len(weights.steps), F32) is not None

    def _whole(self, node: Node, meaning: Compute) -> Compute:
        """A convolution of bytes with whole-numbered weights, where the file has both."""
        form = meaning.forms[0]
        weights = self.graph.weights.get(node.inputs[1]) if len(node.inputs) > 1 else None
        store = self._store(self.where[meaning.sources[0]])
        if weights is None or not isinstance(form, Convolve) or weights.steps.size != form.weights.size or store.kind != "u8":
            return meaning
        factors = channel_factors(weights, len(form.weights), store)
        if factors is not None and meaning.sources[0] in self.scales:
            factors = (factors.astype(np.float64) * self.scales[meaning.sources[0]]).astype(np.float32)
        if factors is None or (form.is_depthwise and form.weights[0].size > _EXACT_TAPS):
            return meaning
        steps = np.ascontiguousarray(weights.steps.reshape(form.weights.shape))
        return replace(meaning, forms=(replace(form, weights=steps, factors=factors), *meaning.forms[1:]))

    def _readable(self, form: Form, ref: Ref) -> Ref:
        """The channels as the form can read them: floats for a convolution that has no whole-numbered weights."""
        if not isinstance(form, Convolve) or form.is_depthwise or form.factors is not None or self._store(ref).kind != "u8":
            return ref
        name = f"{ref.tensor}/float" + (f"{ref.start}" if ref.channels != self.tensors[ref.tensor].channels else "")
        if name not in self.tensors:
            whole = self.tensors[ref.tensor]
            self.steps.append(_Draft(name, Combine("copy"), [ref], name))
            self.tensors[name] = Tensor(name, whole.height, whole.width, ref.channels)
        return Ref(name, 0, ref.channels)

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
        stores = {self._store(self.where[source]) for source in join.sources}
        store = stores.pop() if len(stores) == 1 else F32
        parts = tuple(self._part(source, node, place, store) for place, source in enumerate(join.sources))
        self.where[node.outputs[0]] = self._tensor(node.outputs[0], node.outputs[0], parts, store)
        self.homed.update(parts)
        if join.is_private:
            self.private.add(node.outputs[0])

    def _part(self, source: str, node: Node, place: int, store: Store) -> str:
        """A tensor that may live in the joined buffer: the source itself, or a copy if it already has a home or is not whole."""
        ref = self.where[source]
        is_free = ref.channels == self.tensors[ref.tensor].channels and ref.tensor not in self.homed and ref.tensor != self.graph.input
        name = ref.tensor
        if not is_free or self._store(ref) != store:
            name = f"{node.name}/copy{place}"
            self._add(_Draft(name, Combine("copy"), [ref], name), source, store)
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
            forms = [scale_and_shift(forms[0], forms[1])]
        if forms:
            store = self._store(current) if only_moves(forms[0]) else F32
            if self.uses[source] == 1 and current.tensor == self.where[source].tensor and not self.tensors[current.tensor].parts:
                self.private.add(output)
            current = self._add(_Draft(node.name, forms[0], [self._readable(forms[0], current)], output), output, store)
        self.where[output] = current

    def _add(self, draft: _Draft, like: str, store: Store = F32) -> Ref:
        self.steps.append(draft)
        self.makers[draft.target] = draft
        return self._tensor(draft.target, like, store=store)

    def _maker(self, ref: Ref) -> _Draft | None:
        """The step that wrote exactly these channels, as floats, if nothing else did."""
        tensor = self.tensors[ref.tensor]
        is_whole = ref.channels == tensor.channels and ref.tensor not in self.homed and tensor.store == F32
        return self.makers.get(ref.tensor) if is_whole else None

    def _fold(self, ref: Ref, form: Form) -> bool:
        """Take a channel-wise form into the step before it."""
        maker = self._maker(ref)
        if maker is None or not isinstance(form, Combine):
            return False
        if isinstance(maker.form, Pick) and self._fold_before(maker, maker.form, form):
            return True
        folded = activated(maker.form, form) or (absorb(maker.form, form) if isinstance(maker.form, Convolve) else None)
        maker.form = folded or maker.form
        return folded is not None

    def _fold_before(self, maker: _Draft, pick: Pick, form: Combine) -> bool:
        """Into the convolutions whose channels a Pick deals out, if it alone reads them."""
        ref = maker.sources[0]
        parts = self.tensors[ref.tensor].parts or (ref.tensor,)
        drafts = [self.makers[part] for part in parts if part in self.makers]
        becomes = origins(pick, ref.channels)
        is_ours = maker.target in self.private or ref.tensor in self.private
        if not is_ours or becomes is None or len(drafts) != len(parts) or pick.activation != IDENTITY or self._store(ref) != F32:
            return False
        ends = np.cumsum([self.tensors[part].channels for part in parts])
        folded = [before_pick(draft.form, form, part) for draft, part in zip(drafts, np.split(becomes, ends[:-1]), strict=True)]
        if ref.channels != ends[-1] or None in folded:
            return False
        for draft, made in zip(drafts, folded, strict=True):
            draft.form = made or draft.form
        return True

    def _fold_residual(self, node: Node, meaning: Compute) -> bool:
        """conv(x) + y as one step, if nothing else reads conv(x). Of two candidates the later one waits for the other anyway."""
        if not isinstance(meaning.forms[0], Combine) or meaning.forms[0].op != "add" or meaning.forms[0].activation != IDENTITY:
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
        if not isinstance(meaning.forms[0], Combine) or meaning.forms[0].op != "mul":
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

    def plan(self) -> Plan:
        """Close the books."""
        steps = tuple(s if isinstance(s, IslandStep) else Step(s.name, s.form, tuple(s.sources), s.target) for s in self.steps)
        return Plan(
            path=self.graph.path,
            input=self.graph.input,
            tensors=MappingProxyType(dict(self.tensors)),
            steps=steps,
            outputs=MappingProxyType({name: self.where.get(tensor, tensor) for name, tensor in self.graph.outputs.items()}),
            gates=MappingProxyType({}),
            arrangements=MappingProxyType(dict(self.arrangements)),
        )
