"""The selective engine: the answer of the whole network for the price of the pixels that changed. START READING HERE in this folder.

    net = SelectiveNetwork.load("network.onnx")
    out = net.first(x)                 # all of it
    out = net.next(x, live)            # what the live pixels reach; bit-identical to first() of the input in use
    net.shift(0, 8)                    # loaded with may_move: the scene moves, and what was computed moves along in the next next()

A file is read (`graph`), lowered to a plan of steps (`lower`, `plan`), and each step bound to the planes of a Memory (`memory`, `bound`,
`island`, `attention`). A network of tokens comes as plain data (`token_plan`). The arithmetic is in `kernels`; what runs step after step
between two islands or attentions is a chain there (`kernels/*/chain.py`). One `Network` (plan, weights, kernels) serves many cameras, each
a `SelectiveNetwork`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.kernels import cpu_has_bf16, open_backend
from edgevision.kernels.forms import Backend, Chain
from edgevision.kernels.plain.store import decode
from edgevision.recompute.arguments import Means, Progress, check_gates, check_load, check_window
from edgevision.recompute.attention import BoundAttention, attention_bytes, bind_attention
from edgevision.recompute.bound import BoundStep, bind_step, join
from edgevision.recompute.call import ANSWER, EMPTY, ENTRANCE, Call, Window, strayed
from edgevision.recompute.copies import TensorOf
from edgevision.recompute.foreign import Foreign, ForeignNetwork
from edgevision.recompute.gate import learn_gate, open_gate
from edgevision.recompute.graph import Graph, read_graph
from edgevision.recompute.horizon import horizon_px
from edgevision.recompute.intake import Entrance
from edgevision.recompute.island import Island, bind_island, compile_island
from edgevision.recompute.lower import lower
from edgevision.recompute.memory import Layout, Memory, refuse_beyond
from edgevision.recompute.motion import Motion, Moves, set_ends
from edgevision.recompute.plan import AttentionStep, IslandStep, Plan, Ref, Step
from edgevision.recompute.precision import choose_precision, gates_by_step
from edgevision.recompute.preprocess import Preprocess, build_intake, checked_preprocess
from edgevision.records import Box, Costs, Mask, StepCost

Outputs = dict[str, NDArray[np.float32]]
Stage = Chain | Island | BoundAttention
AnyBound = BoundStep | Island | BoundAttention


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """What cameras share: the plan, the packed weights, the compiled islands. Nothing in it changes."""

    graph: Graph
    plan: Plan
    layout: Layout
    backend: Backend
    packed: tuple[object, ...]
    crew: Any
    limit: Limit
    foreign: ForeignNetwork | None = None

    @classmethod
    def load(cls, graph: Graph, plan: Plan, backend: Backend, threads: int, limit: Limit, foreign: ForeignNetwork | None = None) -> Network:
        """Pack the weights, compile the islands. Raises UnsupportedNetwork when a camera's Memory would be beyond the limit."""
        layout = Layout.of(plan)
        spare = (0 if foreign is None else foreign.input_bytes) + (layout.ring_bytes(plan) if limit.may_move else 0)
        spare += attention_bytes(plan, backend)
        refuse_beyond(limit.megabytes, camera_bytes(graph, plan, layout) + spare, limit.memories, plan.path)
        packed = tuple(_packed(step, graph, backend, threads) for step in plan.steps)
        return cls(graph, plan, layout, backend, packed, backend.crew(threads), limit, foreign)

    def bind(self, memory: Memory, progress: Progress | None = None) -> Bound:
        """Every step over one camera's Memory."""
        steps: list[AnyBound] = []
        for step, packed in zip(self.plan.steps, self.packed, strict=True):
            if isinstance(step, IslandStep):
                steps.append(bind_island(step, packed, memory, self.backend))
            elif isinstance(step, AttentionStep):
                steps.append(bind_attention(step, memory, self.backend, self.crew))
            else:
                steps.append(bind_step(step, packed, memory, self.backend))
            if progress is not None:
                progress(len(steps), len(self.packed))
        return Bound(tuple(steps), tuple(self._stages(steps)))

    def _stages(self, steps: Sequence[AnyBound]) -> Iterator[Stage]:
        """Islands and attentions, and what lies between two as one chain."""
        waiting: list[BoundStep] = []
        for step in steps:
            if isinstance(step, BoundStep):
                waiting.append(step)
                continue
            if waiting:
                yield join(waiting, self.backend, self.crew)
                waiting = []
            yield step
        if waiting:
            yield join(waiting, self.backend, self.crew)


