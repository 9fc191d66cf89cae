"""A defect head that is asked by name: each name looks at a picture's tokens through compressed cross-attention (CSAT, METHODS 1).

In: the last tokens of a network, live where they changed. Out: a share for each name. Keeps the tokens' measurements, so that a token that
changed costs what it adds to them. The text encoder is small:

    text   t = mean of `letters` over the name's n-grams, each hashed to a row          q = t W_ask + offset,  u = t W_read + offset
    token  n = (x - mean) / deviation over its channels                                 k = n W_key,           v = n W_value
    score  s = z . u + bias,  z what q gets of v through the measurements               shares = softmax over the names

Offsets and bias are a name's own: those of one that is added later are learnt from a few pictures, while all else, and so what every other
name answers before the softmax, stays as it is.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgevision.errors import InputError
from edgevision.kernels.forms import Float
from edgevision.kernels.plain.runs import scan
from edgevision.networks.attention import Opening
from edgevision.networks.attention.csat import Csat, CsatState, plane
from edgevision.networks.turbovit import NORM_EPSILON
from edgevision.records import Mask

SCHEMA = "edgevision.names/1"
GRAMS = (2, 3, 4)
WEIGHTS = ("letters", "ask", "read", "key", "value", "offsets")


@dataclass(frozen=True, slots=True, eq=False)
class NamedHead:
    """Names and weights: `letters` (bucket, text), `ask`, `read` (text, d), `key`, `value` (channel, d), `offsets` (name, 2 d + 1): of the
    query, of the reading, the bias. `measurements` of a map of `size` tokens. Raises InputError where they do not fit each other."""

    names: tuple[str, ...]
    letters: Float
    ask: Float
    read: Float
    key: Float
    value: Float
    offsets: Float
    measurements: int
    size: tuple[int, int]

    def __post_init__(self) -> None:
        text, dim = self.letters.shape[1], self.ask.shape[1]
        wanted = {
            "ask": (text, dim), "read": (text, dim), "key": (len(self.key), dim), "value": (len(self.key), dim),
            "offsets": (len(self.names), 2 * dim + 1),
        }  # fmt: skip
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise InputError(f"the head's {name} is {getattr(self, name).shape}; its names and letters need {shape}: teach it anew")

    def added(self, name: str, offset: Float | None = None) -> NamedHead:
        """The head with one name more; without an offset (2 d + 1,) known by its letters alone. Raises InputError for one it has."""
        if name in self.names:
            raise InputError(f"{name}: the head knows this name already; give another, or teach it anew")
        made = np.zeros(self.offsets.shape[1], np.float32) if offset is None else np.asarray(offset, np.float32)
        return replace(self, names=(*self.names, name), offsets=np.vstack([self.offsets, made[None]]))

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
        self._found = plane(np.zeros((1, len(head.names), dim), np.float32))
        self._state = CsatState(Csat(head.measurements), (1, len(head.names)), head.size, (1, dim), Opening(backend))

    def first(self, tokens: Float) -> Float:
        """(name,) shares; `tokens` (row, column, channel)."""
        return self._answer(tokens, np.ones(self._head.size, np.bool_), True)

    def next(self, tokens: Float, live: Mask) -> Float:
        """The same where tokens are `live` (row, column): only those are read."""
        return self._answer(tokens, live, False)

    def _answer(self, tokens: Float, live: Mask, everything: bool) -> Float:
        seen = normed(np.asarray(tokens[live], np.float32))
        for part, weights in ((self._key, self._head.key), (self._value, self._head.value)):
            part.values[live] = projected(seen, weights)
            part.live[...] = live
            part.live_px = scan(part.live, part.live, part.extent)
        self._state.run(self._query, self._key, self._value, self._found, everything, None)
        scores = (self._found.values[0].astype(np.float64) * self._readings).sum(axis=1) + self._biases
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
    said = {"schema": SCHEMA, "names": head.names, "measurements": head.measurements, "size": head.size}
    draft = path.with_suffix(".draft.npz")
    try:
        np.savez(draft, said=np.array(json.dumps(said)), **{name: getattr(head, name) for name in WEIGHTS})
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
            arrays = {name: np.asarray(opened[name], np.float32) for name in WEIGHTS}
        if said["schema"] != SCHEMA:
            raise InputError(f"{path}: schema is '{said['schema']}'; this version reads '{SCHEMA}'; {remedy}")
        return NamedHead(names=tuple(said["names"]), measurements=int(said["measurements"]), size=tuple(said["size"]), **arrays)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; {remedy}") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: is no head of names: {error}; {remedy}") from error
