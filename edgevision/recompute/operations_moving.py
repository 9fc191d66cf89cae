"""What only moves numbers: reshapes, shuffles, depth and space, slices, splits, padding, joining. Most of it is no work at all.

In: a node and the Reader. Out: what it means, entered there. Raises Unfit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import UnsupportedNetwork
from edgevision.kernels.forms import Broadcast, Pick
from edgevision.recompute.arrangement import Arrangement, offsets
from edgevision.recompute.node import Node
from edgevision.recompute.operations import Join, Unfit, View
from edgevision.recompute.reader import Reader, Seen, axis_of

Indices = NDArray[np.int64]
OUTSIDE = -1


def reshape(node: Node, reader: Reader) -> None:
    """Reshape, Squeeze, Unsqueeze: another shape, which the file's reader has worked out."""
    _reshaped(node, reader, reader.any_type(node).arrangement, reader.shapes[node.outputs[0]])


def _reshaped(node: Node, reader: Reader, arrangement: Arrangement, *shapes: Sequence[int]) -> None:
    """Through several shapes; a shape is an order where it begins with None."""
    made: Arrangement | None = arrangement
    for shape in shapes:
        made = made.reshaped(shape) if made is not None else None
    if made is None:
        raise Unfit(f"{node.op} of {list(arrangement.shape)} that cuts across rows")
    reader.same(node, made)


def transpose(node: Node, reader: Reader) -> None:
    """Another order of the dimensions."""
    arrangement = reader.any_type(node).arrangement
    order = reader.numbers(node, 1) or list(range(len(arrangement.dimensions)))[::-1]
    reader.same(node, arrangement.transposed(order))


