"""What a kernel is asked to do, as plain data, and where: the words both backends share.

A *form* is one operation with its weights, independent of any camera. A *Plane* is where one tensor of one camera lives: the values
(row, column, channel) inside a padded array, one live byte a pixel, and the extent of the live bytes in each row.
Every kernel has the same shape: `kernel(runs, begin, end)` recomputes the pixels in `runs[begin:end]`, (row, start, stop) each, in place,
and sets the live byte of those that really changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError

Float = NDArray[np.float32]
Runs = NDArray[np.int32]
Kernel = Callable[[Runs, int, int], None]
NO_LIVE = (1 << 30, -1)
Ends = tuple[int, int, int, int]
NO_ENDS: Ends = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Store:
    """How a tensor's values lie in memory; every kernel reads its sources and writes its target as their stores say.

    `f32`: as they are. `bf16`: the upper half of an f32, rounded to nearest even. `u8`: value = (byte - zero) * scale, and a value becomes
    the byte round(clamp(value * (1 / scale) + zero, 0, 255)), ties to even. Arithmetic between load and store is in f32, but for the sums
    of a convolution: int8 weights on u8 bytes are summed in int32.
    """

    kind: str = "f32"
    scale: float = 1.0
    zero: int = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the array: bf16 is held as uint16."""
        return np.dtype({"f32": np.float32, "bf16": np.uint16, "u8": np.uint8}[self.kind])

    @property
    def inverse(self) -> float:
        """1 / scale, as the f32 that every kernel multiplies by."""
        return float(np.float32(1.0 / self.scale))


F32, BF16 = Store(), Store("bf16")


@dataclass(frozen=True, slots=True)
class Activation:
    """An elementwise function; `alpha` and `beta` are its constants (slope, bounds), unused ones 0. The table is in `activations.py`."""

    kind: str = "none"
    alpha: float = 0.0
    beta: float = 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """Which inputs an output sees: (rows, columns) each. `pad` is what lies before the first row and column."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Convolve:
    """Convolution, then bias, then the residual (a second source) if there is one, then the activation.

    `weights` (output channel, input channel of its group, kernel row, kernel column); order of the sum: row, column, input channel.
    float32 weights read a source held as f32, or as bf16 (then they are bf16 values). int8 weights read a u8 source: the int32 sum of
    weight * (byte - zero) times `factors` (output channel) plus bias, fused and rounded once, is the value.
    """

    window: Window
    weights: Float | NDArray[np.int8]
    bias: Float
    groups: int = 1
    activation: Activation = Activation()
    residual: bool = False
    factors: Float | None = None

    @property
    def is_depthwise(self) -> bool:
        """One output channel for each input channel, each from itself alone."""
        return self.groups > 1 and self.weights.shape[:2] == (self.groups, 1)


@dataclass(frozen=True, slots=True)
class Pool:
    """Maximum or mean over a window clipped to the picture; `count_pad` divides a mean by the window's full area."""

    window: Window
    mode: str
    count_pad: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """Where the outputs along one axis look: at inputs `first` and `second`, mixed by `share` of the second (0 where they are one)."""

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    share: Float


@dataclass(frozen=True, slots=True, eq=False)
class Resize:
    """Nearest or bilinear resize: columns are mixed first, then rows. `is_nearest` reads `first` alone."""

    rows: Axis
    columns: Axis
    is_nearest: bool


@dataclass(frozen=True, slots=True, eq=False)
class Combine:
    """Pixel by pixel: `op` of two sources, or of one and a channel vector `constant` (on the left when `swapped`), or `copy` of one."""

    op: str
    constant: Float | None = None
    swapped: bool = False
    activation: Activation = Activation()


@dataclass(frozen=True, slots=True, eq=False)
class Broadcast:
    """`Combine` where the sides differ in size: each side, a source or `constant` (row, column, channel), has one row, column or channel
    where the other has many. A constant is on the right, or on the left when `swapped`."""

    op: str
    constant: Float | None = None
    swapped: bool = False
    activation: Activation = Activation()


