"""A defect head that is asked by name: each name looks at a picture's tokens through compressed cross-attention (CSAT, METHODS 1).

In: the last tokens of a network, live where they changed. Out: a share for each name. Keeps the tokens and their measurements, so that a
token that changed costs what it adds to them. The text encoder is small:

    text   t = mean of `letters` over the name's n-grams, each hashed to a row          q = t W_ask + offset,  u = t W_read + offset
    token  n = (x - mean) / deviation over its channels                                 k = n W_key,           v = n W_value
    score  s = z . u + bias,  z what q gets of v through the measurements               shares = softmax over the names

Offsets and bias are a name's own. One that is added later from a few pictures is not taught but *placed*, see `likeness.py`:

    score  s = highest of the taught names + (by how much it is liker than any other - its margin)

so that what the taught ones answer before the softmax stays as it is, and they are outdone where the margin allows it only. By its letters
alone a name that is added says nothing of use: the letters' rows were learnt from a handful of names, not from a language.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError
from edgevision.kernels.forms import Float
from edgevision.kernels.plain.runs import scan
from edgevision.networks.attention import Opening
from edgevision.networks.attention.csat import Csat, CsatState, plane
from edgevision.networks.likeness import Means, Whole, Wide, lead, likeness, likes, margin
from edgevision.networks.turbovit import NORM_EPSILON
from edgevision.records import Mask

SCHEMA = "edgevision.names/2"
GRAMS = (2, 3, 4)
LEAST_PICTURES = 2  # so that one can be left out
MEMORY = ("means", "shown", "parts")
WEIGHTS = ("letters", "ask", "read", "key", "value", "offsets", "liked", "margins")


@dataclass(frozen=True, slots=True, eq=False)
class Remembered:
    """What is kept of the crops that names were learnt from: the mean of their normed tokens `means` (crop, channel), which name each
    showed, `shown`, and which picture it was cut from, `parts`."""

    means: NDArray[np.float16]
    shown: Whole
    parts: Whole


@dataclass(frozen=True, slots=True, eq=False)
class NamedHead:
    """Names and weights: `letters` (bucket, text), `ask`, `read` (text, d), `key`, `value` (channel, d), `offsets` (name, 2 d + 1): of the
    query, of the reading, the bias; `liked` (name, channel + 1) and `margins` (name,) of those placed, NaN of the others. `measurements`
    of a map of `size` tokens of the network with this sha256. Raises InputError where they do not fit each other."""

    names: tuple[str, ...]
    letters: Float
    ask: Float
    read: Float
    key: Float
    value: Float
    offsets: Float
    liked: Float
    margins: Float
    measurements: int
    size: tuple[int, int]
    network: str
    memory: Remembered

    def __post_init__(self) -> None:
        text, dim = self.letters.shape[1], self.ask.shape[1]
        wanted = {
            "ask": (text, dim), "read": (text, dim), "key": (len(self.key), dim), "value": (len(self.key), dim),
            "offsets": (len(self.names), 2 * dim + 1), "liked": (len(self.names), len(self.key) + 1), "margins": (len(self.names),),
        }  # fmt: skip
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise InputError(f"the head's {name} is {getattr(self, name).shape}; its names and letters need {shape}: teach it anew")

    def added(self, name: str) -> NamedHead:
        """The head with one name more, known by its letters alone. Raises InputError for one it has."""
        if name in self.names:
            raise InputError(f"{name}: the head knows this name already; give another, or teach it anew")
        offsets, liked = (np.vstack([part, np.zeros_like(part[:1])]) for part in (self.offsets, self.liked))
        margins = np.append(self.margins, np.float32(np.nan))
        return replace(self, names=(*self.names, name), offsets=offsets, liked=liked, margins=margins)

    def placed(self, name: str, means: Float, parts: Whole) -> NamedHead:
        """The head with one name more, placed among the others by crops: the mean of each one's tokens `means` (crop, channel), normed,
        and its picture `parts` (crop,). All that were placed before are placed anew. Raises InputError for a name it has, or for one
        picture alone."""
        if len(np.unique(parts)) < LEAST_PICTURES:
            raise InputError(f"{name}: {len(np.unique(parts))} picture of it; it takes at least {LEAST_PICTURES}, and ten do well")
        grown, old, new = self.added(name), self.memory, len(self.names)
        memory = Remembered(
            np.concatenate([old.means, means.astype(np.float16)]),
            np.append(old.shown, np.full(len(means), new)),
            np.append(old.parts, parts + 1 + old.parts.max(initial=-1)),
        )
        known = memory.means, memory.shown
        margins = grown.margins.copy()
        for one in (*np.flatnonzero(np.isfinite(self.margins)), new):
            margins[one] = margin(*known, memory.parts, int(one))
        liked = likeness(*known, new + 1).astype(np.float32)
        return replace(grown, memory=memory, margins=margins, liked=liked)

    def scores(self, taught: Wide, means: Means) -> Wide:
        """(..., name) scores, of those that were placed by the means (..., channel) of normed tokens, of the others as in `taught`."""
        is_placed = np.isfinite(self.margins)
        if not is_placed.any():
            return taught
        found, made = likes(self.liked, means), taught.copy()
        top = np.where(is_placed, -np.inf, taught).max(axis=-1)
        for one in np.flatnonzero(is_placed):
            made[..., one] = top + lead(found, int(one)) - self.margins[one]
        return made

    def asked(self) -> tuple[Float, Float, Float]:
        """(name, d) queries, (name, d) readings, (name,) biases."""
        text, dim = np.stack([meaning(self.letters, name) for name in self.names]), self.ask.shape[1]
        return text @ self.ask + self.offsets[:, :dim], text @ self.read + self.offsets[:, dim : 2 * dim], self.offsets[:, -1]


class NamedState:
    """One camera's answers. `first` before `next`, as of any network here."""

    def __init__(self, head: NamedHead, backend: str = "compiled") -> None:
        self._head, dim = head, head.ask.shape[1]
        query, self._readings, self._biases = head.asked()
        self._query = plane(np.ascontiguousarray(query[None], np.float32))  # (1, name, d)
        self._key, self._value = (plane(np.zeros((*head.size, dim), np.float32)) for _ in range(2))
        self._seen = np.zeros((*head.size, len(head.key)), np.float32)
        self._found = plane(np.zeros((1, len(head.names), dim), np.float32))
        self._state = CsatState(Csat(head.measurements), (1, len(head.names)), head.size, (1, dim), Opening(backend))

    def first(self, tokens: Float) -> Float:
        """(name,) shares; `tokens` (row, column, channel)."""
        return self._answer(tokens, np.ones(self._head.size, np.bool_), True)

    def next(self, tokens: Float, live: Mask) -> Float:
        """The same where tokens are `live` (row, column): only those are read."""
        return self._answer(tokens, live, False)

    def _answer(self, tokens: Float, live: Mask, everything: bool) -> Float:
        seen = self._seen[live] = normed(np.asarray(tokens[live], np.float32))
        for part, weights in ((self._key, self._head.key), (self._value, self._head.value)):
            part.values[live] = projected(seen, weights)
            part.live[...] = live
            part.live_px = scan(part.live, part.live, part.extent)
        self._state.run(self._query, self._key, self._value, self._found, everything, None)
        taught = (self._found.values[0].astype(np.float64) * self._readings).sum(axis=1) + self._biases
        scores = self._head.scores(taught, self._seen.mean(axis=(0, 1)))
        powers = np.exp(scores - scores.max())
        return np.asarray(powers / powers.sum(), np.float32)


