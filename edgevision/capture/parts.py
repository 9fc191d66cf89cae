"""Parts that somebody asked to have inspected, from the request to the frame that shows them. Each leaves exactly once.

In: requests (from any thread) and the camera's frames. Out: frames that carry a part, in the order of the requests, and refusals for the
parts that got no frame. Kept: the requests that wait for a frame and the frames that wait for inspection, bounded together. Times are
seconds since the epoch, the clock of `Frame.ts`, passed in.

A request is paired with the first frame captured `delay_s` after it or later, so whoever shows frames must show all of them at once and not
wait for the inspection of one before taking the next. One frame serves one part.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from edgevision.records import Frame


@dataclass(frozen=True, slots=True)
class PartRequest:
    """Somebody wants this part inspected, as it is seen from `ts` on."""

    part_id: str
    ts: float
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """This part gets no inspection: its one verdict is NOT_INSPECTED with this reason."""

    request: PartRequest
    reason: str


class PartQueue:
    """Requests meet frames. Every method may be called from any thread."""

    def __init__(self, max_parts: int, timeout_s: float, delay_s: float = 0.0) -> None:
        self._max_parts = max_parts
        self._timeout_s = timeout_s
        self._delay_s = delay_s
        self._lock = threading.Lock()
        self._waiting: deque[PartRequest] = deque()
        self._paired: deque[Frame] = deque()
        self._refused: list[Refusal] = []
        self.trouble: str | None = None  # with the camera's frames, as whoever shows them sees it; a part that waits in vain is told

    def __len__(self) -> int:
        """How many parts wait, with and without their frame."""
        with self._lock:
            return len(self._waiting) + len(self._paired)

    @property
    def paired(self) -> int:
        """How many frames wait for their inspection."""
        with self._lock:
            return len(self._paired)

    def offer(self, request: PartRequest) -> bool:
        """Take a request. False when the part waits already (a message delivered twice) or when the queue is full (it is then refused)."""
        with self._lock:
            if request.part_id in {waiting.part_id for waiting in self._waiting} | {frame.part_id for frame in self._paired}:
                return False
            if len(self._waiting) + len(self._paired) >= self._max_parts:
                limit = f"{self._max_parts} parts wait already, the limit is max_parts"
                self._refused.append(Refusal(request, f"overload: {limit}; slow the line or give this camera more time"))
                return False
            self._waiting.append(request)
            return True

    def offer_all(self, requests: Iterable[PartRequest]) -> None:
        """Take every request of a trigger."""
        for request in requests:
            self.offer(request)

    def show(self, frame: Frame) -> bool:
        """Show a frame; True when it shows the part that waits longest and is now kept for it."""
        with self._lock:
            self._expire(frame.ts)
            if not self._waiting or frame.ts < self._waiting[0].ts + self._delay_s:
                return False
            request = self._waiting.popleft()
            self._paired.append(replace(frame, part_id=request.part_id, job_id=request.job_id))
            return True

    def restamp(self, ts: float) -> None:
        """Let every waiting request count from `ts`: the clock of the frames has only now become known."""
        with self._lock:
            self._waiting = deque(replace(request, ts=ts) for request in self._waiting)

    def take(self) -> Frame | None:
        """The next frame to inspect for its part, None when there is none."""
        with self._lock:
            return self._paired.popleft() if self._paired else None

    def refusals(self, now_ts: float) -> tuple[Refusal, ...]:
        """The parts that were refused since the last call, those whose frame has not come in time among them."""
        with self._lock:
            self._expire(now_ts)
            refused = tuple(self._refused)
            self._refused.clear()
            return refused

    def refuse_waiting(self, reason: str) -> None:
        """Refuse every part that still waits for a frame: the camera is off, or the program ends."""
        with self._lock:
            self._refused.extend(Refusal(request, reason) for request in self._waiting)
            self._waiting.clear()

    def refuse_all(self, reason: str) -> None:
        """Refuse every part that waits for a frame or for its inspection."""
        self.refuse_waiting(reason)
        with self._lock:
            for frame in self._paired:
                self._refused.append(Refusal(PartRequest(frame.part_id or "", frame.ts, frame.job_id), reason))
            self._paired.clear()

    def _expire(self, now_ts: float) -> None:
        """Refuse what waited too long. The clock may have been set back; then the time of the request means nothing any more."""
        limit_s = self._delay_s + self._timeout_s
        late = [request for request in self._waiting if abs(now_ts - request.ts) > limit_s]
        if late:
            reason = f"no frame within timeout_s={self._timeout_s:g}; {self.trouble or 'see whether the camera is online'}"
            self._refused.extend(Refusal(request, reason) for request in late)
            self._waiting = deque(request for request in self._waiting if request not in late)