@dataclass(frozen=True, slots=True, eq=False)
class Pick:
    """Values from elsewhere: output (y, x, c) is the source's at row `rows`[y] + `taps`[c, 0], column `columns`[x] + `taps`[c, 1],
    channel `row_channel`[y] + `column_channel`[x] + `taps`[c, 2]; `fill` where rows[y], columns[x] or taps[c, 2] is negative.
    """

    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    taps: NDArray[np.int32]
    row_channel: NDArray[np.int32]
    column_channel: NDArray[np.int32]
    fill: float = 0.0
    activation: Activation = Activation()


@dataclass(frozen=True, slots=True)
class Across:
    """A pixel's channels against each other: softmax, log_softmax, or normalise, (v - mean) / sqrt(variance + epsilon); or one number of
    them: argmax, argmin (the first of equals), max, min, sum, mean."""

    op: str
    epsilon: float = 0.0


@dataclass(frozen=True, slots=True)
class Total:
    """One pixel for each row (`axis` 1) or each column (`axis` 0): sum, max or min of its pixels, one after another, over `divisor`."""

    axis: int
    mode: str
    divisor: float = 1.0
    activation: Activation = Activation()


Form = Convolve | Pool | Resize | Combine | Broadcast | Pick | Across | Total


@dataclass(frozen=True, slots=True, eq=False)
class Intake:
    """How a picture from outside becomes the network's input. Without `table` it is taken as it is.

    `table` (channel, 256) holds the network's value for each 8-bit value, `order` the picture's channel for each of the network's.
    `resize` is None when the sizes are equal; where its axes hold -1 the picture does not reach and `fill` (channel,) stands.
    """

    table: Float | None = None
    order: tuple[int, ...] = ()
    resize: Resize | None = None
    fill: Float | None = None

    def check(self, channels: int) -> None:
        """Raises InputError where frames would not be made into so many channels."""
        if self.table is not None and not len(self.table) == len(self.order) == channels:
            made = f"{len(self.order)} channels by a table of {len(self.table)}"
            raise InputError(f"the intake makes {made}, the network takes {channels}; give an order and a table for each of them")


@dataclass(slots=True, eq=False)
class Plane:
    """One tensor of one camera. `padded` holds `values` from (top, left) on, as `store` says; what lies around is zero and stays zero
    (the byte `store.zero` in u8). Pixels lie a multiple of 4 bytes apart; what fills up the last 4 bytes stays 0, too, where
    `has_filling`, and else may be another tensor's channel.

    `extent` (row, 2): first and last live column of each row, NO_LIVE where there is none. `count[0]` is the number of live bytes.
    """

    padded: NDArray[Any]
    top: int
    left: int
    height: int
    width: int
    live: NDArray[np.uint8]
    extent: NDArray[np.int32]
    count: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    store: Store = F32
    has_filling: bool = False

    @property
    def live_px(self) -> int:
        """How many pixels are live."""
        return int(self.count[0])

    @live_px.setter
    def live_px(self, pixels: int) -> None:
        self.count[0] = pixels

    @property
    def values(self) -> NDArray[Any]:
        """The picture itself (row, column, channel), a view, as `store` says."""
        return self.padded[self.top : self.top + self.height, self.left : self.left + self.width]

    @property
    def size_px(self) -> int:
        """Pixels in the picture."""
        return self.height * self.width