def meaning(letters: Float, name: str) -> Float:
    """(text,): the mean row of the name's n-grams; case and all but letters and digits count for nothing."""
    return np.asarray(letters[rows_of(name, len(letters))].mean(axis=0), np.float32)


def rows_of(name: str, buckets: int) -> list[int]:
    """The row of each n-gram of a name. Raises InputError for one without a letter."""
    plain = "".join(one if one.isalnum() else " " for one in name.lower())
    words = [f"<{word}>" for word in plain.split()]
    if not words:
        raise InputError(f"{name!r}: a name needs a letter or a digit")
    grams = [word[start : start + size] for word in words for size in GRAMS for start in range(max(len(word) - size + 1, 1))]
    return [zlib.crc32(gram.encode()) % buckets for gram in grams]


def normed(tokens: Float) -> Float:
    """(token, channel): without their mean, by their deviation."""
    wide = tokens.astype(np.float64)
    centred = wide - wide.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + NORM_EPSILON), np.float32)


def projected(tokens: Float, weights: Float) -> Float:
    """(token, d): one order of sums, whatever the number of tokens."""
    return np.asarray(np.einsum("tc,cd->td", tokens.astype(np.float64), weights.astype(np.float64), optimize=False), np.float32)


def write_names(path: Path, head: NamedHead) -> None:
    """Write the file, whole or not at all. Raises InputError for a disk that does not take it."""
    said = {"schema": SCHEMA, "names": head.names, "measurements": head.measurements, "size": head.size, "network": head.network}
    kept = {name: getattr(head.memory, name) for name in MEMORY}
    draft = path.with_suffix(".draft.npz")
    try:
        np.savez(draft, said=np.array(json.dumps(said)), **{name: getattr(head, name) for name in WEIGHTS}, **kept)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InputError(f"{path}: {error.strerror}; name a file in a folder that is there and may be written") from error


def read_names(path: Path) -> NamedHead:
    """The head in a file. Raises InputError, one line, for one that is none."""
    remedy = "give a file that `edgevision train --names` wrote"
    try:
        with np.load(path, allow_pickle=False) as opened:
            said = json.loads(str(opened["said"]))
            is_known = said["schema"] == SCHEMA
            arrays: dict[str, Any] = {name: np.asarray(opened[name], np.float32) for name in WEIGHTS} if is_known else {}
            memory = Remembered(*(np.asarray(opened[name]) for name in MEMORY)) if is_known else None
        if memory is None:
            raise InputError(f"{path}: schema is '{said['schema']}'; this version reads '{SCHEMA}'; {remedy}")
        rows, columns = (int(side) for side in said["size"])
        names, measurements, network = tuple(said["names"]), int(said["measurements"]), str(said["network"])
        return NamedHead(names, **arrays, measurements=measurements, size=(rows, columns), network=network, memory=memory)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; {remedy}") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is no head of names: {error}; {remedy}") from error
