"""An inspection's messages: its events, and its result where one is due. In: Inspection. Out: Drafts for the outbox. Keeps nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from edgevision.identifiers import uuid7
from edgevision.publish.payload import Identity, event_body, result_body
from edgevision.publish.topics import Topics
from edgevision.records import Draft, Event, Inspection, Verdict

RANKS = MappingProxyType({Verdict.OK: "ok", Verdict.WARN: "warn", Verdict.NG: "ng", Verdict.NOT_INSPECTED: "warn"})


@dataclass(frozen=True)
class Composer:
    """Makes one camera's drafts. `has_results`: also a result for frames that no trigger asked for."""

    topics: Topics
    identity: Identity
    has_results: bool = False
    clock: Callable[[], float] = time.time

    def compose(self, inspection: Inspection) -> tuple[Draft, ...]:
        """The inspection's events, then its result: a triggered part always gets one."""
        now_s = self.clock()
        drafts = [self._event(event, inspection, now_s) for event in inspection.events]
        if self.has_results or inspection.part_id is not None:
            body = result_body(inspection, self.identity, uuid7(now_s), now_s)
            drafts.append(
                Draft(body["event_id"], inspection.camera, self.topics.result(inspection.camera), body, RANKS[inspection.verdict])
            )
        return tuple(drafts)

    def compose_end(self, events: tuple[Event, ...], camera: str) -> tuple[Draft, ...]:
        """The drafts of events that no frame caused."""
        return tuple(self._event(event, None, self.clock(), camera) for event in events)

    def _event(self, event: Event, inspection: Inspection | None, now_s: float, camera: str = "") -> Draft:
        camera = inspection.camera if inspection else camera
        body = event_body(event, inspection, self.identity, camera, now_s)
        return Draft(event.event_id, camera, self.topics.event(camera), body, RANKS[event.verdict])