@dataclass(slots=True, eq=False)
class Buffer:
    """The memory of a picture that may move: `pool` is one ring of bytes seen twice, one after the other, so that the padded picture
    (`rows`, `columns`, bytes of a pixel) may begin anywhere in its first half: at byte `origin[0]`.

    `inner` is where the picture itself lies in it, (top, left, height, width); `blank` (bytes of a pixel) what lies around it.
    """

    pool: NDArray[np.uint8]
    rows: int
    columns: int
    inner: tuple[int, int, int, int]
    blank: NDArray[np.uint8]
    origin: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))

    @property
    def padded(self) -> NDArray[np.uint8]:
        """(row, column, byte), a view that is right until the picture moves."""
        return np.ndarray((self.rows, self.columns, len(self.blank)), np.uint8, self.pool, int(self.origin[0]))


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """Which outputs see an input: rows `first_row[y] .. last_row[y]`, columns `first_column[x] .. last_column[x]`, none if first > last.

    `above[v]`, `below[v]` is the same the other way round: output row v sees input rows above[v] .. below[v] - 1.
    """

    first_column: NDArray[np.int32]
    last_column: NDArray[np.int32]
    above: NDArray[np.int32]
    below: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Feed:
    """A plane that a step reads, and how far each of its pixels reaches."""

    plane: Plane
    reach: Reach


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A step of a chain: its kernel over one camera's planes, what it reads, the shortest run that is worth a start, about what a pixel
    costs one thread, its weights' bytes, and whether it has no gate."""

    kernel: Any
    feeds: tuple[Feed, ...]
    target: Plane
    unit: int
    pixel_ns: float
    weight_bytes: int
    is_exact: bool


class Chain(Protocol):
    """Steps of one camera, each after those that it reads. `spent` (link, 3): pixels, runs and time of the last call, in some unit.
    `ends` (link, 4): rows at the top and at the bottom, columns at the left and at the right that are run whatever is live."""

    spent: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __call__(self, everything: bool) -> None:
        """Recompute what the sources' live pixels reach, step by step; all of it if `everything`."""

    def seconds(self, place: int) -> float:
        """What a link took in the last call."""


class Take(Protocol):
    """Writes a picture at the first `count` runs."""

    def __call__(self, picture: NDArray[Any], runs: Runs, count: int, is_new: bool = False) -> None:
        """Pixels that differ from what is there are marked live; where all of it `is_new` nothing is compared, and all are marked."""


class Backend(Protocol):
    """A set of kernels. Both sets give the same bits. `threads` may call one kernel at once, each on its own runs."""

    name: str

    def pack(self, form: Form) -> object:
        """The form's weights in the order the kernel reads them; shared by every camera."""

    def bind(self, form: Form, packed: object, sources: tuple[Plane, ...], target: Plane, gate: Float | None) -> tuple[Kernel, int]:
        """The kernel over one camera's planes, and the shortest run it takes.

        `gate[0]` is read at every call; below 0 everything is stored. None compares bits.
        """

    def bind_intake(self, intake: Intake, target: Plane) -> Take:
        """The kernel that writes a picture from outside, (C, H, W) float32 or (H, W, C) uint8, into the network's first plane."""

    def collector(self, feeds: tuple[Feed, ...], target: Plane, runs: Runs, unit: int) -> Callable[[bool, Ends], tuple[int, int]]:
        """Called before a kernel: forgets the target's live bytes and finds the runs to recompute: (how many, pixels in them).

        True asks for all pixels; the ends (see `Chain`) are among them in any case.
        """

    def marker(self, target: Plane, runs: Runs) -> Callable[[int], int]:
        """Called after a kernel with the number of runs: notes the extents of the live bytes it set, and counts them."""

    def scan(self, mask: NDArray[np.uint8], live: NDArray[np.uint8], extent: NDArray[np.int32]) -> int:
        """Extents and count of a mask from outside; inside the extents it is copied to `live`, which may be the mask itself."""

    def crew(self, threads: int) -> Any:
        """Threads for one network to compute with, the caller's included; for `chain`."""

    def chain(self, links: Sequence[Link], runs: Runs, crew: Any) -> Chain:
        """The steps as one call. `runs` is room for those of one step at a time."""

    def mover(self, buffers: Sequence[Buffer], kernels: Sequence[Any]) -> Callable[[NDArray[np.int64]], None]:
        """Moves the picture in each buffer down and right by (buffer, 2) pixels; all around what stays of it becomes blank.

        Kernels bound to these buffers, all of them given, then work where the pictures are. Plane.padded is the caller's to renew.
        """

    def first_bad(self, picture: NDArray[np.float32], runs: Runs, count: int) -> tuple[int, int]:
        """(row, column) of the first NaN or infinity of a (C, H, W) picture inside the runs, or (-1, -1)."""
