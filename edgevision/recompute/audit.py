"""Two ways to doubt the engine. Each says how much disagrees; the caller decides, helped by `Trust`.

`EngineAudit`: is every step still what its inputs make it? Random patches of each step are recomputed in place; nothing may move. If no
patch of any step does, Memory is `first(x_used)`, step by step (a spliced answer: within its tolerance). `MapAudit`: is the answer in use
that of the raw frame? Only this finds a change that the change map missed. Keeps: a random generator, a second Memory for the map audit,
the last outcomes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgevision.errors import EngineFault, InputError
from edgevision.recompute.camera_network import CameraNetwork
from edgevision.recompute.settings import RecomputeSettings
from edgevision.records import Settings


class AuditSettings(Settings):
    """When the engine is doubted, and what is done about it."""

    engine_every: int = Field(30, ge=0, description="Frames between two engine audits; 0 for none.")
    map_every: int = Field(300, ge=0, description="Frames between two map audits, each a whole run on the raw frame; 0 for none.")
    patch: float = Field(0.1, gt=0, le=1, description="Side of an engine audit's patch, as a share of the picture's.")
    tolerance: float = Field(0.2, gt=0, description="How far an output value may lie from the raw frame's before it disagrees.")
    limit: float = Field(0.01, ge=0, le=1, description="Share of disagreeing output values from which on a map audit has failed.")
    k: int = Field(2, ge=1, le=100, description="That many failed map audits ...")
    n: int = Field(3, ge=1, le=100, description="... of the last so many let the camera run dense.")
    cooldown_s: float = Field(60.0, ge=0, description="Seconds that it runs dense then.")
    seed: int = Field(0, description="Seed of the random patches.")

    @classmethod
    def of(cls, settings: RecomputeSettings) -> AuditSettings:
        """What a camera's `recompute.audit_*` keys say."""
        k, n = settings.audit_k_of_n
        return cls(
            engine_every=settings.audit_engine_every,
            map_every=settings.audit_every,
            tolerance=settings.audit_tolerance,
            limit=settings.audit_limit,
            k=k,
            n=n,
            cooldown_s=settings.audit_cooldown_s,
        )


class EngineAudit:
    """Recomputes random patches of every step of one camera's Memory."""

    def __init__(self, net: CameraNetwork, settings: AuditSettings = AuditSettings()) -> None:  # noqa: B008
        self._net, self._settings = net, settings
        self._random = np.random.default_rng(settings.seed)
        self._frames = 0

    def next(self) -> bool:
        """Call once a frame, after the network: audits when its turn has come. True if it did. Raises EngineFault: reset and go dense."""
        self._frames += 1
        if not self._settings.engine_every or self._frames % self._settings.engine_every:
            return False
        self.check()
        return True

    def check(self) -> None:
        """Audit one patch of every step now. Raises EngineFault if anything moved."""
        side = self._settings.patch
        top, left = self._random.uniform(0, 1 - side, 2) if side < 1 else (0.0, 0.0)
        moved = self._net.verify((float(left), float(top), min(1.0, float(left) + side), min(1.0, float(top) + side)))
        if moved:
            name, pixels = next(iter(moved.items()))
            raise EngineFault(
                f"engine audit: step '{name}' moved at {pixels} pixels when it was recomputed; reset the Memory and run first()"
            )


class MapAudit:
    """Runs the whole network on the raw frame, in a Memory of its own, and compares."""

    def __init__(self, net: CameraNetwork, settings: AuditSettings = AuditSettings()) -> None:  # noqa: B008
        self._settings = settings
        self._twin = net.sibling()
        self._frames = 0

    def next(self, frame: NDArray[Any], outputs: Mapping[str, NDArray[np.float32]]) -> float | None:
        """Call once a frame: the disagreement when its turn has come, else None."""
        self._frames += 1
        if not self._settings.map_every or self._frames % self._settings.map_every:
            return None
        return self.check(frame, outputs)

    def check(self, frame: NDArray[Any], outputs: Mapping[str, NDArray[np.float32]]) -> float:
        """Share of output values that lie further than the tolerance from what the raw frame gives: the worst output's."""
        raw = self._twin.first(frame)
        shares = [float(np.mean(np.abs(raw[name] - outputs[name]) > self._settings.tolerance)) for name in raw]
        return max(shares)

    def failed(self, disagreement: float) -> bool:
        """Whether that is more than the limit."""
        return disagreement > self._settings.limit


class Trust:
    """Whether a camera may run selectively: not while `k` of the last `n` map audits failed, nor within the cool-down after that."""

    def __init__(self, settings: AuditSettings = AuditSettings()) -> None:  # noqa: B008
        if settings.k > settings.n:
            raise InputError(f"recompute.audit.k is {settings.k}; it must be at most n, which is {settings.n}")
        self._settings = settings
        self._outcomes: deque[bool] = deque(maxlen=settings.n)
        self._dense_until = -np.inf

    def note(self, has_failed: bool, ts: float) -> bool:
        """Enter one audit's outcome at time `ts` (s). True when this loses the trust: say so, and run dense."""
        self._outcomes.append(has_failed)
        if sum(self._outcomes) < self._settings.k:
            return False
        self._outcomes.clear()
        self._dense_until = ts + self._settings.cooldown_s
        return True

    def is_dense(self, ts: float) -> bool:
        """Whether the camera runs dense at `ts`."""
        return ts < self._dense_until

    def reset(self) -> None:
        """Trust again."""
        self._outcomes.clear()
        self._dense_until = -np.inf


class Audits:
    """Both audits of one camera and what follows from them. The engine is checked after it has run, the map by a run of its own."""

    def __init__(self, net: CameraNetwork, settings: AuditSettings) -> None:
        self._engine = EngineAudit(net, settings)
        self._map = MapAudit(net, settings) if settings.map_every else None
        self._trust = Trust(settings)

    def is_dense(self, ts: float) -> bool:
        """Whether the camera must run the whole network at `ts`, because its change map lost the trust."""
        return self._trust.is_dense(ts)

    def check(self, frame: NDArray[Any], outputs: Mapping[str, NDArray[np.float32]], ts: float) -> float | None:
        """Call once a frame, after the network: the disagreement when a map audit was due. Raises EngineFault: reset, run anew."""
        self._engine.next()
        if self._map is None or self.is_dense(ts):
            return None
        disagreement = self._map.next(frame, outputs)
        if disagreement is not None:
            self._trust.note(self._map.failed(disagreement), ts)
        return disagreement
