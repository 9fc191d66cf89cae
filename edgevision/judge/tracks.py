"""One physical defect, one chain of events: `new`, `update`, `end`.

In: the defects of each inspected frame and its time. Out: events. Kept: one track for each defect in view, which may move with its part,
flicker, break into pieces and join again. Time is the frames' own: no clock is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from edgevision.errors import InputError
from edgevision.identifiers import uuid7
from edgevision.judge.associate import Expectation, Observation, Point, associate, observe
from edgevision.judge.rules import JudgeSettings, zone_at
from edgevision.judge.track import Track
from edgevision.records import Defect, Event, Phase, Verdict

SNAPSHOT_SCHEMA = 1
REACH_S = 0.3  # over a longer gap between frames nothing is known of the way of a part
REACH_FRAMES = 4  # a part may start to move while its defect is unseen for fewer frames
MOVING_PX_S = 150.0  # from here on the direction of a velocity is known well enough
ASIDE = 0.25  # by how much of the way that it may have sped up a moving defect may be off its line
BROKEN_SHARE = 0.8  # a defect that shows less than this share of its largest area may be in pieces

Ids = Callable[[float], str]


class Tracks:
    """One camera's open defects. `ids` names tracks and events; it is given the frame's time."""

    def __init__(self, settings: JudgeSettings, ids: Ids = uuid7):
        self.settings = settings
        self._ids = ids
        self.reset()

    def reset(self) -> None:
        """Forget everything; nothing is told. To end what is open, call `end_all` first."""
        self._tracks: list[Track] = []
        self._ts: float | None = None
        self._part_id: str | None = None
        self._last: tuple[tuple[Defect, ...], list[Observation]] = ((), [])

    @property
    def open(self) -> tuple[Event, ...]:
        """The last message told of each defect that has not ended."""
        return tuple(track.told for track in self._tracks if track.told is not None)

    def update(self, defects: Iterable[Defect], ts: float, part_id: str | None = None) -> tuple[Event, ...]:
        """The events of one inspected frame taken at `ts`: ends first, then news and updates, in the order of the tracks.

        `part_id` names the triggered part on the frame: another part means other defects, and as a part is seen once, its defects are
        told at once. Do not call it for a frame that could not be inspected: what was not looked at is not unseen.
        """
        events: list[Event] = []
        if part_id is not None and part_id != self._part_id:
            events += self.end_all(ts, "left")
        self._part_id = part_id
        if not self._tracks and not defects:
            self._ts = ts
            return tuple(events)
        gap_s = self._advance(ts)
        events += self._end_stale(ts)
        observations = self._observe(tuple(defects))
        taken = self._associate(observations, ts, gap_s)
        self._absorb(observations, taken, ts)
        events += self._end_unseen(ts)
        for track in list(self._tracks):
            event = self._tell(track, ts, is_part=part_id is not None)
            if event is not None:
                events.append(event)
        return tuple(events)

    def end_all(self, ts: float, reason: str) -> tuple[Event, ...]:
        """End every open defect, for `reason` (left, cleared, restart, stopped)."""
        ended, self._tracks = self._tracks, []
        return tuple(self._event(track, Phase.END, ts, reason, track.strongest) for track in ended if track.told is not None)

    def snapshot(self) -> dict[str, Any]:
        """What is open, as plain values for JSON: `restore` continues from it after a restart."""
        told = [track.to_plain() for track in self._tracks if track.told is not None]
        return {"schema": SNAPSHOT_SCHEMA, "part_id": self._part_id, "tracks": told}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Continue from a snapshot. What the next frames do not show ends with reason `restart`. Raises InputError for a bad one."""
        if snapshot.get("schema") != SNAPSHOT_SCHEMA:
            raise InputError(f"tracks: snapshot has schema {snapshot.get('schema')!r}; it must be {SNAPSHOT_SCHEMA}; start without it")
        try:
            tracks = [Track.from_plain(plain, self.settings.k_of_n[1]) for plain in snapshot["tracks"]]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"tracks: snapshot cannot be read ({type(error).__name__}: {error}); start without it") from error
        self.reset()
        self._tracks = tracks
        self._part_id = snapshot.get("part_id")

    def _advance(self, ts: float) -> float:
        """Seconds since the last frame. A clock set back moves the tracks back with it."""
        gap_s = 0.0 if self._ts is None else ts - self._ts
        if gap_s < 0:
            for track in self._tracks:
                track.shift(gap_s)
        self._ts = ts
        return max(0.0, gap_s)

    def _end_stale(self, ts: float) -> list[Event]:
        """Deal with what a restart brought back: too old ends now, the rest gets its full time to show itself again."""
        stale = [track for track in self._tracks if track.is_restored and ts - track.ts_last > self.settings.restart_s]
        self._tracks = [track for track in self._tracks if track not in stale]
        for track in self._tracks:
            if track.is_restored and track.missed == 0:
                track.ts_unseen = ts
        return [self._event(track, Phase.END, ts, "restart", track.strongest) for track in stale]

    def _observe(self, defects: tuple[Defect, ...]) -> list[Observation]:
        """The defects with their pieces joined; a still scene brings the same ones again."""
        if defects != self._last[0]:
            self._last = (defects, observe(defects, self.settings.merge_gap_px))
        return self._last[1]

    def _associate(self, observations: list[Observation], ts: float, gap_s: float) -> dict[int, Track]:
        """Give each observation to its track and move all tracks. Returns what was taken, by observation."""
        expected = [self._expectation(track, ts, gap_s) for track in self._tracks]
        pairs = associate(expected, [observation.point for observation in observations], self.settings.gate_px)
        taken = {observation: self._tracks[track] for track, observation in pairs}
        self._take_covered(observations, taken)
        for index, track in taken.items():
            track.see(observations[index], ts)
        seen = set(taken.values())
        guides = [track for track in taken.values() if track.told is not None and track.step is not None]
        for track in self._tracks:
            if track not in seen:
                guide = _nearest(guides, track.place)
                if guide is None or guide.step is None:
                    track.miss(track.step_in(gap_s), track.velocity)
                else:
                    track.miss(guide.step, guide.velocity)
        return taken

    def _take_covered(self, observations: list[Observation], taken: dict[int, Track]) -> None:
        """A defect that broke and joins again moves its middle farther than the gate: what covers its place is it."""
        for track in self._tracks:
            if track.told is None or track in taken.values():
                continue
            covers = [i for i, observation in enumerate(observations) if i not in taken and observation.holds(track.place, 0.0)]
            if covers:
                taken[covers[0]] = track

    def _expectation(self, track: Track, ts: float, gap_s: float) -> Expectation:
        """A moving part goes on, faster or slower, or stops; one at rest may start in any direction, unless it is unseen for long."""
        step = track.step_in(gap_s)
        end = (track.place[0] + step[0], track.place[1] + step[1])
        speed = math.hypot(*track.velocity)
        more_px = max(0.0, self.settings.max_speed_px_s - speed) * min(max(0.0, ts - track.ts_unseen), REACH_S) if gap_s <= REACH_S else 0.0
        if speed > MOVING_PX_S:
            end = (end[0] + more_px * track.velocity[0] / speed, end[1] + more_px * track.velocity[1] / speed)
            more_px *= ASIDE
        elif track.missed >= REACH_FRAMES:
            more_px = 0.0
        return Expectation(
            track.point, track.place, step, end, self.settings.gate_px + more_px, track.told is not None, speed <= MOVING_PX_S
        )

    def _absorb(self, observations: list[Observation], taken: dict[int, Track], ts: float) -> None:
        """Defects that join or break are neither ends nor news: a hidden track is held, a piece is dropped, the rest are new tracks."""
        gap_px = self.settings.merge_gap_px
        for track in [track for track in self._tracks if track.missed]:
            if not any(observations[index].holds(track.place, gap_px) for index in taken):
                continue
            if track.told is None:
                self._tracks.remove(track)
            else:
                track.hold(ts)
        seen = list(taken.values())
        for index, observation in enumerate(observations):
            if index in taken:
                continue
            if any(track.told is not None and track.is_broken(BROKEN_SHARE) and track.spans(observation, gap_px) for track in seen):
                continue
            guide = _nearest(seen, observation.point)
            velocity = (0.0, 0.0) if guide is None else guide.velocity
            self._tracks.append(Track(observation, ts, velocity, self.settings.k_of_n[1]))

    def _end_unseen(self, ts: float) -> list[Event]:
        """End or forget the tracks that were unseen for long enough."""
        k, n = self.settings.k_of_n
        kept, events = [], []
        for track in self._tracks:
            if track.told is None:
                if track.missed <= n - k:
                    kept.append(track)
            elif track.missed >= self.settings.clear_frames and ts - track.ts_unseen >= self.settings.clear_s:
                events.append(self._event(track, Phase.END, ts, self._end_reason(track), track.strongest))
            else:
                kept.append(track)
        self._tracks = kept
        return events

    def _end_reason(self, track: Track) -> str:
        """Where zones are set, a defect that leads out of them has left; elsewhere one that was on its way."""
        if track.is_restored:
            return "restart"
        if self.settings.zones:
            return "left" if zone_at(track.place, self.settings.zones) is None else "cleared"
        return "left" if math.dist(track.place, track.point) > self.settings.gate_px else "cleared"

    def _tell(self, track: Track, ts: float, is_part: bool) -> Event | None:
        """The message that this frame makes due for a track it shows."""
        if track.missed or track.is_held:
            return None
        if track.told is None:
            k = 1 if is_part else self._sightings_due(track)
            is_due = sum(track.history) >= k and (is_part or ts - track.ts_first >= self.settings.raise_s)
            if not is_due or self._is_rejoined(track, ts):
                return None
            return self._event(track, Phase.NEW, ts, None, track.defect)
        reason = self._update_reason(track, track.told, ts)
        return None if reason is None else self._event(track, Phase.UPDATE, ts, reason, track.defect)

    def _sightings_due(self, track: Track) -> int:
        """In how many of its last frames a defect must have been seen to be told: what grows is no dirt."""
        k, grown_k = self.settings.k_of_n[0], self.settings.grown_k
        return grown_k if grown_k and track.has_grown(self.settings.area_step) else k

    def _is_rejoined(self, track: Track, ts: float) -> bool:
        """Is this a lost defect whose part has started to move since? If so, that one goes on instead."""
        lost = [other for other in self._tracks if other.missed and other.told is not None and other.ts_last < track.ts_first]
        if not lost:
            return False
        gate_px, limit = self.settings.gate_px, self.settings.max_speed_px_s
        lost = [other for other in lost if track.can_come_from(other.point, ts - other.ts_unseen, gate_px, limit)]
        origin = _nearest(lost, track.point)
        if origin is None:
            return False
        origin.take_over(track)
        self._tracks.remove(track)
        return True

    def _update_reason(self, track: Track, told: Event, ts: float) -> str | None:
        """What has become worse since the last message; a worse level does not wait."""
        if track.level is Verdict.NG and told.verdict is not Verdict.NG:
            return "level"
        if ts - track.ts_told < self.settings.update_s:
            return None
        if track.defect.region.score >= track.told_score + self.settings.score_step:
            return "score"
        return "area" if track.defect.region.area_px >= track.told_area_px * (1.0 + self.settings.area_step) else None

    def _event(self, track: Track, phase: Phase, ts: float, reason: str | None, defect: Defect) -> Event:
        track.track_id = track.track_id or self._ids(ts)
        event = Event(
            event_id=self._ids(ts),
            track_id=track.track_id,
            phase=phase,
            ts_first=track.ts_first,
            ts_last=track.ts_last,
            frames=track.frames,
            verdict=track.level,
            reason=reason,
            defect=defect,
        )
        track.tell(event, ts)
        return event


def _nearest(tracks: Iterable[Track], point: Point) -> Track | None:
    return min(tracks, key=lambda track: math.dist(track.point, point), default=None)
