"""From a transformer's tokens to at most one region: the likeliest of the defects that a head knows by name, if it is asked for.

In: tokens, and where they changed. Out: a region. Kept: the head's measurements of the tokens, and the last answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import ConfigError, EngineFault, InputError
from edgevision.networks.names import NamedHead, NamedState, read_names
from edgevision.records import Box, Candidate, Region
from edgevision.registry import nearest
from edgevision.segment.classes import ClassDecoder
from edgevision.segment.facts import NetworkFacts
from edgevision.segment.settings import ClassSettings, SegmentSettings

SHARES = "shares"


class NamesDecoder:
    """One camera's names. Shares are those of all names that the head knows, whichever are asked for. Raises as `ClassDecoder` does."""

    def __init__(self, settings: SegmentSettings, shape_px: tuple[int, int], facts: NetworkFacts = NetworkFacts()) -> None:  # noqa: B008
        self._head = asked_head(settings, facts.sha256)
        self._output, self._state, self._is_filled = settings.output, NamedState(self._head), False
        self._shares = np.zeros(len(self._head.names), np.float32)
        self._classes = ClassDecoder(as_classes(settings, self._head), shape_px, facts)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The likeliest name that is asked for, as `ClassDecoder` has it."""
        return self._classes.candidates

    @property
    def told(self) -> tuple[Candidate, ...]:
        """What the last answer shows."""
        return self._classes.told

    def decode(self, outputs: Mapping[str, NDArray[Any]], changed: Mapping[str, Box | None]) -> tuple[Region, ...]:
        """One region or none; the same object as before when no token changed.

        Raises InputError for an output that does not fit the head, EngineFault for NaN.
        """
        name = self._output if self._output is not None else next(iter(outputs))
        if name not in outputs:
            raise InputError(f"segment.output is {name!r}; it must be one of {', '.join(outputs)}; name the one to decode")
        tokens, size = outputs[name], (len(self._head.key), *self._head.size)
        if tokens.shape != (1, *size):
            where = "set recompute.turbovit.size_px"
            raise InputError(f"output {name!r} has shape {tokens.shape}; the head was taught on {(1, *size)}; {where}")
        whole = (0, 0, size[2], size[1])
        box = changed.get(name, whole) if self._is_filled else whole
        if box is not None:
            self._shares = self._ask(tokens[0].transpose(1, 2, 0), box)
        return self._classes.decode({SHARES: self._shares[None]}, {SHARES: box})

    def _ask(self, tokens: NDArray[np.float32], box: Box) -> NDArray[np.float32]:
        """(name,) shares after a change of the tokens (row, column, channel) in this box."""
        if not np.isfinite(tokens).all():
            raise EngineFault("segment: the network's tokens hold NaN; reset the network and run it whole")
        live = np.zeros(tokens.shape[:2], np.bool_)
        live[box[1] : box[3], box[0] : box[2]] = True
        shares = self._state.next(tokens, live) if self._is_filled else self._state.first(tokens)
        self._is_filled = True
        return shares

    def reset(self) -> None:
        """Forget the last frame: the next call reads all tokens."""
        self._is_filled = False
        self._classes.reset()


def as_classes(settings: SegmentSettings, head: NamedHead) -> SegmentSettings:
    """The head's shares as a classifier's: what is not asked for counts as normal."""
    others = tuple(name for name in head.names if settings.names.ask and name not in settings.names.ask)
    classes = ClassSettings(box_px=settings.classes.box_px, normal=(*settings.classes.normal, *others))
    return settings.model_copy(update={"output": SHARES, "labels": head.names, "is_logits": False, "classes": classes})


def asked_head(settings: SegmentSettings, network: str) -> NamedHead:
    """The head that the settings name. Raises InputError for a file that is none, or for another network than the one of this sha256;
    ConfigError for a name that it does not know."""
    if settings.names.head is None:
        raise InputError("segment.names.head is missing; name the file that `edgevision train --names` wrote")
    head = read_names(settings.names.head)
    if head.network != network:
        raise InputError(
            f"{settings.names.head}: was taught on the network {head.network[:12]}, this one is {network[:12]}; name that one, or teach a "
            "head on this one"
        )
    for name in settings.names.ask:
        if name not in head.names:
            raise ConfigError(
                f"segment.names.ask: {name!r} is not known to {settings.names.head}; it must be one of {', '.join(head.names)}"
                f"{nearest(name, head.names)}; `edgevision train --names FILE --add {name}` teaches it"
            )
    return head


def check_asked(settings: SegmentSettings, network: Path) -> None:
    """Raises ConfigError for a head that cannot be asked what the settings ask of this network's file."""
    try:
        asked_head(settings, hashlib.sha256(network.read_bytes()).hexdigest())
    except InputError as error:
        raise ConfigError(f"segment.names.head: {error}") from error
