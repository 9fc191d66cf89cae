"""Compressed sensing attention (CSAT, METHODS 1): queries look at m measurements of the keys and values instead of all n of them.

    K~ = Phi K, V~ = Phi V,  Z = softmax(Q K~^T / sqrt(d)) V~          Phi (m, n) acts on tokens; queries are not compressed

Measurements are whole numbers and their sums are exact (see `kernels/plain/compress.py`): a token that changed takes back what it added and
adds what it is now, m x channels multiply-accumulates, and after any number of such updates they are bit for bit those made anew. Nobody
has published that; it is where CSAT pays on video. What deviates: tokens are rounded to 16 bits of `span`.

Recovery (the published one does not type-check; these are its consistent readings): `none`; `denoise`: Z becomes Psi soft(Psi^T Z,
sparsity), Psi the orthonormal cosine basis over a head's channels; `token`: keys and values are recovered, K^ = Phi^+ K~, and all n are
looked at, which is never faster, but shows what compression alone costs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError
from edgevision.kernels import open_attend, open_lack, open_measurements
from edgevision.kernels.blocks import ALL, LIVE, MEND, NONE, Changes, Grid, Kept, Mask, Whole, cut
from edgevision.kernels.forms import NO_LIVE, Float, Plane
from edgevision.kernels.plain.commit import commit
from edgevision.kernels.plain.compress import MOST, weights_of
from edgevision.kernels.plain.runs import forget, scan
from edgevision.networks.attention import AttentionState, Opening, Tokens
from edgevision.networks.attention.mending import WORTH, assign_slots
from edgevision.networks.attention.phi import Phi, block_means
from edgevision.networks.attention.selective import live_blocks

Recovery = Literal["none", "denoise", "token"]
MOST_TOKENS = 65_535  # of a map: whole weights need half a unit of room each
_UNIT = 8  # side of a block of queries
_SEEN = 256  # measurements of a block


@dataclass(frozen=True, slots=True)
class Csat:
    """Keeps the promises of `Attention`. `phi`: left out, block means.

    `span`: the largest key or value that is told apart.
    """

    measurements: int
    phi: Phi | None = None
    recovery: Recovery = "none"
    sparsity: float = 0.0
    span: float = 32.0
    kind: str = "csat"

    def open(self, tokens: Tokens, backend: str = "compiled", crew: Any = 1, has_gate: bool = False) -> AttentionState:
        """A state for one camera."""
        return CsatState(self, tokens.query, tokens.key, (tokens.heads, tokens.head_dim), Opening(backend, crew, has_gate))

    def matrix(self, size: tuple[int, int]) -> Float:
        """Phi (measurement, token) over a map of keys. Raises InputError as `check` does."""
        self.check(size)
        return block_means(self.measurements, size) if self.phi is None else self.phi.fitted(self.measurements, size)

    def check(self, size: tuple[int, int]) -> None:
        """Raises InputError where there are more measurements than tokens in a map of keys, or none: with the limit and the nearest."""
        tokens = size[0] * size[1]
        if not 1 <= self.measurements <= tokens:
            nearest = 1 if self.measurements < 1 else tokens
            raise InputError(f"csat: measurements is {self.measurements}; it must be 1 to {tokens}, the layer's tokens; nearest: {nearest}")
        if tokens > MOST_TOKENS:
            raise InputError(f"csat: {tokens} tokens; it measures at most {MOST_TOKENS}; use a smaller picture or another attention")
        if not 0 < self.span < np.inf:
            raise InputError(f"csat: span is {self.span:g}; it must be above 0, such as 32")


class CsatState:
    """Keeps the promises of `AttentionState`. The `query` map may be of any size: class or text queries look at a picture's tokens, too."""

    def __init__(
        self, method: Csat, query: tuple[int, int], key: tuple[int, int], head: tuple[int, int], opening: Opening | None = None
    ) -> None:
        """`query`, `key`: (rows, columns); `head`: how many, and channels of one. Raises InputError where they do not fit the method."""
        self._method, self._query, self._key, self._head = method, query, key, head
        self._opening = opening or Opening()
        self._lack = open_lack(self._opening.backend)
        self._open(method.matrix(key))

    def _open(self, phi: Float) -> None:
        (heads, dim), opening = self._head, self._opening
        weights, worth = weights_of(phi)
        step = self._method.span / MOST
        self._worth = (worth * np.float32(step)).astype(np.float32)
        self._measured, self._spread = open_measurements(opening.backend, weights, heads * dim, step, opening.crew)
        self._values = [np.zeros((len(phi), heads * dim), np.float32) for _ in range(2)]
        self._by = np.zeros((2, len(phi)), np.float32)
        self._recovery = np.linalg.pinv(phi.astype(np.float64)) if self._method.recovery == "token" else None
        size = self._key if self._recovery is not None else (1, len(phi))
        self._seen = [plane(np.zeros((*size, heads * dim), np.float32)) for _ in range(2)]
        self._grid = Grid(cut(self._query, _UNIT), cut(size, _SEEN if self._recovery is None else _UNIT), heads, dim)
        self._kept = Kept.room(self._grid, self._grid.blocks)
        self._every = np.ones((len(self._grid.query), heads, self._grid.blocks), np.bool_)
        self._kept.fill(self._every)
        self._attend = open_attend(opening.backend, self._grid, self._kept, opening.crew)
        if opening.has_gate and self._recovery is None:
            self._attend.hold_sums(Changes.none(self._grid, 2 * self._grid.blocks, self._grid.blocks))
        self._scratch = plane(np.zeros((*self._query, heads * dim), np.float32)) if self._method.recovery == "denoise" else None
        self._macs, self._lacking = 0, 0
        self._is_filled = False

    @property
    def measurements(self) -> int:
        """How many; fewer cost less and say less."""
        return self._method.measurements

    def set(self, **settings: Any) -> None:
        """Other `measurements`, `sparsity` or `recovery` from now on; the next run must be of everything."""
        method = replace(self._method, **settings)
        phi = method.matrix(self._key)
        self._method = method
        self._open(phi)

    def run(self, query: Plane, key: Plane, value: Plane, target: Plane, everything: bool, gate: Float | None) -> int:
        """See `AttentionState`."""
        if not (everything or self._is_filled):
            raise InputError("attention: run of what changed before a run of everything")
        limit = 0.0 if gate is None else float(gate[0])
        count = self._measure(key, value, everything)
        can_mend = self._take(everything, 0.0 if everything else max(limit, 0.0))
        wanted = self._wanted(query, everything, can_mend)
        self._is_filled = True
        ran, mended = self._run(query, target, wanted, -1.0 if everything else limit)
        return self._count(ran, mended, count)

    def _measure(self, key: Plane, value: Plane, everything: bool) -> int:
        """Bring the sums up to date; how many tokens were measured."""
        tokens = self._key[0] * self._key[1]
        chosen = np.zeros(0, np.int64) if everything else np.flatnonzero(key.live | value.live)
        if everything or 2 * len(chosen) > tokens:
            for measured, source in zip(self._measured, (key, value), strict=True):
                measured.take_all(source)
            return tokens
        for measured, source in zip(self._measured, (key, value), strict=True):
            measured.take(source, chosen)
        return 2 * len(chosen)

    def _take(self, everything: bool, gate: float) -> bool:
        """The sums as floats, where they moved; `_by` says how far. Whether rows can be mended."""
        for measured, values, by in zip(self._measured, self._values, self._by, strict=True):
            self._spread(measured.sums, self._worth, np.float32(-1.0 if everything else gate), values, by, measured.touched)
        if not (everything or self._by.any()):
            return assign_slots(self._attend.changes, np.zeros(self._grid.blocks, np.bool_), everything)
        is_all = everything or self._recovery is not None
        self._show(is_all)
        moved = np.ones(self._grid.blocks, np.bool_) if is_all else self._moved_blocks()
        can_mend = assign_slots(self._attend.changes, moved, everything or gate <= 0)
        self._attend.pack(self._seen[0], self._seen[1], np.flatnonzero(moved).astype(np.int32), is_all)
        return can_mend

    def _show(self, is_all: bool) -> None:
        """The measurements as tokens, those that moved live; or what is recovered from them, all of it."""
        rows = slice(None) if is_all else np.flatnonzero(self._by.any(axis=0))
        for seen, values in zip(self._seen, self._values, strict=True):
            seen.live[...] = is_all or self._by.any(axis=0)
            if self._recovery is None:
                seen.values[0, rows] = values[rows]
            else:
                seen.values[...] = (self._recovery @ values.astype(np.float64)).astype(np.float32).reshape(seen.values.shape)

    def _moved_blocks(self) -> Mask:
        """(block of measurements,): which have one that moved."""
        return np.asarray(np.logical_or.reduceat(self._by.any(axis=0), self._grid.key[:, 2]))

    def _wanted(self, query: Plane, everything: bool, can_mend: bool) -> NDArray[np.uint8]:
        """(block, head): whose queries run. All see measurements that moved; with a gate they are mended, see `selective.py`."""
        shape = self._kept.counts.shape
        if everything or self._by.any():
            self._lacking = 0
            if can_mend and self._attend.changes is not None:
                sizes, same = (self._grid.keys, self._attend.moved), (self._every, self._every)
                self._lacking = int(self._lack.note(self._attend.changes, same, np.ones(shape, np.bool_), sizes)[0, 0])
            return np.full(shape, MEND if can_mend and self._lacking <= WORTH * len(self._values[0]) else ALL, np.uint8)
        asking = live_blocks(query, self._grid.query)
        return np.where(asking[:, None], LIVE, NONE).astype(np.uint8).repeat(shape[1], axis=1)

    def _run(self, query: Plane, target: Plane, wanted: NDArray[np.uint8], gate: float) -> tuple[Whole, Whole]:
        """(block, head): how many queries ran whole, how many were mended."""
        if self._scratch is None:
            return self._attend.run(query, target, wanted, gate)
        ran = self._attend.run(query, self._scratch, wanted, max(gate, 0.0))
        forget(target)
        rows, columns = np.nonzero(self._scratch.live) if gate >= 0 else np.indices(self._query).reshape(2, -1)
        if len(rows):
            found = self._scratch.values[rows, columns].reshape(len(rows), *self._head)
            commit(target, rows, columns, denoised(found, self._method.sparsity).reshape(len(rows), -1), gate)
        target.live_px = scan(target.live, target.live, target.extent)
        return ran

    def _count(self, ran: Whole, mended: Whole, measured: int) -> int:
        (heads, dim), keys = self._head, int(self._grid.keys.sum())
        recovered = 0 if self._recovery is None or not self._by.any() else 2 * self._recovery.size * heads * dim
        seen = int(ran.sum()) * keys + int(mended.sum()) * self._lacking
        self._macs = 2 * seen * dim + 2 * measured * self.measurements * heads * dim + recovered
        return -(-int((ran + mended).sum()) // heads)

    def reset(self) -> None:
        """Forget the scene."""
        self._is_filled = False

    def kept(self) -> Mask:
        """(head, query block, key block): every query looks at every measurement."""
        return np.ones((self._head[0], len(self._grid.query), self._grid.blocks), np.bool_)

    def scores(self) -> Float | None:
        """Nothing is chosen."""
        return None

    @property
    def macs(self) -> int:
        """Of the last run."""
        return self._macs

    @property
    def cache_bytes(self) -> int:
        """What queries read: the measured keys and values."""
        return sum(values.nbytes for values in self._values)

    @property
    def size_bytes(self) -> int:
        """With the tokens' last values, the sums, and the packed copies."""
        held: int = sum(measured.size_bytes for measured in self._measured)
        return held + self.cache_bytes + self._attend.size_bytes

    @property
    def note(self) -> str:
        """Nothing to say."""
        return ""


def denoised(found: Float, sparsity: float) -> Float:
    """(query, head, channel): soft thresholds in the cosine basis of the channels. One order of sums, whatever the number of queries."""
    basis = cosines(found.shape[2])
    inside = np.einsum("qhc,kc->qhk", found, basis)
    soft = np.sign(inside) * np.maximum(np.abs(inside) - np.float32(sparsity), 0)
    return np.asarray(np.einsum("qhk,kc->qhc", soft, basis), np.float32)


def cosines(size: int) -> Float:
    """The orthonormal cosine basis (frequency, place)."""
    place, frequency = np.arange(size) + 0.5, np.arange(size)
    basis = np.cos(np.pi / size * frequency[:, None] * place) * np.sqrt(2 / size)
    basis[0] /= np.sqrt(2)
    return np.asarray(basis, np.float32)


def plane(values: Float) -> Plane:
    """A map of its own."""
    height, width, _ = values.shape
    return Plane(values, 0, 0, height, width, np.zeros((height, width), np.uint8), np.tile(np.array(NO_LIVE, np.int32), (height, 1)))