def shuffle(node: Node, reader: Reader) -> None:
    """ShuffleChannels: (group, rest) to (rest, group)."""
    arrangement = reader.any_type(node).arrangement
    shape = arrangement.shape
    axis, group = axis_of(node, len(shape), int(node.attributes["axis"])), int(node.attributes["group"])
    cut = arrangement.reshaped((*shape[:axis], group, shape[axis] // group, *shape[axis + 1 :]))
    if cut is None:
        raise Unfit(f"{node.op} of {list(shape)}")
    order = [*range(axis), axis + 1, axis, *range(axis + 2, len(shape) + 1)]
    _reshaped(node, reader, cut.transposed(order), shape)


def depth_to_space(node: Node, reader: Reader) -> None:
    """Blocks of channels become blocks of pixels."""
    arrangement, block = reader.any_type(node).arrangement, int(node.attributes["block_size"])
    _, channels, height, width = arrangement.shape
    rest = channels // block**2
    is_first = str(node.attributes["mode"]).lower() == "blocks_first"
    shape = (1, block, block, rest, height, width) if is_first else (1, rest, block, block, height, width)
    _through(node, reader, shape, (0, 3, 4, 1, 5, 2) if is_first else (0, 1, 4, 2, 5, 3))


def space_to_depth(node: Node, reader: Reader) -> None:
    """Blocks of pixels become blocks of channels."""
    arrangement, block = reader.any_type(node).arrangement, int(node.attributes["block_size"])
    _, channels, height, width = arrangement.shape
    is_first = str(node.attributes["mode"]).lower() == "blocks_first"
    shape = (1, channels, height // block, block, width // block, block)
    _through(node, reader, shape, (0, 3, 5, 1, 2, 4) if is_first else (0, 1, 3, 5, 2, 4))


def _through(node: Node, reader: Reader, shape: Sequence[int], order: Sequence[int]) -> None:
    """Cut to a shape, in another order, to the output's shape."""
    arrangement = reader.any_type(node).arrangement
    cut = arrangement.reshaped(shape)
    if cut is None:
        raise Unfit(f"{node.op} of {list(arrangement.shape)}")
    _reshaped(node, reader, cut.transposed(order), reader.shapes[node.outputs[0]])


def same(node: Node, reader: Reader) -> None:
    """Identity, and conversions that change no value."""
    before, after = reader.types[node.inputs[0]], reader.types[node.outputs[0]]
    if after not in ({"f32"} if before == "f32" else {"f32", "f64", "i32", "i64"}):
        raise Unfit(f"{node.op} from {before} to {after}")
    reader.same(node, reader.any_type(node).arrangement)


def take(node: Node, reader: Reader, chosen: Mapping[int, Indices], fill: float = 0.0, place: int = 0) -> None:
    """Output `place` as some places of the input's dimensions, OUTSIDE being `fill`."""
    seen = reader.any_type(node)
    arrangement = seen.arrangement
    tables = {axis: np.arange(arrangement.size(axis)) for axis in "chw"}
    for dimension, indices in chosen.items():
        arrangement = _along(node, arrangement, dimension, indices, tables)
    channels, is_still = tables["c"], all(_is_all(tables[axis], seen.arrangement.size(axis)) for axis in "hw")
    output = reader.result(node, arrangement, place)
    if len(node.outputs) > 1:
        output = replace(output, name=f"{node.name}:{place}")
    if is_still and channels[0] >= 0 and np.all(np.diff(channels) == 1):
        output = replace(output, inputs=(seen.picture, *node.inputs[1:]))
        reader.enter(output, View(seen.picture, ((output.outputs[0], int(channels[0]), len(channels)),)), arrangement.picture)
        return
    nothing = np.zeros(len(channels), np.int64)
    form = Pick(
        rows=tables["h"].astype(np.int32),
        columns=tables["w"].astype(np.int32),
        taps=np.stack([nothing, nothing, channels], axis=1).astype(np.int32),
        row_channel=np.zeros(len(tables["h"]), np.int32),
        column_channel=np.zeros(len(tables["w"]), np.int32),
        fill=fill,
    )
    name = reader.emit(output, form, (seen.picture,), arrangement.picture)
    margins = [_margin(tables[axis], seen.arrangement.size(axis)) for axis in "hw"]
    if fill == 0 and _is_all(channels, seen.arrangement.size("c")) and None not in margins:
        reader.padded[name] = (seen.picture, margins[0] or 0, margins[1] or 0)


def _along(node: Node, arrangement: Arrangement, place: int, indices: Indices, tables: dict[str, Indices]) -> Arrangement:
    """One dimension's share of it: where each place of its axis now comes from."""
    if not len(indices):
        raise Unfit(f"{node.op} that leaves nothing")
    if _is_all(indices, arrangement.shape[place]):
        return arrangement
    if not arrangement.dimensions[place]:
        return _along_one(node, arrangement, place, indices, tables)
    after = arrangement.taken(place, len(indices))
    if after is None:
        raise Unfit(f"{node.op} of {list(arrangement.shape)} along mixed dimensions")
    made, axis = after
    here = offsets(arrangement.dimensions[place], axis).astype(np.int64)
    rest = offsets(tuple(arrangement.rest(place, axis)), axis).astype(np.int64)
    sources = here[np.maximum(indices, 0)][:, None] + rest[None, :]
    sources[indices < 0] = OUTSIDE
    _compose(tables, axis, sources.reshape(-1))
    return made


def _along_one(node: Node, arrangement: Arrangement, place: int, indices: Indices, tables: dict[str, Indices]) -> Arrangement:
    """The same of a dimension with one place, which can only be told by its place in a plain picture."""
    if not arrangement.is_plain or place == 0:
        raise Unfit(f"{node.op} of {list(arrangement.shape)} along dimension {place}")
    axis = " chw"[place]
    _compose(tables, axis, indices)
    return arrangement.with_axis(place, axis, len(indices))


def _compose(tables: dict[str, Indices], axis: str, sources: Indices) -> None:
    tables[axis] = np.where(sources < 0, OUTSIDE, tables[axis][np.maximum(sources, 0)])


def _is_all(indices: Indices, size: int) -> bool:
    return len(indices) == size and bool(np.all(indices == np.arange(size)))


def _margin(indices: Indices, size: int) -> int | None:
    """How many places lie outside before a whole axis; None where it is not all there, in order."""
    inside = np.flatnonzero(indices >= 0)
    is_whole = len(inside) == size and _is_all(indices[inside], size) and inside[-1] - inside[0] == size - 1
    return int(inside[0]) if is_whole else None


def split(node: Node, reader: Reader) -> None:
    """Split, VariadicSplit."""
    shape = reader.any_type(node).arrangement.shape
    axis, start = axis_of(node, len(shape), reader.numbers(node, 1)[0]), 0
    for place, output in enumerate(node.outputs):
        size = reader.shapes[output][axis]
        take(node, reader, {axis: np.arange(start, start + size)}, place=place)
        start += size


def slices(node: Node, reader: Reader) -> None:
    """Slice: start, stop, step along some axes."""
    shape = reader.any_type(node).arrangement.shape
    starts, stops, steps = (reader.numbers(node, place) for place in (1, 2, 3))
    axes = reader.numbers(node, 4) if len(node.inputs) > 4 else list(range(len(starts)))
    chosen = {}
    for axis, start, stop, step in zip(axes, starts, stops, steps, strict=True):
        place = axis_of(node, len(shape), axis)
        chosen[place] = np.arange(shape[place])[slice(start, None if step < 0 and stop < -shape[place] else stop, step)]
    take(node, reader, chosen)


def strided_slice(node: Node, reader: Reader) -> None:
    """StridedSlice: the same with masks, without an ellipsis."""
    shape = reader.any_type(node).arrangement.shape
    begins, ends = reader.numbers(node, 1), reader.numbers(node, 2)
    steps = reader.numbers(node, 3) if len(node.inputs) > 3 else [1] * len(begins)
    masks = {name: [int(bit) for bit in node.attributes.get(f"{name}_mask", [])] for name in ("begin", "end", "new_axis", "ellipsis")}
    if any(masks["new_axis"]) or any(masks["ellipsis"]):
        raise Unfit("StridedSlice with new axes or an ellipsis")
    chosen = {}
    for place, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        first = None if _bit(masks["begin"], place) else begin
        last = None if _bit(masks["end"], place) else end
        chosen[place] = np.arange(shape[place])[slice(first, None if step < 0 and end < -shape[place] else last, step)]
    _take_and_shape(node, reader, chosen)


def _bit(mask: list[int], place: int) -> bool:
    return place < len(mask) and bool(mask[place])


def gather(node: Node, reader: Reader) -> None:
    """Gather by constant indices along one axis."""
    shape, indices = reader.any_type(node).arrangement.shape, reader.constant(node, 1)
    axis = axis_of(node, len(shape), reader.numbers(node, 2)[0])
    if int(node.attributes.get("batch_dims", 0)) != 0:
        raise Unfit("Gather in batches")
    flat = indices.reshape(-1).astype(np.int64)
    beyond = flat[(flat < -shape[axis]) | (flat >= shape[axis])]
    if beyond.size:
        raise UnsupportedNetwork(
            f"{reader.graph.path}: node '{node.name}' (Gather): takes index {beyond[0]} of {shape[axis]}; export it with indices inside"
        )
    _take_and_shape(node, reader, {axis: np.where(flat < 0, flat + shape[axis], flat)})


def _take_and_shape(node: Node, reader: Reader, chosen: Mapping[int, Indices]) -> None:
    """Then bring it to the output's shape: dimensions of one place may have gone."""
    take(node, reader, chosen)
    seen = reader.seen[node.outputs[0]]
    if seen.arrangement.shape != reader.shapes[node.outputs[0]]:
        after = seen.arrangement.reshaped(reader.shapes[node.outputs[0]])
        if after is None:
            raise Unfit(f"{node.op} to {list(reader.shapes[node.outputs[0]])}")
        reader.seen[node.outputs[0]] = Seen(seen.picture, after)


def reverse(node: Node, reader: Reader) -> None:
    """Some axes from end to start."""
    shape = reader.any_type(node).arrangement.shape
    places = [axis_of(node, len(shape), axis) for axis in reader.numbers(node, 1)]
    take(node, reader, {place: np.arange(shape[place])[::-1] for place in places})


def pad(node: Node, reader: Reader) -> None:
    """Pad and crop: by a constant, the edge, or its reflection."""
    shape, mode = reader.any_type(node).arrangement.shape, str(node.attributes["pad_mode"]).lower()
    fill = float(reader.constant(node, 3).reshape(-1)[0]) if len(node.inputs) > 3 else 0.0
    chosen = {}
    for place, (before, after) in enumerate(zip(reader.numbers(node, 1), reader.numbers(node, 2), strict=True)):
        wanted = np.arange(-before, shape[place] + after)
        if np.any(wanted != np.arange(len(wanted))) or len(wanted) != shape[place]:
            chosen[place] = _beyond(wanted, shape[place], mode)
    take(node, reader, chosen, fill)


def _beyond(wanted: Indices, size: int, mode: str) -> Indices:
    """Where numbers beyond the ends come from."""
    if mode == "constant":
        return np.where((wanted < 0) | (wanted >= size), OUTSIDE, wanted)
    if mode == "edge":
        return np.clip(wanted, 0, size - 1)
    turn = 0 if mode == "symmetric" else 1
    folded = np.where(wanted < 0, -wanted - 1 + turn, wanted)
    return np.where(folded >= size, 2 * size - 1 - turn - folded, folded)


def concat(node: Node, reader: Reader) -> None:
    """Channels of several pictures, one after another; constants are pictures, too."""
    pictures = [reader.floats(node, place) for place, tensor in enumerate(node.inputs) if not reader.is_constant(tensor)]
    rank = len(pictures[0].arrangement.dimensions)
    axis = axis_of(node, rank, int(node.attributes["axis"]))
    channels = sum(reader.shapes[tensor][axis] for tensor in node.inputs)
    whole = pictures[0].arrangement.with_axis(axis, "c", channels)
    for seen in pictures:
        alike = seen.arrangement.with_axis(axis, "c", channels)
        if not seen.arrangement.holds(axis, "c") or alike != whole or not whole.is_sound:
            raise Unfit("Concat along another axis than the channels")
    parts = []
    for place, tensor in enumerate(node.inputs):
        parts.append(_still(node, reader, place, pictures[0], axis) if reader.is_constant(tensor) else reader.seen[tensor].picture)
    output = replace(reader.result(node, whole), inputs=tuple(parts))
    reader.enter(output, Join(tuple(parts)), whole.picture)


def _still(node: Node, reader: Reader, place: int, beside: Seen, axis: int) -> str:
    """A constant as a picture: written wherever another one changes, so always the same."""
    values = reader.constant(node, place).astype(np.float32)
    arrangement = beside.arrangement.with_axis(axis, "c", values.shape[axis])
    constant = arrangement.picture_of(values)
    if constant is None:
        raise Unfit(f"Concat with a constant of {list(values.shape)}")
    form = Broadcast("copy", np.ascontiguousarray(constant), swapped=True)
    return reader.emit(reader.part(node, f"constant{place}"), form, (beside.picture,), arrangement.picture)


def tile(node: Node, reader: Reader) -> None:
    """Tile, Broadcast: dimensions of one place repeated, others as often as asked."""
    arrangement, shape = reader.any_type(node).arrangement, reader.shapes[node.outputs[0]]
    padded = arrangement.reshaped((1,) * (len(shape) - len(arrangement.shape)) + arrangement.shape)
    if padded is None or prod(shape[: len(shape) - len(arrangement.shape)]) != 1:
        raise Unfit(f"{node.op} to {list(shape)}")
    if padded != arrangement:
        raise Unfit(f"{node.op} to {len(shape)} dimensions")
    take(node, reader, {place: np.arange(size) % arrangement.shape[place] for place, size in enumerate(shape)})


MOVING: Mapping[str, Callable[[Node, Reader], Any]] = MappingProxyType(
    {
        **dict.fromkeys(("Reshape", "Squeeze", "Unsqueeze"), reshape),
        "Transpose": transpose,
        "ShuffleChannels": shuffle,
        "DepthToSpace": depth_to_space,
        "SpaceToDepth": space_to_depth,
        **dict.fromkeys(("Identity", "Convert", "ConvertLike"), same),
        **dict.fromkeys(("Split", "VariadicSplit"), split),
        "Slice": slices,
        "StridedSlice": strided_slice,
        "Gather": gather,
        "Reverse": reverse,
        "Pad": pad,
        "Concat": concat,
        **dict.fromkeys(("Tile", "Broadcast"), tile),
    }
)
