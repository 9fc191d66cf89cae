"""The second engine: changed places are cropped with their context, run by OpenVINO, and set into the last answer (METHODS 4.2).

    net = SpliceNetwork.load("network.onnx", SpliceSettings())
    out = net.first(x)                 # all of it, by OpenVINO
    out = net.next(x, live)            # crops around the live pixels; close to first() of the input in use, not bit-identical

For networks in which everything depends on everything (global pooling, attention), where the selective engine would have to run it all.
Such a network is cut in two where it can be: a *body* that is local, and a *tail* that knows the whole picture. Crops go through the body,
and what they give is kept for the whole picture; the tail then runs whole, or, where that is dear, on crops of what is kept, with the
context that the pools now give. What was not recomputed still shows the context before: a witness (a crop elsewhere) tells when that is no
longer right, and then the tail runs whole. `splice_study` finds at load what is the cheapest; `plan` says it.

Kept a camera: the input in use, what the pieces gave, the context. `crops` is OpenVINO's door, `cover` chooses the crops.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.kernels import open_backend
from edgevision.kernels.forms import Backend, Float
from edgevision.recompute.anatomy import Piece
from edgevision.recompute.arguments import Means, check_load, check_window
from edgevision.recompute.call import ANSWER, EMPTY, ENTRANCE, Call, Window, patch_of, strayed
from edgevision.recompute.cover import Crop, cover, live_places, live_squares
from edgevision.recompute.crops import CropNetwork
from edgevision.recompute.graph import Graph, read_graph
from edgevision.recompute.intake import Entrance
from edgevision.recompute.memory import Layout, Memory, refuse_beyond
from edgevision.recompute.plan import Plan, Tensor
from edgevision.recompute.preprocess import Preprocess, build_intake, checked_preprocess
from edgevision.recompute.seams import inner, insert, insert_moved, span_of
from edgevision.recompute.settings import SpliceSettings
from edgevision.recompute.splice_plan import Part, SplicePlan, pool_movement
from edgevision.recompute.splice_study import measured_plan
from edgevision.recompute.witness import Witness, answer_movement
from edgevision.records import Box, Costs, Mask, StepCost

Outputs = dict[str, NDArray[np.float32]]
Size = tuple[int, int]

_STILL = 1.0  # tolerances that a tensor of the body may move by before the tail is run there
_VERIFY_SLACK = 5.0  # a patch may differ by so many tolerances: two seams, and context within its gate ...
_VERIFY_SHARE = 0.002  # ... and this share of its values by more, as what a crop misses is measured on 99.9 % of values


@dataclass(frozen=True, slots=True, eq=False)
class SharedNetwork:
    """What cameras share: the file's facts, the compiled models, the plan. `entry` is a plan of the input alone, for its Memory."""

    graph: Graph
    crops: CropNetwork
    plan: SplicePlan
    entry: Plan
    backend: Backend
    limit: tuple[float | None, int] = (None, 1)  # megabytes for so many Memories of one camera


@dataclass(slots=True, eq=False)
class Lane:
    """A piece on its way through a camera's frames: how it runs, and the crops that it ran in the last call; `is_whole` if it was all."""

    part: Part
    piece: Piece
    done: list[Crop] = field(default_factory=list)
    is_whole: bool = False