def _packed(step: Step | IslandStep | AttentionStep, graph: Graph, backend: Backend, threads: int) -> object:
    """What all cameras share of a step besides its form; an attention has its weights in itself."""
    if isinstance(step, IslandStep):
        return compile_island(step, graph, threads)
    return backend.pack(step.form) if isinstance(step, Step) else None


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A network's steps over one Memory, and what runs them: chains of steps, and islands or attentions between."""

    steps: tuple[AnyBound, ...]
    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class Limit:
    """`megabytes` (None: any) for the `memories` of one camera together; whether their pictures may move."""

    megabytes: float | None = None
    memories: int = 1
    may_move: bool = False


def camera_bytes(graph: Graph, plan: Plan, layout: Layout, picture_px: tuple[int, int] | None = None) -> int:
    """What one Memory holds: planes with their live bytes, runs, the picture's live mask, and islands' arrays with what they are fed."""
    height, width = picture_px or (plan.tensors[plan.input].height, plan.tensors[plan.input].width)
    islands = [step for step in plan.steps if isinstance(step, IslandStep)]
    arrays = {name for step in islands for name, _ in (*step.sources, *step.targets)}
    loose = sum(4 * math.prod(graph.shapes[name]) for name in arrays)
    return layout.size_bytes(plan) + height * (width + 8) + loose


