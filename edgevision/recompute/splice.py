"""The second engine: changed places are cropped with their context, run by OpenVINO, and set into the last answer (METHODS 4.2).

    net = SpliceNetwork.load("network.onnx", SpliceSettings())
    out = net.first(x)                 # all of it, by OpenVINO
    out = net.next(x, live)            # crops around the live pixels; close to first() of the input in use, not bit-identical

For networks in which everything depends on everything (global pooling, attention), where the selective engine would have to run it all.
Seams: only pixels with their full context in the crop are written, so that no blending is needed; how much context that is, `splice_plan`
measures at load. What the whole picture says (global pooling) a crop cannot know: crops are handed it from the last whole run. What the
pools read is spliced too and pooled anew, so that the true value is always known; once it has left the one in use by more than the context
gate, the whole network runs. So does it where crops would take longer, by the times measured at load.

Kept a camera: the input in use, the last answer, what the pools read, the context. `crops` is OpenVINO's door, `cover` chooses the crops.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.kernels import open_backend
from edgevision.kernels.forms import Backend, Float
from edgevision.recompute.anatomy import Spread
from edgevision.recompute.arguments import Means, check_load, check_window
from edgevision.recompute.cover import Crop, cover, live_places
from edgevision.recompute.crops import CropNetwork
from edgevision.recompute.graph import Graph, read_graph
from edgevision.recompute.intake import Entrance
from edgevision.recompute.memory import Layout, Memory, refuse_beyond
from edgevision.recompute.plan import Plan, Tensor
from edgevision.recompute.preprocess import Preprocess, build_intake, checked_preprocess
from edgevision.recompute.settings import SpliceSettings
from edgevision.recompute.splice_plan import SplicePlan, measured_plan, pool_movement, span_of
from edgevision.records import Box, Costs, Mask, StepCost

Outputs = dict[str, NDArray[np.float32]]
Size = tuple[int, int]

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


class SpliceNetwork:
    """A network watching one camera by splicing. Not for two threads at once; any number of them may live side by side."""

    def __init__(self, shared: SharedNetwork) -> None:
        self._shared = shared
        entry = shared.entry
        self._memory = Memory.allocate(entry, Layout.of(entry))
        self._plane = self._memory.planes[entry.input]
        self._entrance = Entrance(self._plane, shared.backend, self._memory.runs)
        self._runner = shared.crops.runner()
        self._runner.warm()
        self._outputs: Outputs = {}
        self._maps: Outputs = {}  # what the pools read
        self._context: Outputs = {}
        self._pooled: Outputs = {}  # what the pools gave in the last whole run
        self._spans: dict[str, float] = {}
        self._preprocess: Preprocess | None = None
        self._note("cached", ())

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

    def sibling(self) -> SpliceNetwork:
        """The same network for another camera: compiled models are shared, Memory is its own and empty."""
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
        return {name: spread.shape for name, spread in self._shared.crops.anatomy.outputs.items()}

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
        self._entrance.take_all(x)
        self._run_whole()
        return self._results()

    def next(self, x: NDArray[Any], live: Mask) -> Outputs:
        """Take `x` where `live` (bool (H, W), of the tensor or the frame) and run the crops that this changes, or the whole."""
        if not self._memory.is_filled:
            raise InputError("next() before first(): the Memory is empty; call first(x) with the whole picture")
        if not self._entrance.take(x, live):
            self._note("cached", ())
            return self._results()
        places = live_places(self._plane.live, self.plan.pattern)
        crops, seconds = cover(places, self.plan.pattern)
        if seconds >= self.plan.whole_s:
            self._run_whole()
        else:
            self._run_crops(crops)
            if self._has_context_moved():
                self._run_whole()
        return self._results()

    def reset(self) -> None:
        """Forget the scene: the next call must be `first`."""
        self._memory.clear()
        for kept in (self._outputs, self._maps, self._context, self._pooled):
            kept.clear()
        self._note("cached", ())

    def verify(self, window: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)) -> dict[str, int]:
        """Run the crops of a patch, (x1, y1, x2, y2) as shares of the picture, again. By output, how many values lie further from the
        answer in use than splicing may cause (five tolerances of the output's range; of labels, that share of them); {} if sound."""
        check_window(window)
        if not self._memory.is_filled:
            return {}
        height, width = self.plan.pattern.picture_px
        patch = np.zeros((height, width), np.uint8)
        x1, y1, x2, y2 = (share * side for share, side in zip(window, (width, height, width, height), strict=True))
        patch[int(y1) : max(int(y1) + 1, int(y2)), int(x1) : max(int(x1) + 1, int(x2))] = 1
        pattern = replace(self.plan.pattern, seconds={size: float(size[0] * size[1]) for size in self.plan.pattern.seconds})
        moved, seen = dict.fromkeys(self._outputs, 0), dict.fromkeys(self._outputs, 0)
        slack = _VERIFY_SLACK * self.plan.settings.tolerance
        for crop in cover(live_places(patch, pattern), pattern)[0]:
            found = self._runner.crop(self._plane.values, crop.box, self._context)
            for name, spread in self._shared.crops.anatomy.outputs.items():
                new, old = _inner(found[name], spread, crop), self._outputs[name][(..., *spread.window(crop.core))]
                moved[name] += int(np.count_nonzero(~(np.abs(new - old) <= slack * self._spans[name])))
                seen[name] += old.size
        allowed = {name: _VERIFY_SHARE if self._spans[name] else slack for name in moved}
        return {name: count for name, count in moved.items() if count > allowed[name] * seen[name]}

    def used(self) -> NDArray[np.float32]:
        """A copy of the input in use, (1, C, H, W): what `first` would have to be given for the whole network's answer."""
        return np.ascontiguousarray(self._plane.values.transpose(2, 0, 1)[None])

    @property
    def changed(self) -> dict[str, Box | None]:
        """By output: the box of its pixels that were written in the last call, or None."""
        return {name: self._changed(spread) for name, spread in self._shared.crops.anatomy.outputs.items()}

    def _changed(self, spread: Spread) -> Box | None:
        if self._mode == "full":
            return 0, 0, spread.shape[-1], spread.shape[-2]
        windows = [spread.window(crop.core) for crop in self._done]
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
        """What the last call cost: mode full, splice or cached; a step for each crop."""
        macs = sum(step.macs for step in self._steps)
        live = 1.0 if self._mode == "full" else self._plane.live_px / self._plane.size_px
        return Costs(live, macs, self.plan.macs, self._mode, list(self._steps))

    def _note(self, mode: str, done: tuple[Crop, ...], steps: tuple[StepCost, ...] = ()) -> None:
        self._mode, self._done, self._steps = mode, done, steps

    def _run_whole(self) -> None:
        began = time.perf_counter()
        found = self._runner.whole(self._plane.values)
        anatomy = self._shared.crops.anatomy
        for kept, names in ((self._outputs, anatomy.outputs), (self._maps, anatomy.pools), (self._context, anatomy.context)):
            for name in names:
                kept[name] = _copied(found[name], kept.get(name))
        for name, array in self._runner.pool(self._maps).items():
            self._pooled[name] = _copied(array, self._pooled.get(name))
        self._spans = {name: span_of(found[name]) for name in anatomy.outputs}
        self._memory.is_filled = True
        self._note("full", (), (StepCost("whole", "whole", 1.0, self.plan.macs, time.perf_counter() - began),))

    def _run_crops(self, crops: list[Crop]) -> None:
        anatomy, steps = self._shared.crops.anatomy, []
        for crop in crops:
            began = time.perf_counter()
            found = self._runner.crop(self._plane.values, crop.box, self._context)
            for kept, spreads in ((self._outputs, anatomy.outputs), (self._maps, anatomy.pools)):
                for name, spread in spreads.items():
                    kept[name][(..., *spread.window(crop.core))] = _inner(found[name], spread, crop)
            share = (crop.box[2] - crop.box[0]) * (crop.box[3] - crop.box[1]) / self._plane.size_px
            steps.append(StepCost(f"crop {crop.box}", "crop", share, round(share * self.plan.macs), time.perf_counter() - began))
        self._note("splice", tuple(crops), tuple(steps))

    def _has_context_moved(self) -> bool:
        """Whether a pool's true value has left the one in use by more than the gate, as a share of that pool's range over its channels."""
        pooled = self._runner.pool(self._maps)
        return bool(pooled) and not pool_movement(pooled, self._pooled) <= self.plan.context_gate

    def _results(self) -> Outputs:
        """Read-only views, valid until the next call."""
        views = {name: array.view() for name, array in self._outputs.items()}
        for view in views.values():
            view.flags.writeable = False
        return views


def _copied(array: Float, into: Float | None) -> Float:
    if into is None or into.shape != array.shape:
        return np.array(array, np.float32)
    into[...] = array
    return into


def _inner(found: Float, spread: Spread, crop: Crop) -> Float:
    """The core's part of what a crop gave."""
    box, core = spread.window(crop.box), spread.window(crop.core)
    rows, columns = (slice(one.start - whole.start, one.stop - whole.start) for whole, one in zip(box, core, strict=True))
    return found[..., rows, columns]


def _kept_bytes(crops: CropNetwork, entry: Plan) -> int:
    """What a camera keeps: its input and, as OpenVINO gives it and as it is kept, whatever comes out of a whole run."""
    anatomy = crops.anatomy
    kept = [spread for group in (anatomy.outputs, anatomy.pools, anatomy.context) for spread in group.values()]
    return Layout.of(entry).size_bytes(entry) + 2 * sum(4 * math.prod(spread.shape) for spread in kept)