class SpliceNetwork:
    """A network watching one camera by splicing. Not for two threads at once; any number of them may live side by side."""

    def __init__(self, shared: SharedNetwork) -> None:
        self._shared = shared
        entry = shared.entry
        self._memory = Memory.allocate(entry, Layout.of(entry))
        self._plane = self._memory.planes[entry.input]
        self._entrance = Entrance(self._plane, shared.backend, self._memory.runs)
        self._runner = shared.crops.runner()
        self._runner.warm(self._plane.values)
        anatomy = shared.crops.anatomy
        pieces = {piece.name: piece for piece in (anatomy.whole, *anatomy.halves)}
        self._lanes = [Lane(part, pieces[part.name]) for part in shared.plan.parts]
        self._kept: Outputs = {}  # what the pieces gave, and the context as it is, by tensor
        self._settled: Outputs = {}  # the context when the last piece ran whole
        self._spans: dict[str, float] = {}
        self._witness = self._new_witness()
        self._steps: list[StepCost] = []
        self._preprocess: Preprocess | None = None

    @classmethod
    def load(
        cls,
        path: str | Path,
        settings: SpliceSettings = SpliceSettings(),  # noqa: B008
        precision: str = "auto",
        threads: int = 1,
        input_shape: tuple[int, ...] | None = None,
        **means: Unpack[Means],
    ) -> SpliceNetwork:
        """The network in `path`. Compiles it whole and for each size of crop, measures the context needed and what everything costs.

        Raises UnsupportedNetwork when the file cannot be run or spliced, InputError when an argument is wrong; both say what to do.
        """
        if not isinstance(settings, SpliceSettings):
            raise InputError(f"settings is {settings!r}; it must be SpliceSettings, or be left out")
        graph = read_graph(path, check_load(path, precision, threads, input_shape, means))
        if precision == "int8" and not graph.is_quantised:
            raise UnsupportedNetwork(f"{path}: precision is int8, the file is not quantised; use auto, or quantise the file first")
        shape = graph.shapes[graph.input]
        crops = CropNetwork(Path(path), shape, threads, precision)
        entry = Plan(str(path), graph.input, {graph.input: Tensor(graph.input, shape[2], shape[3], shape[1])}, (), {}, {})
        limit = means.get("memory_limit_mb"), means.get("memories", 1)
        refuse_beyond(limit[0], _kept_bytes(crops, entry), limit[1], str(path))
        plan = measured_plan(
            crops, (shape[0], shape[1], shape[2], shape[3]), settings, Preprocess.from_metadata(graph.metadata, graph.path), str(path)
        )
        backend = means.get("backend", "compiled")
        return cls(SharedNetwork(graph, crops, plan, entry, open_backend(backend) if isinstance(backend, str) else backend, limit))

    @property
    def sight_px(self) -> int | None:
        """None: what crops see beside theirs is measured, not known."""
        return None

    def sibling(self, has_foreign: bool = True) -> SpliceNetwork:
        """The same network for another camera: compiled models are shared, Memory is its own and empty. There is no foreign mode here."""
        twin = SpliceNetwork(self._shared)
        if self._preprocess is not None:
            twin.set_preprocess(self._preprocess)
        return twin

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(1, C, H, W)."""
        return self.plan.shape

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of each output by name."""
        anatomy = self._shared.crops.anatomy
        return {name: anatomy.whole.gives[tensor].shape for name, tensor in anatomy.outputs.items()}

    @property
    def plan(self) -> SplicePlan:
        """How crops are cut, and why. Prints itself."""
        return self._shared.plan

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the file says of itself."""
        return MappingProxyType(dict(self._shared.graph.metadata))

    @property
    def sha256(self) -> str:
        """Of the network file."""
        return self._shared.graph.sha256

    @property
    def preprocess(self) -> Preprocess | None:
        """How frames are taken in; None while tensors are."""
        return self._preprocess

    def set_preprocess(self, settings: Preprocess | None = None) -> None:
        """From now on `first` and `next` take 8-bit frames. Left out: as the file's metadata says. Forgets the Memory."""
        chosen = checked_preprocess(settings, self.metadata, self._shared.graph.path)
        _, channels, height, width = self.input_shape
        frame_px, (limit_mb, memories) = chosen.frame_px or (height, width), self._shared.limit
        needed = _kept_bytes(self._shared.crops, self._shared.entry) + frame_px[0] * (frame_px[1] + 8)
        refuse_beyond(limit_mb, needed, memories, self._shared.graph.path)
        self._entrance.take_frames(build_intake(chosen, channels, (height, width)), frame_px)
        self._preprocess = chosen
        self.reset()

    def first(self, x: NDArray[Any]) -> Outputs:
        """Run the whole network. `x`: float32 (1, C, H, W), or a uint8 frame (H, W[, C]) once preprocess is set."""
        self._entrance.take_all(x, self._memory.begin)
        self._begin()
        for lane in self._lanes:
            self._run_whole(lane)
        self._settle()
        self._memory.is_filled = True
        return self._results()

    def next(self, x: NDArray[Any], live: Mask) -> Outputs:
        """Take `x` where `live` (bool (H, W), of the tensor or the frame) and run what this changes: crops, or pieces whole."""
        if not self._memory.is_filled:
            raise InputError("next() before first(): the Memory is empty; call first(x) with the whole picture")
        has_changed = self._entrance.take(x, live, self._memory.begin)
        self._begin()
        if has_changed:
            squares = live_squares(self._plane.live, self.plan.align_px)
            for lane in self._lanes[:-1]:
                squares = self._run_body(lane, squares)
            self._run_last(self._lanes[-1], squares)
        self._memory.is_filled = True
        return self._results()

    def reset(self) -> None:
        """Forget the scene: the next call must be `first`."""
        self._memory.clear()
        for kept in (self._kept, self._settled, self._spans):
            kept.clear()
        self._witness = self._new_witness()
        self._begin()

    def verify(self, window: Window = (0.0, 0.0, 1.0, 1.0), call: Call | None = None) -> dict[str, int]:
        """Run the crops of a patch, (x1, y1, x2, y2) as shares of the picture, again; what always runs whole, whole. By tensor, how many
        values lie further from those in use than splicing may cause (five tolerances of its range; of labels, that share of them); {} if
        sound. With the last `call`: whether what is kept was filled by it, is of what it was given, and is what it answered."""
        check_window(window)
        if not self._memory.is_filled:
            return {} if call is None else {EMPTY: self._plane.size_px}
        given = {} if call is None else self._given(window, call)
        if given:
            return given
        _, _, height, width = self.input_shape
        patch = np.zeros((height, width), np.uint8)
        patch[patch_of(window, (height, width))] = 1
        moved, seen = dict.fromkeys(self._spans, 0), dict.fromkeys(self._spans, 0)
        slack = _VERIFY_SLACK * self.plan.settings.tolerance
        for name, new, old in self._again(live_squares(patch, self.plan.align_px)):
            moved[name] += int(np.count_nonzero(~(np.abs(new - old) <= slack * self._spans[name])))
            seen[name] += old.size
        allowed = {name: _VERIFY_SHARE if self._spans[name] else slack for name in moved}
        public = {tensor: name for name, tensor in self._shared.crops.anatomy.outputs.items()}
        return {public.get(name, name): count for name, count in moved.items() if count > allowed[name] * seen[name]}

    def _given(self, window: Window, call: Call) -> dict[str, int]:
        """What of a call did not come in, or did not go out."""
        taken, said = self._entrance.verify(call, window), strayed(call.outputs, self._results(), window)
        return {name: count for name, count in ((ENTRANCE, taken), (ANSWER, said)) if count}

    def _again(self, squares: NDArray[np.uint8]) -> Iterator[tuple[str, Float, Float]]:
        """(tensor, its values anew, those in use) of every piece there."""
        for lane in self._lanes:
            if lane.part.pattern is None:
                found = self._runner.run(lane.piece, self._plane.values, self._kept)
                yield from ((name, found[name], self._kept[name]) for name in lane.piece.gives)
                continue
            pattern = replace(lane.part.pattern, seconds={size: float(size[0] * size[1]) for size in lane.part.pattern.seconds})
            for crop in cover(live_places(squares, pattern), pattern)[0]:
                found = self._runner.run(lane.piece, self._plane.values, self._kept, crop.box)
                for name, spread in lane.piece.gives.items():
                    yield name, inner(found[name], spread, crop), self._kept[name][(..., *spread.window(crop.core))]

    def used(self) -> NDArray[np.float32]:
        """A copy of the input in use, (1, C, H, W): what `first` would have to be given for the whole network's answer."""
        return np.ascontiguousarray(self._plane.values.transpose(2, 0, 1)[None])

    @property
    def changed(self) -> dict[str, Box | None]:
        """By output: the box of its pixels that were written in the last call, or None."""
        return {name: self._changed(tensor) for name, tensor in self._shared.crops.anatomy.outputs.items()}

    def _changed(self, tensor: str) -> Box | None:
        lane = next(lane for lane in self._lanes if tensor in lane.piece.gives)
        spread = lane.piece.gives[tensor]
        if lane.is_whole:
            return 0, 0, spread.shape[-1], spread.shape[-2]
        windows = [spread.window(crop.core) for crop in lane.done]
        if not windows:
            return None
        return (
            min(columns.start for _, columns in windows),
            min(rows.start for rows, _ in windows),
            max(columns.stop for _, columns in windows),
            max(rows.stop for rows, _ in windows),
        )

    @property
    def costs(self) -> Costs:
        """What the last call cost: mode full (all of it ran whole), splice or cached; a step for each crop and whole run."""
        macs = sum(step.macs for step in self._steps)
        is_full = bool(self._steps) and all(lane.is_whole for lane in self._lanes)
        live = 1.0 if is_full else self._plane.live_px / self._plane.size_px
        return Costs(live, macs, self.plan.macs, "full" if is_full else "splice" if self._steps else "cached", list(self._steps))

    def _new_witness(self) -> Witness | None:
        """None where all context is always right, or there is none."""
        pattern = self.plan.parts[-1].pattern
        return Witness(pattern) if pattern and self._shared.crops.context else None

    def _begin(self) -> None:
        self._steps = []
        for lane in self._lanes:
            lane.done, lane.is_whole = [], False

    def _run_whole(self, lane: Lane) -> None:
        began = time.perf_counter()
        found = self._runner.run(lane.piece, self._plane.values, self._kept)
        for name in lane.piece.gives:
            self._kept[name] = _copied(found[name], self._kept.get(name))
            self._spans[name] = span_of(found[name])
        lane.is_whole, lane.done = True, []
        self._steps.append(StepCost(lane.part.name, "whole", 1.0, lane.part.macs, time.perf_counter() - began))

    def _run_body(self, lane: Lane, squares: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring what the body gives up to date where squares are live. Returns the squares in which it moved enough to be passed on."""
        crops = self._crops_of(lane, squares)
        if crops is None:
            self._run_whole(lane)
            return np.ones_like(squares)
        limits = {name: _STILL * self.plan.settings.tolerance * self._spans[name] for name in lane.piece.gives}
        moved, align = np.zeros_like(squares), self.plan.align_px
        for crop in crops:
            found = self._run_crop(lane, crop)
            here = insert_moved(self._kept, found, lane.piece.gives, crop, limits, align)
            y, x = crop.core[1] // align, crop.core[0] // align
            moved[y : y + here.shape[0], x : x + here.shape[1]] |= here
        lane.done = crops
        return moved

    def _run_last(self, lane: Lane, squares: NDArray[np.uint8]) -> None:
        """The whole, or the tail: what it gives where squares are live, or everywhere when the context has moved too far."""
        crops = self._crops_of(lane, squares)
        if crops is None:
            self._run_whole(lane)
            self._settle()
            return
        if len(self._lanes) > 1:
            self._kept.update(self._runner.context(self._kept))
        for crop in crops:
            insert(self._kept, self._run_crop(lane, crop), lane.piece.gives, crop)
            if self._witness:
                self._witness.note(crop)
        lane.done = crops
        if len(self._lanes) == 1 or self._has_own_pools(lane):
            self._kept.update(self._runner.context(self._kept))
        if self._has_context_moved(lane):
            self._run_whole(lane)
            self._settle()

    def _crops_of(self, lane: Lane, squares: NDArray[np.uint8]) -> list[Crop] | None:
        """The crops that cover the squares; None where all of it costs less."""
        if lane.part.pattern is None:
            return None
        crops, seconds = cover(live_places(squares, lane.part.pattern), lane.part.pattern)
        return None if seconds >= lane.part.whole_s else crops

    def _run_crop(self, lane: Lane, crop: Crop, how: str = "crop") -> Outputs:
        began = time.perf_counter()
        found = self._runner.run(lane.piece, self._plane.values, self._kept, crop.box)
        share = (crop.box[2] - crop.box[0]) * (crop.box[3] - crop.box[1]) / self._plane.size_px
        name = f"{lane.part.name} {how} {crop.box}"
        self._steps.append(StepCost(name, how, share, round(share * lane.part.macs), time.perf_counter() - began))
        return found

    def _has_own_pools(self, lane: Lane) -> bool:
        return any(name in lane.piece.gives for name in self._shared.crops.anatomy.pools)

    def _settle(self) -> None:
        """All that a piece gives is of the context as it is now."""
        self._settled = {name: np.array(array) for name, array in self._runner.context(self._kept).items()}
        self._kept.update(self._settled)
        if self._witness:
            self._witness.reset()

    def _has_context_moved(self, lane: Lane) -> bool:
        """Whether the context has left that of the last whole run too far: by the gate, as a share of a pool's range; where none is set, so
        far that the answer moved by the tolerance, as witnesses tell."""
        pools = {name: self._kept[name] for name in self._shared.crops.pool_names}
        movement = pool_movement(pools, self._settled) if pools else 0.0
        gate = self.plan.settings.context_gate
        if self._witness is None or movement == 0.0:
            return False
        if gate is not None:
            return not movement <= gate
        if not self._witness.is_due(movement):
            return not self._witness.error(movement) <= self.plan.settings.tolerance
        crop = self._witness.place(self._kept, self._settled, lane.piece.wants)
        found = self._run_crop(lane, crop, "witness")
        answers = {name: spread for name, spread in lane.piece.gives.items() if name in self._shared.crops.anatomy.outputs.values()}
        answer = answer_movement(found, self._kept, answers, crop, self._spans)
        return not self._witness.error(movement, answer) <= self.plan.settings.tolerance

    def _results(self) -> Outputs:
        """Read-only views, valid until the next call."""
        views = {name: self._kept[tensor].view() for name, tensor in self._shared.crops.anatomy.outputs.items()}
        for view in views.values():
            view.flags.writeable = False
        return views


def _copied(array: Float, into: Float | None) -> Float:
    if into is None or into.shape != array.shape:
        return np.array(array, np.float32)
    into[...] = array
    return into


def _kept_bytes(crops: CropNetwork, entry: Plan) -> int:
    """What a camera keeps: its input and, as OpenVINO gives it and as it is kept, whatever comes out of whole runs."""
    kept = [spread for piece in crops.anatomy.halves or (crops.anatomy.whole,) for spread in (*piece.gives.values(), *piece.wants.values())]
    return Layout.of(entry).size_bytes(entry) + 2 * sum(4 * math.prod(spread.shape) for spread in kept)
