"""Whether a camera may run selectively, as its audits have it. In: outcomes of audits, times. Out: trusted, in doubt, or dense; notices.

A first failure puts the camera in doubt: the next audits come with the next frames instead of in their turn, and those after them sooner
than usual. Enough failures among them, or among the last ones that came in their turn, lose the trust: the camera runs dense for the
cool-down, and is in doubt again after it, so that a fault which is still there is met at once. Keeps the last outcomes.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from pydantic import Field

from edgevision.errors import InputError
from edgevision.recompute.settings import RecomputeSettings
from edgevision.records import Notice, Settings

MEMORY = 4  # times n: so many audits that came in their turn are remembered


class AuditSettings(Settings):
    """When the engine is doubted, and what is done about it."""

    engine_every: int = Field(15, ge=0, description="Frames between two audits of engine and input; 0 for none.")
    engine_every_s: float = Field(1.0, ge=0, description="Seconds after which these are due, however few frames came; 0 for none.")
    map_every: int = Field(300, ge=0, description="Frames between two map audits, each a whole run on the raw frame; 0 for none.")
    map_every_s: float = Field(10.0, ge=0, description="Seconds after which a map audit is due, however few frames came; 0 for none.")
    levels: float = Field(32.0, gt=0, description="So far, at most, no pixel may lie off what was used unless it is live.")
    patch: float = Field(0.1, gt=0, le=1, description="Side of an engine audit's patch, as a share of the picture's.")
    tolerance: float = Field(0.2, gt=0, description="How far an output value may lie from the raw frame's before it disagrees.")
    limit: float = Field(0.01, ge=0, le=1, description="Share of disagreeing output values from which on a map audit has failed.")
    close_margin: float = Field(1.5, ge=0, description="How near its limit a lone defect is a close call, as a logarithm of odds.")
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
            engine_every_s=settings.audit_engine_every_s,
            map_every=settings.audit_every,
            map_every_s=settings.audit_every_s,
            levels=settings.audit_levels,
            tolerance=settings.audit_tolerance,
            limit=settings.audit_limit,
            close_margin=settings.settle.margin,
            k=k,
            n=n,
            cooldown_s=settings.audit_cooldown_s,
        )


class Trust:
    """One camera's. `note` each audit, by whatever name; ask `is_dense` and `is_doubted` before each frame."""

    def __init__(self, settings: AuditSettings = AuditSettings()) -> None:  # noqa: B008
        if settings.k > settings.n:
            raise InputError(f"recompute.audit.k is {settings.k}; it must be at most n, which is {settings.n}")
        self._settings = settings
        self._recent: deque[bool] = deque(maxlen=settings.n)
        self._in_turn: deque[bool] = deque(maxlen=MEMORY * settings.n)
        self._notices: list[Notice] = []
        self.reset()

    def reset(self) -> None:
        """Trust again, as if nothing had been."""
        self._recent.clear()
        self._in_turn.clear()
        self._owed = 0  # audits that are due with the next frames
        self._dense_until = -np.inf

    @property
    def is_doubted(self) -> bool:
        """Whether audits are due at once."""
        return self._owed > 0

    @property
    def is_wary(self) -> bool:
        """Whether one of the last audits that came in their turn has failed: the next ones should not wait as long as usual."""
        return any(self._in_turn)

    def is_dense(self, ts: float) -> bool:
        """Whether the camera runs dense at `ts` (s). A clock that was set back ends it: nobody knows for how long it would be."""
        return self._dense_until - self._settings.cooldown_s <= ts < self._dense_until

    def note(self, trouble: str | None, ts: float) -> bool:
        """Enter one audit's outcome at time `ts` (s), None where it passed. True when this loses the trust: run dense."""
        has_failed = trouble is not None
        was_doubted = self.is_doubted
        self._recent.append(has_failed)
        if not was_doubted:
            self._in_turn.append(has_failed)
        if sum(self._recent) >= self._settings.k or (has_failed and sum(self._in_turn) >= self._settings.k):
            self._lose(str(trouble), ts)
            return True
        if has_failed and not was_doubted:
            self._owed = self._settings.n - 1
            self._tell(f"{trouble}; audits with each frame until it is clear whether this was once")
        elif was_doubted:
            self._owed -= 1
            if self._owed == 0:
                self._tell("audits pass again; the camera runs selectively", is_over=True)
        return False

    def take_notices(self) -> tuple[Notice, ...]:
        """What is to be told since the last call."""
        notices, self._notices = tuple(self._notices), []
        return notices

    def _lose(self, trouble: str, ts: float) -> None:
        self._recent.clear()
        self._in_turn.clear()
        self._dense_until = ts + self._settings.cooldown_s
        self._owed = self._settings.n
        often = f"{self._settings.k} audits failed"
        self._tell(f"{often}, the last: {trouble}; the whole network runs on every frame for {self._settings.cooldown_s:g} s")

    def _tell(self, text: str, is_over: bool = False) -> None:
        self._notices.append(Notice("audit", "audit", text, is_over))