class SelectiveNetwork:
    """A network watching one camera. Not for two threads at once; any number of them may live side by side."""

    def __init__(self, network: Network, progress: Progress | None = None) -> None:
        self._network = network
        self._memory = Memory.allocate(network.plan, network.layout, network.limit.may_move)
        self._bind(progress)
        self._entrance = Entrance(self._memory.planes[network.plan.input], network.backend, self._memory.runs)
        tensors, outputs = network.graph.outputs, network.plan.outputs
        self._tensors = {name: TensorOf(self._memory, tensors[name], ref) for name, ref in outputs.items() if isinstance(ref, Ref)}
        self._dense_macs = network.plan.dense_macs
        self._foreign = None if network.foreign is None else Foreign(network.foreign, self._steps, self._entrance.plane)
        self._mode = "cached"
        self._preprocess: Preprocess | None = None
        self._motion: Motion | None = None
        self._shift_px = (0, 0)
        self._has_moved = False

    def _bind(self, progress: Progress | None = None) -> None:
        bound = self._network.bind(self._memory, progress)
        self._steps, self._stages = bound.steps, bound.stages
        kernels = [step.link.kernel for step in bound.steps if isinstance(step, BoundStep)]
        self._mover = self._network.backend.mover(list(self._memory.buffers.values()), kernels)

    @classmethod
    def load(
        cls,
        path: str | Path,
        precision: str = "auto",
        threads: int = 1,
        gate: float | Mapping[str, float] = 0.0,
        input_shape: tuple[int, ...] | None = None,
        **means: Unpack[Means],
    ) -> SelectiveNetwork:
        """The network in `path` (ONNX, or OpenVINO IR's .xml). `gate` is one for all steps, or by step name ("*": the others).

        Raises UnsupportedNetwork when the file cannot be run, InputError when an argument is wrong; both say what to do.
        """
        check_gates(gate)
        graph = read_graph(path, check_load(path, precision, threads, input_shape, means))
        chosen = choose_precision(graph.path, graph.is_quantised, precision)
        plan = lower(graph, dict(gate) if isinstance(gate, Mapping) else {"*": gate}, chosen)
        backend = means.get("backend", "compiled")
        if chosen == "bf16" and backend == "compiled" and not cpu_has_bf16():
            raise UnsupportedNetwork(f"{path}: precision bf16 needs a CPU that multiplies bf16 (AVX512-BF16); leave it out for f32")
        is_foreign = means.get("foreign", "never") == "auto" and getattr(backend, "name", backend) == "compiled"
        foreign = ForeignNetwork(graph, plan.tensors[plan.input], chosen, threads) if is_foreign else None
        return cls.of_plan(graph, plan, threads, means, foreign)

    @classmethod
    def of_plan(cls, graph: Graph, plan: Plan, threads: int, means: Means, foreign: ForeignNetwork | None = None) -> SelectiveNetwork:
        """The network of a plan that is made already; `graph` says what a file would. Raises UnsupportedNetwork."""
        backend = means.get("backend", "compiled")
        kernels = open_backend(backend) if isinstance(backend, str) else backend
        limit = Limit(means.get("memory_limit_mb"), means.get("memories", 1), means.get("may_move", False))
        return cls(Network.load(graph, plan, kernels, threads, limit, foreign), means.get("progress"))

    def sibling(self, has_foreign: bool = True) -> SelectiveNetwork:
        """The same network for another camera: weights and kernels are shared, Memory is its own and empty.

        Without `has_foreign` it never runs in OpenVINO as a whole.
        """
        twin = SelectiveNetwork(self._network if has_foreign else replace(self._network, foreign=None))
        if self._preprocess is not None:
            twin.set_preprocess(self._preprocess)
        return twin

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(1, C, H, W)."""
        tensor = self.plan.tensors[self.plan.input]
        return 1, tensor.channels, tensor.height, tensor.width

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of each output by name."""
        return {name: self._network.graph.shapes[tensor] for name, tensor in self._network.graph.outputs.items()}

    @property
    def plan(self) -> Plan:
        """How every step runs, and why. Prints one line a step."""
        return self._network.plan

    @property
    def attentions(self) -> tuple[BoundAttention, ...]:
        """This camera's attentions, as the last call left them: for whoever explains, to be looked at only."""
        return tuple(step for step in self._steps if isinstance(step, BoundAttention))

    @property
    def graph(self) -> Graph:
        """The file as it was read."""
        return self._network.graph

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the file says of itself."""
        return MappingProxyType(dict(self._network.graph.metadata))

    @property
    def sha256(self) -> str:
        """Of the network file."""
        return self._network.graph.sha256

    @property
    def preprocess(self) -> Preprocess | None:
        """How frames are taken in; None while tensors are."""
        return self._preprocess

    def set_preprocess(self, settings: Preprocess | None = None) -> None:
        """From now on `first` and `next` take 8-bit frames. Left out: as the file's metadata says. Forgets the Memory."""
        chosen = checked_preprocess(settings, self.metadata, self.plan.path)
        _, channels, height, width = self.input_shape
        frame_px, network = chosen.frame_px or (height, width), self._network
        needed = camera_bytes(network.graph, network.plan, network.layout, frame_px)
        needed += 0 if network.foreign is None else network.foreign.input_bytes
        needed += network.layout.ring_bytes(network.plan) if network.limit.may_move else 0
        refuse_beyond(network.limit.megabytes, needed, network.limit.memories, network.plan.path)
        self.reset()
        self._entrance.take_frames(build_intake(chosen, channels, (height, width)), frame_px)
        self._motion = None
        self._preprocess = chosen

    def set_gates(self, gate: float | Mapping[str, float]) -> None:
        """Other gates from now on, given as to `load`, for this camera alone and without reading the file again. Forgets the Memory."""
        check_gates(gate)
        plan = self.plan
        gates = gates_by_step(dict(gate) if isinstance(gate, Mapping) else {"*": gate}, plan.steps, plan.path)
        self.reset()
        self._memory.plan = replace(plan, gates=gates)
        self._network = replace(self._network, plan=self._memory.plan)
        self._bind()
        if self._network.foreign is not None:
            self._foreign = Foreign(self._network.foreign, self._steps, self._entrance.plane)

    def first(self, x: NDArray[Any]) -> Outputs:
        """Run the whole network. `x`: float32 (1, C, H, W), or a uint8 frame (H, W[, C]) once preprocess is set."""
        if not self._memory.is_filled:
            self._follow()
        self._entrance.take_all(x, self._memory.begin)
        self._shift_px = (0, 0)
        if self._foreign is None:
            return self._run_all()
        if self._foreign.takes_whole():
            return self._run_foreign(self._foreign)
        outputs = self._run_all()
        self._foreign.watch_whole(self._results)
        return outputs

    def _run_all(self) -> Outputs:
        """All steps on the input in use."""
        for step in self._steps:
            if not isinstance(step, Island):
                open_gate(step.gate)
        self._advance(True)
        for step in self._steps:
            if not isinstance(step, Island):
                learn_gate(step.gate, self.plan.gates[step.step.name], step.target)
        self._mode, self._has_moved = "full", False
        if self._foreign is not None:
            self._foreign.leave()
            self._foreign.learn()
        return self._ended()

    def _advance(self, everything: bool) -> None:
        """All stages."""
        self._memory.begin()
        for stage in self._stages:
            stage(everything)

    def next(self, x: NDArray[Any], live: Mask) -> Outputs:
        """Take `x` where `live` (bool (H, W), of the tensor or the frame) and recompute what that reaches."""
        if not self._memory.is_filled:
            raise InputError("next() before first(): the Memory is empty; call first(x) with the whole picture")
        if self._shift_px != (0, 0):
            return self._next_moved(x, live, self._known_motion().moves(self._shift_px))
        taken = self._entrance.take(x, live, self._memory.begin)
        self._has_moved = False
        if self._foreign is not None and self._foreign.is_on:
            return self._next_foreign(self._foreign, taken)
        began = time.perf_counter()
        self._advance(False)
        spent_s = time.perf_counter() - began
        self._mode = "cached" if taken == 0 else "full" if taken == self._entrance.plane.size_px else "partial"
        if self._foreign is not None:
            self._foreign.watch(taken, spent_s, self._results)
        return self._ended()

    def _next_moved(self, x: NDArray[Any], live: Mask, moves: Moves) -> Outputs:
        """What has been computed moves along; what newly enters, and what sees the picture's ends, is run whatever is live."""
        taken = self._entrance.take(x, live, partial(self._move, moves), moves.entrance)
        try:
            set_ends(self._steps, moves)
            self._advance(False)
        finally:
            set_ends(self._steps, None)
        self._mode = "full" if taken == self._entrance.plane.size_px else "partial"
        return self._ended()

    def _move(self, moves: Moves) -> None:
        self._memory.begin()
        self._shift_px, self._has_moved = (0, 0), True
        self._mover(moves.shifts)
        self._follow()

    def _follow(self) -> None:
        """Look for the pictures where they are; a move that was interrupted may have left them elsewhere."""
        if self._memory.buffers:
            self._memory.follow()
            self._entrance.follow()

    def shift(self, down_px: int, right_px: int) -> None:
        """Say that the scene has moved so far down and right in the picture; what was computed moves along in the next `next`.

        Counted in the picture's pixels, in multiples of `shift_step_px`; calls before a `next` add up, a `first` forgets them. Raises
        InputError where the network was not loaded with `may_move`, or the shift is no such multiple.
        """
        steps = self.shift_step_px
        for name, pixels, step in zip(("down_px", "right_px"), (down_px, right_px), steps, strict=True):
            if not isinstance(pixels, int | np.integer) or pixels % step:
                raise InputError(f"{name} is {pixels!r}; this network moves in whole steps of {step} px; keep the rest for the next shift")
        self._shift_px = self._shift_px[0] + int(down_px), self._shift_px[1] + int(right_px)

    @property
    def shift_step_px(self) -> tuple[int, int]:
        """The steps (down, right) in which this network moves, in pixels of the pictures it is given: its strides."""
        return self._known_motion().step_px

    @property
    def sight_px(self) -> int | None:
        """How far about a place of the pictures that it is now given an answer there sees; None: nobody knows, or gates keep old values."""
        entrance = self._entrance
        if any(self.plan.gates.values()):
            return None
        return horizon_px(self._network.plan, entrance.intake, entrance.picture_px)

    def _known_motion(self) -> Motion:
        """How this network moves with the pictures that it is now given."""
        if not self._memory.buffers:
            raise InputError("this network was loaded without may_move; its Memory cannot follow a shift; load it with may_move=True")
        if self._motion is None:
            network, entrance = self._network, self._entrance
            self._motion = Motion(network.plan, network.layout, entrance.intake, entrance.picture_px)
        return self._motion

    def _next_foreign(self, foreign: Foreign, taken: int) -> Outputs:
        """OpenVINO's answer while the scene is busy. Memory but for the input is stale; when the scene calms down all steps run once."""
        if foreign.is_over():
            return self._run_all()
        if taken or not foreign.outputs:
            return self._run_foreign(foreign)
        self._mode = "cached"
        return self._ended()

    def _run_foreign(self, foreign: Foreign) -> Outputs:
        self._mode, self._has_moved = "foreign", False
        self._memory.begin()
        foreign.run()
        return self._ended()

    def reset(self) -> None:
        """Forget the scene: the next call must be `first`."""
        self._memory.clear()
        for step in self._steps:
            if isinstance(step, BoundAttention):
                step.state.reset()
        self._shift_px, self._has_moved = (0, 0), False
        if self._foreign is not None:
            self._foreign.leave()
        self._mode = "cached"

    def wait(self) -> None:
        """Until OpenVINO's model of the whole network is compiled, where it was found to be wanted: for who measures."""
        if self._network.foreign is not None:
            self._network.foreign.wait()

    def verify(self, window: Window = (0.0, 0.0, 1.0, 1.0), call: Call | None = None) -> dict[str, int]:
        """Recompute a patch, (x1, y1, x2, y2) as shares of the picture, of every step: how many pixels moved, by step; {} if sound.

        With the last `call`: whether Memory was filled by it, holds what it was given, and is what it answered. Steps are not run again in
        foreign mode. Raises InputError for a window that is not in the picture.
        """
        check_window(window)
        if not self._memory.is_filled:
            return {} if call is None else {EMPTY: self._entrance.plane.size_px}
        moved = {} if call is None else {ENTRANCE: self._entrance.verify(call, window)}
        if not self._is_foreign:
            moved |= {step.step.name: step.verify(window) for step in self._steps if not isinstance(step, Island)}
        if call is not None:
            moved[ANSWER] = strayed(call.outputs, self._results(), window)
        return {name: pixels for name, pixels in moved.items() if pixels}

    @property
    def _is_foreign(self) -> bool:
        return self._foreign is not None and self._foreign.is_on

    def peek(self, tensor: str, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> NDArray[np.float32]:
        """A copy of what Memory holds of the plan's tensor at these pixels, (pixel, channel): for whoever watches, not for who computes."""
        plane = self._memory.planes[tensor]
        return decode(plane.values[rows, columns], plane.store)

    def used(self) -> NDArray[np.float32]:
        """A copy of the input in use, (1, C, H, W): what `first` would have to be given to get this Memory."""
        plane = self._entrance.plane
        return np.ascontiguousarray(decode(plane.values, plane.store).transpose(2, 0, 1)[None])

    @property
    def changed(self) -> dict[str, Box | None]:
        """By output: the box of its pixels that really changed in the last call (all of it for a loose array), or None."""
        return {name: self._changed(name) for name in self.plan.outputs}

    def _changed(self, name: str) -> Box | None:
        ref = self.plan.outputs[name]
        shape = self._network.graph.shapes[self._network.graph.outputs[name]]
        if (
            self._has_moved
            or self._mode in ("full", "foreign")
            or (isinstance(ref, str) and not self._is_foreign and ref in self._memory.fresh)
        ):
            return 0, 0, shape[-1] if len(shape) > 1 else 1, shape[-2] if len(shape) > 1 else 1
        if self._is_foreign or isinstance(ref, str):
            return None
        boxes = [_live_box(plane.extent) for plane in self._tensors[name].leaves if plane.live_px]
        if not boxes:
            return None
        if self._network.graph.outputs[name] in self.plan.arrangements:
            return 0, 0, shape[-1] if shape else 1, shape[-2] if len(shape) > 1 else 1
        left, top, right, bottom = zip(*boxes, strict=True)
        return min(left), min(top), max(right), max(bottom)

    @property
    def costs(self) -> Costs:
        """What the last call cost, step by step."""
        steps = [self._cost(step) for step in self._steps] if not self._is_foreign else [self._foreign_cost()]
        taken = self._entrance.plane.live_px / self._entrance.plane.size_px if self._mode != "full" else 1.0
        note = "" if self._network.foreign is None else self._network.foreign.failure
        return Costs(taken, sum(step.macs for step in steps), self._dense_macs, self._mode, steps, note)

    def _cost(self, step: AnyBound) -> StepCost:
        if isinstance(step, BoundStep):
            return step.cost()
        how, macs = ("island", 0) if isinstance(step, Island) else ("selective", step.macs)
        return StepCost(step.step.name, how, step.live_fraction, macs, step.seconds)

    def _foreign_cost(self) -> StepCost:
        did_run = self._mode == "foreign" and self._foreign is not None
        seconds = self._foreign.seconds if self._foreign is not None and did_run else 0.0
        return StepCost("the whole network in OpenVINO", "foreign", float(did_run), self._dense_macs * did_run, seconds)

    def _ended(self) -> Outputs:
        """The results of a call that has run to its end. What is copied of them is among what a call writes."""
        results = self._results()
        self._memory.is_filled = True
        return results

    def _results(self) -> Outputs:
        if self._foreign is not None and self._foreign.is_on and self._foreign.outputs:
            return {name: _read_only(array) for name, array in self._foreign.outputs.items()}
        return {name: self._result(name, ref) for name, ref in self.plan.outputs.items()}

    def _result(self, name: str, ref: Ref | str) -> NDArray[np.float32]:
        """Read-only, valid until the next call: a view where the file's order of the numbers allows it."""
        if isinstance(ref, str):
            array = self._memory.loose[ref] if ref in self._memory.loose else self._network.graph.constants[ref]
            return _read_only(array.astype(np.float32, copy=False))
        tensor = self._tensors[name]
        return _read_only(tensor.array(tensor.is_live or self._has_moved or self._mode == "full"))


def _read_only(array: NDArray[np.float32]) -> NDArray[np.float32]:
    view = array.view()
    view.flags.writeable = False
    return view


def _live_box(extent: NDArray[np.int32]) -> Box:
    rows = np.flatnonzero(extent[:, 0] <= extent[:, 1])
    return int(extent[rows, 0].min()), int(rows[0]), int(extent[rows, 1].max()) + 1, int(rows[-1]) + 1
