"""One camera's Memory: a padded array for every tensor of a plan, updated in place. Keeps all that a network knows of a scene."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import UnsupportedNetwork
from edgevision.kernels.forms import NO_LIVE, Buffer, Convolve, Plane, Runs
from edgevision.recompute.plan import Plan, Ref, Step, Tensor
from edgevision.recompute.ring import ring, ring_bytes

_LINE_BYTES = 64
_WORD_BYTES = 4
_EXTENT_BYTES = 8
_RUN_BYTES = 12
_MEGABYTE = 1 << 20
GAP_PX = 4  # still pixels between two runs of a step that are recomputed rather than left out, where the picture is wide enough


@dataclass(frozen=True, slots=True)
class Border:
    """Zeros around a picture (in bytes: what stands for 0), as many as its hungriest reader wants."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def around(self, other: Border) -> Border:
        """The larger on each side."""
        return Border(*(max(a, b) for a, b in zip(self.sides, other.sides, strict=True)))

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """top, left, bottom, right."""
        return self.top, self.left, self.bottom, self.right


@dataclass(frozen=True, slots=True)
class Layout:
    """Where every tensor lives: in which root tensor's buffer, from which channel on, and each root's border. Shared by all cameras."""

    homes: Mapping[str, tuple[str, int]]
    borders: Mapping[str, Border]

    @classmethod
    def of(cls, plan: Plan) -> Layout:
        """The layout of a plan."""
        parents = {part: tensor for tensor in plan.tensors.values() for part in tensor.parts}
        homes = {name: _home(name, parents, plan.tensors) for name in plan.tensors}
        borders = dict.fromkeys((root for root, _ in homes.values()), Border())
        for step in plan.steps:
            if isinstance(step, Step) and isinstance(step.form, Convolve):
                root = homes[step.sources[0].tensor][0]
                borders[root] = borders[root].around(_border(step.form, plan.tensors[root], plan.tensors[step.target]))
        return cls(homes, borders)

    def ring_bytes(self, plan: Plan) -> int:
        """What a Memory takes more when its pictures may move: their buffers end with a page, and are seen twice, held once."""
        sizes = ((_padded_bytes(plan.tensors[root], border), border) for root, border in self.borders.items())
        return sum(ring_bytes(size + 2 * _LINE_BYTES) - size for size, _ in sizes)

    def size_bytes(self, plan: Plan) -> int:
        """What a Memory of this layout takes, but for the loose arrays of islands."""
        return sum(self._tensor_bytes(plan.tensors[name]) for name in plan.tensors) + run_count(plan) * _RUN_BYTES

    def room_bytes(self, plan: Plan, may_move: bool) -> int:
        """What the arrays that lie side by side take, each from a cache line on: live bytes, extents and, unless they may move, values."""
        values = 0 if may_move else sum(_lines(_padded_bytes(plan.tensors[root], border)) for root, border in self.borders.items())
        return values + sum(_lines(each.height * each.width) + _lines(each.height * _EXTENT_BYTES) for each in plan.tensors.values())

    def _tensor_bytes(self, tensor: Tensor) -> int:
        if self.homes[tensor.name][0] != tensor.name:
            return tensor.height * (tensor.width + _EXTENT_BYTES)
        return _padded_bytes(tensor, self.borders[tensor.name]) + tensor.height * (tensor.width + _EXTENT_BYTES)


