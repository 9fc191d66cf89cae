"""A candidate beside the active pipeline: it looks on, then judges a share of the parts, then all; and goes back by itself where it fails.

In: frames and the active pipeline's finding of each. Out: the finding that is told. The active one looks at every frame, whoever judges, so
that the way back costs nothing and no part waits for a candidate longer than `patience_ms`. Kept: the frame that the candidate looks on at,
the last comparisons, and the book on disk.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from edgevision.candidate import CandidateSettings
from edgevision.daemon.rollout_book import AGREE, FAILED, LATE, RolloutBook
from edgevision.daemon.understudy import Outcome, Understudy
from edgevision.errors import Unavailable
from edgevision.publish.payload import rfc3339
from edgevision.records import Frame, Inspection, Notice, Scene

log = logging.getLogger("edgevision")

WRITE_S = 1.0
ABOUT = "candidate"
HANG_S = 60.0


@dataclass(frozen=True, slots=True)
class Page:
    """Whose candidate it is: `candidate` names it over restarts, `boot_id` this run of the service. `trouble`: why it must not run at all.

    `compared` is told of each comparison.
    """

    camera: str
    candidate: str
    boot_id: str
    trouble: str | None = None
    compared: Callable[[str], None] = lambda result: None


class Rollout:
    """One camera's. For the worker's main thread: `begin` a frame, then `choose` with what the active pipeline found."""

    def __init__(self, settings: CandidateSettings, understudy: Understudy, book: RolloutBook, page: Page) -> None:
        self.settings = settings
        self.understudy = understudy
        self.book = book
        self.page = page
        self._marks: deque[str] = deque(maxlen=settings.window)
        self._frames = 0
        self._mine: int | None = None  # the frame that the candidate is to judge
        self._watched: tuple[Frame, Inspection] | None = None  # the one that it looks on at
        self._offered: Frame | None = None
        self._notices: list[Notice] = []
        self._sent_back: str | None = None
        self._written_s = float("-inf")
        self._has_begun = False

    @property
    def is_out(self) -> bool:
        """Whether the candidate was sent back: it neither judges nor looks on."""
        return self.book.state.out is not None

    def begin(self, frame: Frame) -> None:
        """A frame comes in: let the candidate look at it, where it should, while the active pipeline does."""
        self._open()
        self._settle(frame.ts)
        self._mine = self._offered = None
        if self.is_out:
            return
        if not self.understudy.is_ready:
            self.understudy.start(frame.image)
            outcome = self.understudy.take()
            if outcome is not None:
                self.send_back(str(outcome.error))
            return
        self._frames += 1
        if is_chosen(frame, self.settings.share):
            self._mine = frame.seq
        elif self.settings.share > 0 or self._frames % self.settings.every or self._watched is not None:
            return
        if not self.understudy.is_busy:
            copy = replace(frame, image=frame.image.copy())  # the camera writes over it
            self._offered = copy if self.understudy.offer(copy) else None

    def choose(self, frame: Frame, active: Inspection) -> Inspection:
        """The finding that is told of this frame: the candidate's where it judges and is in time, else the active pipeline's."""
        told = active
        if self._mine == frame.seq:
            outcome = None if self._offered is None else self.understudy.take(self.settings.patience_ms / 1e3)
            told = self._judged(frame, active, outcome)
        elif self._offered is not None:
            self._watched = (self._offered, active)
        self._write(is_due=False)
        notices, self._notices = tuple(self._notices), []
        return replace(told, notices=(*active.notices, *notices)) if told is not active or notices else told

    def take_way_back(self) -> str | None:
        """Why all parts should go back to the active pipeline from now on, once."""
        why, self._sent_back = self._sent_back, None
        return why

    def send_back(self, why: str) -> None:
        """The candidate neither judges nor looks on from here on."""
        if self.is_out:
            return
        self.book.state.out = why
        self._sent_back = why
        text = f"the candidate is sent back: {why}; every part is judged by the active network; set candidate_share to try it again"
        self._notices.append(Notice("rollout", ABOUT, text))
        self._write(is_due=True)

    def close(self) -> None:
        """The worker leaves in good order, or works without this candidate."""
        self.understudy.close()
        self.book.state.running = None
        self._write(is_due=True)

    def _judged(self, frame: Frame, active: Inspection, outcome: Outcome | None) -> Inspection:
        """The candidate's finding of a part of its own; the active one's where there is none in time."""
        if outcome is None or outcome.seq != frame.seq:
            self._note(LATE)
            self._weigh()
            return active
        found = self._compare(frame, active, outcome, is_judged=True)
        if found is None or self.is_out:
            return active
        return replace(found, judged_by="candidate")

    def _open(self) -> None:
        """With the first frame that it is there for: the page in the book."""
        if self._has_begun:
            return
        self._has_begun = True
        self.book.begin(self.page.candidate, self.settings.share)
        self.book.state.running = self.page.boot_id
        if self.page.trouble is not None:
            self.send_back(self.page.trouble)
        elif self.is_out:
            log.warning("%s: the candidate stays out: %s", self.page.camera, self.book.state.out)
        self._write(is_due=True)

    def _settle(self, ts: float) -> None:
        """What has come of the frame that the candidate looks on at."""
        if self._watched is None:
            return
        outcome = self.understudy.take()
        if outcome is None:
            if ts - self._watched[0].ts > HANG_S:
                self.send_back(f"it has looked at one frame for more than {HANG_S:g} s")
            return
        (frame, active), self._watched = self._watched, None
        if outcome.seq == frame.seq:
            self._compare(frame, active, outcome, is_judged=False)

    def _compare(self, frame: Frame, active: Inspection, outcome: Outcome, is_judged: bool) -> Inspection | None:
        """Count how both findings go together; the candidate's, None where it failed."""
        found = outcome.inspection
        if found is None:
            log.warning("%s: the candidate failed on frame %d: %s", active.camera, frame.seq, outcome.error)
            self._note(FAILED, is_judged)
            self._weigh(outcome.error)
            return None
        if found.verdict is active.verdict:
            self._note(AGREE, is_judged)
        else:
            self._note(f"{active.verdict.value} to {found.verdict.value}", is_judged, difference(frame, active, found), frame)
        if found.scene is Scene.FALLBACK_DENSE or found.audit == "fault":
            self.send_back("its audits failed")
        self._weigh()
        return found

    def _note(self, result: str, is_judged: bool = False, differs: dict[str, Any] | None = None, frame: Frame | None = None) -> None:
        self._marks.append(result)
        self.page.compared(result)
        self.book.add(result, is_judged, differs, None if frame is None else frame.image)

    def _weigh(self, error: str | None = None) -> None:
        """Send it back where it fails too often; or, where it judges, is of another mind too often."""
        settings, marks = self.settings, self._marks
        broken = sum(mark in (LATE, FAILED) for mark in marks)
        differing = sum(mark not in (AGREE, LATE, FAILED) for mark in marks)
        if broken >= settings.failures:
            last = f", the last: {error}" if error else ""
            self.send_back(f"of the last {len(marks)} parts it failed on or was late for {broken}{last}")
        elif settings.share > 0 and differing > settings.limit * settings.window:
            limit = f"the limit is {settings.limit * settings.window:g} of {settings.window}"
            self.send_back(f"it judged {differing} of the last {len(marks)} parts otherwise, {limit}")

    def _write(self, is_due: bool) -> None:
        now_s = time.monotonic()
        if not is_due and now_s - self._written_s < WRITE_S:
            return
        self._written_s = now_s
        try:
            self.book.write()
        except Unavailable as error:
            log.warning("%s", error)


def is_chosen(frame: Frame, share: float) -> bool:
    """Whether a part is the candidate's: by its id, so that the same part is judged by the same network when it comes again."""
    if frame.part_id is None or share in (0.0, 1.0):
        return share == 1.0
    digest = hashlib.sha256(frame.part_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def difference(frame: Frame, active: Inspection, found: Inspection) -> dict[str, Any]:
    """One part that both judge otherwise, in a few words."""
    return {
        "ts": rfc3339(frame.ts),
        "frame_seq": frame.seq,
        "part_id": frame.part_id,
        "active": active.verdict.value,
        "candidate": found.verdict.value,
        "scores": [round(active.score, 4), round(found.score, 4)],
        "reasons": [active.reason, found.reason],
    }
