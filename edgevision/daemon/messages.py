"""An inspection's messages: its events, and its result where one is due. In: Inspection. Out: Drafts for the outbox. Keeps nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from edgevision import __version__
from edgevision.config import Config
from edgevision.daemon.clock import is_clock_synced
from edgevision.identifiers import uuid7
from edgevision.publish.payload import Identity, event_body, notice_body, result_body, rfc3339
from edgevision.publish.topics import Topics
from edgevision.records import Draft, Event, Inspection, Notice, Verdict

RANKS = MappingProxyType({Verdict.OK: "ok", Verdict.WARN: "warn", Verdict.NG: "ng", Verdict.NOT_INSPECTED: "warn"})

OF_A_FRAME = frozenset({"frame", "change", "timing_ms", "image"})


def speaker(config: Config, boot_id: str, camera: str | None = None) -> Identity:
    """Who speaks in a message: the node, and of a camera its station, recipe and product; the model is known to its worker."""
    identity = Identity(config.node.id, boot_id, __version__, config.sha256)
    if camera is None:
        return identity
    settings = config.cameras[camera]
    return replace(identity, station=settings.station or None, recipe_id=settings.recipe_id or None, product_id=settings.product_id or None)


@dataclass(frozen=True)
class Composer:
    """Makes one camera's drafts. `has_results`: also a result for frames that no trigger asked for. `is_synced` is asked for each.

    `candidate` is who speaks where that gave the verdict, see `records.Inspection.judged_by`.
    """

    topics: Topics
    identity: Identity
    has_results: bool = False
    clock: Callable[[], float] = time.time
    is_synced: Callable[[], bool | None] = is_clock_synced
    candidate: Identity | None = None

    def compose(self, inspection: Inspection, is_recorded: bool = False) -> tuple[Draft, ...]:
        """The inspection's events, then its result: a triggered part always gets one; and what a person should know.

        `is_recorded`: its time is a recording's own, and the frame has no age.
        """
        now_s = self.clock()
        drafts = [self._event(event, inspection, now_s) for event in inspection.events]
        if self.has_results or inspection.part_id is not None:
            body = result_body(inspection, self._speaker(inspection), uuid7(now_s), now_s)
            drafts.append(
                Draft(body["event_id"], inspection.camera, self.topics.result(inspection.camera), body, RANKS[inspection.verdict])
            )
        if is_recorded:
            drafts = [replace(draft, body=_ageless(draft.body)) for draft in drafts]
        return (*drafts, *(self._notice(notice, inspection, now_s) for notice in inspection.notices))

    def compose_end(self, events: tuple[Event, ...], camera: str) -> tuple[Draft, ...]:
        """The drafts of events that no frame caused."""
        return tuple(self._event(event, None, self.clock(), camera) for event in events)

    def compose_forgotten(self, bodies: Iterable[Mapping[str, Any]]) -> tuple[Draft, ...]:
        """The ends of defects of which only their last message is known: the service was killed before it could remember them."""
        return tuple(self._end_of(body, self.clock()) for body in bodies)

    def _end_of(self, body: Mapping[str, Any], now_s: float) -> Draft:
        event_id = uuid7(now_s)
        ended = {name: value for name, value in body.items() if name not in OF_A_FRAME}
        ended |= {"type": "end", "event_id": event_id, "reason": "restart", "ts_result": rfc3339(now_s), "historical": False}
        ended["clock_synced"] = self.is_synced()
        return Draft(event_id, body["camera"], self.topics.event(body["camera"]), ended, RANKS[Verdict(body["verdict"])])

    def _event(self, event: Event, inspection: Inspection | None, now_s: float, camera: str = "") -> Draft:
        camera = inspection.camera if inspection else camera
        body = event_body(event, inspection, self._speaker(inspection), camera, now_s)
        return Draft(event.event_id, camera, self.topics.event(camera), body, RANKS[event.verdict])

    def _notice(self, notice: Notice, inspection: Inspection, now_s: float) -> Draft:
        body = notice_body(notice, inspection, self._speaker(), uuid7(now_s), now_s)
        return Draft(body["event_id"], inspection.camera, self.topics.event(inspection.camera), body, "warn")

    def _speaker(self, inspection: Inspection | None = None) -> Identity:
        is_candidate = inspection is not None and inspection.judged_by == "candidate" and self.candidate is not None
        return replace(self.candidate if is_candidate and self.candidate else self.identity, clock_synced=self.is_synced())


def _ageless(body: Mapping[str, Any]) -> dict[str, Any]:
    return {**body, "frame": {**body["frame"], "age_ms": None}} if "frame" in body else dict(body)