class Room:
    """One piece of memory for many arrays: the system may then back it by large pages, which small arrays would never get."""

    def __init__(self, size_bytes: int) -> None:
        self._raw = np.zeros(size_bytes + _LINE_BYTES, np.uint8)
        self._used = -self._raw.ctypes.data % _LINE_BYTES

    def take(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Zeros, from a cache line on."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        first, self._used = self._used, self._used + _lines(size)
        part: NDArray[Any] = self._raw[first : first + size].view(dtype).reshape(shape)
        return part


def _lines(size_bytes: int) -> int:
    """In whole cache lines, and one behind: room to read a vector beyond the last value."""
    return (-(-size_bytes // _LINE_BYTES) + 1) * _LINE_BYTES


def _padded_bytes(tensor: Tensor, border: Border) -> int:
    return (tensor.height + border.top + border.bottom) * (tensor.width + border.left + border.right) * pixel_bytes(tensor)


def run_count(plan: Plan) -> int:
    """Runs of any step at worst: they lie GAP_PX apart, but those of the input may be every second pixel, as they take no other in."""
    entrance = plan.tensors[plan.input]
    steps = (tensor.height * ((tensor.width - 1) // (2 * GAP_PX) + 1) for tensor in plan.tensors.values())
    return max(entrance.height * ((entrance.width + 1) // 2), *steps)


def refuse_beyond(limit_mb: float | None, needed_bytes: int, memories: int, path: str) -> None:
    """Raises UnsupportedNetwork when so many Memories of `needed_bytes` each would be more than the limit."""
    if limit_mb is not None and memories * needed_bytes > limit_mb * _MEGABYTE:
        each = f" ({memories} Memories of {_shown(needed_bytes)} MB: one is for audits)" if memories > 1 else ""
        raise UnsupportedNetwork(
            f"{path}: needs {_shown(memories * needed_bytes)} MB a camera{each}, memory_limit_mb is {limit_mb:g}; "
            "raise it or give a smaller input_shape"
        )


def _shown(count: int) -> str:
    """Megabytes, with more digits where there are few."""
    return f"{count / _MEGABYTE:.1f}" if count >= 100 * _MEGABYTE else f"{count / _MEGABYTE:.4g}"


def _home(name: str, parents: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> tuple[str, int]:
    start = 0
    while name in parents:
        parent = parents[name]
        before = parent.parts[: parent.parts.index(name)]
        start += sum(tensors[part].channels for part in before)
        name = parent.name
    return name, start


def _border(form: Convolve, source: Tensor, target: Tensor) -> Border:
    window = form.window
    ends = []
    for axis, (before, after) in enumerate(((source.height, target.height), (source.width, target.width))):
        reach = (after - 1) * window.stride[axis] - window.pad[axis] + (window.kernel[axis] - 1) * window.dilation[axis] + 1
        ends.append(max(0, reach - before))
    return Border(max(0, window.pad[0]), max(0, window.pad[1]), ends[0], ends[1])


@dataclass(slots=True, eq=False)
class Memory:
    """`planes` by tensor; `runs`, room for those of one step at a time; `loose` arrays that islands make for islands or as outputs.

    `fresh` names the loose arrays that changed in the last call. `is_filled` from the end of a `first` on, but for the time in which a call
    writes: what is interrupted leaves a Memory that is in part of another input, and counts as empty. `buffers` by root tensor, where
    pictures may move, else none.
    """

    plan: Plan
    layout: Layout
    planes: dict[str, Plane]
    runs: Runs
    loose: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    is_filled: bool = False
    buffers: dict[str, Buffer] = field(default_factory=dict)

    @classmethod
    def allocate(cls, plan: Plan, layout: Layout, may_move: bool = False) -> Memory:
        """An empty Memory."""
        moving = {root: _ring_buffer(plan.tensors[root], border) for root, border in layout.borders.items()} if may_move else {}
        room = Room(layout.room_bytes(plan, may_move))
        buffers = {
            root: _typed(moving[root], plan.tensors[root]) if may_move else _buffer(plan.tensors[root], border, room)
            for root, border in layout.borders.items()
        }
        planes = {}
        for name, tensor in plan.tensors.items():
            root, start = layout.homes[name]
            planes[name] = _plane(buffers[root][:, :, start : start + tensor.channels], tensor, layout.borders[root], name == root, room)
        return cls(plan, layout, planes, np.zeros((run_count(plan), 3), np.int32), buffers=moving)

    def begin(self) -> None:
        """A call is about to write."""
        self.is_filled = False

    def follow(self) -> None:
        """Let the planes be where their pictures have moved to. What was read from them before is no longer theirs."""
        buffers = {root: _typed(buffer, self.plan.tensors[root]) for root, buffer in self.buffers.items()}
        for name, plane in self.planes.items():
            root, start = self.layout.homes[name]
            plane.padded = buffers[root][:, :, start : start + self.plan.tensors[name].channels]

    def leaves(self, ref: Ref) -> Iterator[Plane]:
        """The planes whose live bytes tell of these channels: the parts that they overlap."""
        tensor = self.plan.tensors[ref.tensor]
        if not tensor.parts:
            yield self.planes[ref.tensor]
            return
        start = 0
        for part in tensor.parts:
            channels = self.plan.tensors[part].channels
            first, last = max(ref.start, start), min(ref.start + ref.channels, start + channels)
            if first < last:
                yield from self.leaves(Ref(part, first - start, last - first))
            start += channels

    def view(self, ref: Ref) -> Plane:
        """A plane over just these channels; its live bytes are the tensor's own."""
        whole = self.planes[ref.tensor]
        padded = whole.padded[:, :, ref.start : ref.start + ref.channels]
        place = whole.top, whole.left, whole.height, whole.width, whole.live, whole.extent, whole.count, whole.store
        return Plane(padded, *place, has_filling=whole.has_filling and padded.shape == whole.padded.shape)

    def clear(self) -> None:
        """Nothing is known any more. The values stay, unread, until the next `first` writes all of them."""
        for plane in self.planes.values():
            plane.live[...] = 0
            plane.extent[...] = NO_LIVE
            plane.live_px = 0
        self.loose.clear()
        self.fresh.clear()
        self.is_filled = False


def pixel_bytes(tensor: Tensor) -> int:
    """From one pixel to the next: kernels read four bytes at a time."""
    return -(-tensor.channels * tensor.store.dtype.itemsize // _WORD_BYTES) * _WORD_BYTES


def _buffer(tensor: Tensor, border: Border, room: Room) -> NDArray[Any]:
    """Zeros for a tensor and its border."""
    dtype, channels = tensor.store.dtype, tensor.channels
    rows, columns = tensor.height + border.top + border.bottom, tensor.width + border.left + border.right
    padded = room.take((rows, columns, pixel_bytes(tensor) // dtype.itemsize), dtype)[:, :, :channels]
    if tensor.store.zero:
        padded[...] = tensor.store.zero
    return padded


def _ring_buffer(tensor: Tensor, border: Border) -> Buffer:
    """The same in a ring."""
    rows, columns = tensor.height + border.top + border.bottom, tensor.width + border.left + border.right
    blank = np.zeros(pixel_bytes(tensor), np.uint8)
    blank.view(tensor.store.dtype)[: tensor.channels] = tensor.store.zero
    place = border.top, border.left, tensor.height, tensor.width
    buffer = Buffer(ring(_padded_bytes(tensor, border) + 2 * _LINE_BYTES), rows, columns, place, blank)
    buffer.padded[...] = blank
    return buffer


def _typed(buffer: Buffer, tensor: Tensor) -> NDArray[Any]:
    """The padded picture in the tensor's own numbers (row, column, channel)."""
    return buffer.padded.view(tensor.store.dtype)[:, :, : tensor.channels]


def _plane(padded: NDArray[Any], tensor: Tensor, border: Border, is_root: bool, room: Room) -> Plane:
    extent = room.take((tensor.height, 2), np.int32)
    extent[...] = NO_LIVE
    live = room.take((tensor.height, tensor.width), np.uint8)
    place = border.top, border.left, tensor.height, tensor.width, live, extent
    return Plane(padded, *place, store=tensor.store, has_filling=is_root)
