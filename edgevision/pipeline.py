"""A frame's life: compare -> policy -> recompute -> segment -> judge. Start reading here.

In: a Frame. Out: an Inspection. Kept, one place an idea, each with `reset()`: the detector's Background, the network's Memory, the
decoder's last mask, the Tracks. Capture comes before this file and publish after it; both are joined to it in `daemon/`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from os import PathLike
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevision.account import Stopwatch, account_of
from edgevision.close_calls import CloseCalls, Judging, together, with_outcome
from edgevision.compare import golden
from edgevision.compare.background import ChangeDetector
from edgevision.compare.belt import Seen
from edgevision.compare.policy import AllPolicy
from edgevision.config import CameraConfig, Config, builtin_registry, camera_named, load
from edgevision.errors import BadFrame, ConfigError, EngineFault, InputError
from edgevision.interfaces import Policy, Rule, TimedPolicy
from edgevision.judge.rules import AreaScoreRule
from edgevision.judge.standing import Standing
from edgevision.judge.tracks import Tracks
from edgevision.recompute.arguments import Progress
from edgevision.recompute.audit import Audit
from edgevision.recompute.call import Call
from edgevision.recompute.camera_network import CameraNetwork
from edgevision.recompute.load import network_path
from edgevision.recompute.refresh import RollingRefresh
from edgevision.records import ChangeMap, Costs, Event, Frame, Image, Inspection, Mask, Region, Verdict
from edgevision.registry import Registry
from edgevision.second_look import Answer, with_audit
from edgevision.segment.names import check_asked
from edgevision.segment.places import around, displaced, placed
from edgevision.showing import Showing
from edgevision.stages import Stages, sees_alike

PROTECT_MARGIN_PX = 8


class Share(NamedTuple):
    """What of a frame goes through the network: `live` pixels (H, W), and why."""

    frame: Frame
    seen: Seen
    change: ChangeMap
    live: Mask
    is_dense: bool  # trust is lost

    @property
    def is_whole(self) -> bool:
        """Whether the whole network runs."""
        return self.is_dense or self.change.full_reason is not None

    @property
    def is_deferred(self) -> bool:
        """Whether pixels that changed must wait."""
        return self.live is not self.change.live and bool((self.change.live & ~self.live).any())


class Pipeline:
    """One camera's inspection. Not for two threads at once. Build it with `from_config`."""

    def __init__(self, camera: str, settings: CameraConfig, policy: Policy, rules: tuple[Rule, ...]):
        self.camera = camera
        self.settings = settings
        self._policy = policy
        self._rules = rules
        self._detector = ChangeDetector(settings.compare, has_foreground=asks_for_foreground(settings, rules))
        self._showing = Showing(settings, self._detector)
        self._refresh = RollingRefresh(settings.recompute.keyframe_s)
        self.tracks = Tracks(settings.judge)
        self._standing = Standing(settings.judge.standing_parts if settings.recompute.template != "none" else 0)
        self._is_all = isinstance(policy, AllPolicy)
        self._timed = policy if isinstance(policy, TimedPolicy) else None
        self._is_blind = self._is_all and settings.compare.global_fraction == 1.0  # nothing hangs on what has changed
        self._stages: Stages | None = None
        self._close_calls = CloseCalls(settings.recompute.settle)
        self._full_ts: float | None = None
        self._costs: Costs | None = None
        self._outputs: Mapping[str, NDArray[np.float32]] = MappingProxyType({})
        self._change: ChangeMap | None = None

    @classmethod
    def from_config(cls, config: str | PathLike[str] | Config, camera: str | None = None, registry: Registry | None = None) -> Pipeline:
        """The pipeline of one camera of a configuration: the named one, or the only one.

        Raises ConfigError for a bad file, an unknown camera, or a file of several cameras when none is named.
        """
        registry = registry or builtin_registry()
        loaded = config if isinstance(config, Config) else load(config, registry=registry)
        camera = camera_named(loaded, camera)
        settings = loaded.cameras[camera]
        if settings.segment.kind == "names":
            check_asked(settings.segment, network_path(settings.recompute))
        chosen = settings.recompute.policy
        policy = registry.build("policy", chosen.type, chosen.settings)
        rules = tuple(registry.build("rule", rule.type, rule.settings) for rule in settings.rules)
        try:
            return cls(camera, settings, policy, (AreaScoreRule(settings.judge), *rules))
        except InputError as error:
            raise ConfigError(f"camera {camera}: compare.golden: {error}") from error

    def inspect(self, frame: Frame) -> Inspection:
        """Inspect one frame. A frame that cannot be inspected is NOT_INSPECTED with the reason, and the state stays valid."""
        return self.tell(self.look(frame))

    def look(self, frame: Frame) -> Inspection:
        """`inspect` without its events: for whoever may let another pipeline's finding be told of this frame."""
        watch = Stopwatch()
        self._close_calls.begin()
        try:
            stages = self._stages_for(frame.image)
            share = self._compared(frame, stages, watch)
            picture, taken = self._recomputed(share, stages, watch)
        except (BadFrame, InputError) as error:
            return self.not_inspected(str(error), frame.ts, frame.seq, frame.part_id, frame.job_id)
        change, audits = share.change, stages.audits
        place = partial(placed, off_px=self._detector.off_px, shape=stages.size_px)
        if stages.belt is not None:
            place = partial(displaced, off_px=share.seen.off_px, shape=stages.size_px)
        judging = Judging(self._rules, share.frame, change, place, share.is_deferred)
        try:
            audits.check_engine(Call(picture, taken, self._outputs, self._showing.kept), frame.ts)
            watch.lap("audit")
            marked = stages.decoder.decode(self._outputs, stages.network.changed)
            watch.lap("segment")
            marked, share = self._nearer(marked, judging, share, stages)
            watch.lap("recompute")
        except EngineFault as error:
            is_whole = change.full_reason is not None
            return self._unusable(frame, error, stages) if is_whole else self._start_over(frame, error, stages)
        except InputError as error:  # the settings do not fit the network's outputs
            return self._unusable(frame, error, stages)
        regions, defects = place(marked), judging.defects(marked)
        said, reason = judging.said(defects)
        watch.lap("judge")
        audit = self._audit(share, stages, Answer(self._outputs, regions, defects, place))
        settled = self._settled(marked, judging, share, stages)
        if settled is not marked:
            regions, defects = place(settled), judging.defects(settled)
            said, reason = judging.said(defects)
        watch.lap("recompute")
        said, reason = self._showing.honest(said, reason)
        if audit is not None and said is Verdict.OK and (against := audit.trouble or audit.doubt) is not None:
            said, reason = Verdict.WARN, against
        watch.lap("audit")
        self._take_up(share, stages, marked)
        watch.lap("compare")
        self._close_calls.note(said, marked)
        found = self._inspection(share, stages, regions, defects=defects, verdict=said, reason=reason, timing_ms=watch.read())
        found = with_outcome(found, self._close_calls.outcome)
        return with_audit(found, audit, audits.take_notices(), share.is_dense or audits.is_dense(frame.ts))

    def tell(self, inspection: Inspection) -> Inspection:
        """The inspection with what it means for the lives of defects: the events. Call it once a frame, with one finding of it."""
        if inspection.mode == "none":
            return inspection
        since = time.perf_counter()
        events = self.tracks.update(inspection.defects, inspection.ts, inspection.part_id)
        doubt = self._standing.note(inspection.part_id, inspection.defects)
        more: dict[str, Any] = {}
        if doubt.reason is not None or doubt.notices:
            reason = "; ".join(said for said in (inspection.reason, doubt.reason) if said) or None
            more = {"reason": reason, "notices": (*inspection.notices, *doubt.notices)}
        laps, spent_ms = inspection.timing_ms, (time.perf_counter() - since) * 1e3
        timing_ms = {**laps, **{stage: laps.get(stage, 0.0) + spent_ms for stage in ("judge", "total")}}
        return replace(inspection, events=events, timing_ms=timing_ms, **more)

    def _compared(self, frame: Frame, stages: Stages, watch: Stopwatch) -> Share:
        """What of the frame goes through the network. Raises BadFrame, InputError."""
        height = stages.size_px[0]
        is_dense = stages.audits.is_dense(frame.ts)
        self._showing.make_ready(stages.network, frame.image)
        frame = self._showing.entered(frame, stages.network)
        rows = slice(0, height) if is_dense or self._is_blind else self._refresh.rows(frame.ts, height)
        seen = stages.on_belt(frame, self._detector)
        change = self._detector.measure(seen.picture, frame.ts, rows)
        watch.lap("compare")
        live = np.ones_like(change.live, subok=False) if is_dense else self._policy.select(change)
        if seen.entered is not None and change.full_reason is None:
            live = live | seen.entered
        if live is not change.live:
            self._detector.complete(change, live)
        return Share(frame, seen, change, live, is_dense)

    def _recomputed(self, share: Share, stages: Stages, watch: Stopwatch) -> tuple[Image, Mask]:
        """The network's answer brought up to date: the picture that it was given, and the pixels (H, W) that it took of it."""
        live, network = share.live, stages.network
        picture = self._showing.used(share.change.corrected, None if share.is_whole else live)
        taken = live if share.is_whole else self._showing.renewed(live)
        self._outputs = network.first(picture) if share.is_whole else network.next(picture, taken)
        self._change, self._costs = share.change, network.costs
        self._showing.note(live)
        elapsed_ms = watch.lap("recompute")
        if self._timed is not None:
            self._timed.spent(elapsed_ms)
        return picture, taken

    def _take_up(self, share: Share, stages: Stages, marked: tuple[Region, ...]) -> None:
        """The next frame is compared with what was used for this one, or, where each is shown its template, with that again."""
        protect = around(marked, PROTECT_MARGIN_PX, stages.size_px) if marked else None
        if self._showing.goes_back:
            self._detector.pass_by(share.change, protect)
        else:
            self._detector.commit(share.change, share.live, protect)
        if stages.belt is not None:
            stages.belt.commit()
        if share.is_whole:
            self._full_ts = share.frame.ts

    def _nearer(self, marked: tuple[Region, ...], judging: Judging, share: Share, stages: Stages) -> tuple[tuple[Region, ...], Share]:
        """What is marked once the places that decide were taken anew, if the verdict is close; and all pixels that were taken."""
        calls = self._close_calls
        if share.is_whole or self._is_all or not calls.is_on or calls.is_plain(stages.decoder.told, marked, judging):
            return marked, share
        taken = calls.nearer(stages.decoder.candidates, marked, judging, stages.allowed)
        if taken is None:
            return marked, share
        network, change = stages.network, share.change
        self._detector.complete(change, taken)
        self._outputs = network.next(self._showing.used(change.corrected, taken), taken)
        self._costs = together(self._costs or network.costs, network.costs)
        share = share._replace(live=share.live | taken)
        self._showing.note(share.live)
        return stages.decoder.decode(self._outputs, network.changed), share

    def _settled(self, marked: tuple[Region, ...], judging: Judging, share: Share, stages: Stages) -> tuple[Region, ...]:
        """What is marked once what is still close was run beside, on the raw frame; as it was where that cannot be read."""
        calls, audits = self._close_calls, stages.audits
        if share.is_whole or not calls.is_on or calls.is_plain(stages.decoder.told, marked, judging):
            return marked
        is_late = self._timed is not None or not audits.has_twin
        asked = calls.asks(stages.decoder.candidates, marked, judging, stages.sight_px if audits.runs else None)
        if asked is None or not calls.may(asked, share.frame, is_late):
            return marked
        raw, is_known = self._raw(share.seen.picture), False
        try:
            while asked.places is not None and not is_known:
                theirs, costs = stages.second.near(raw, asked.places)
                self._costs = together(self._costs or costs, costs)
                asked, is_known = asked.wider(theirs)
            if not is_known:
                calls.outcome = "whole"
                self._outputs, theirs = stages.second.whole(raw)
        except EngineFault:
            calls.outcome = "left"
            return marked
        return asked.settled(marked, theirs)

    def _raw(self, picture: Image) -> Image:
        """All of the frame that was measured last, as it lies for the network, which is asked about it whole; valid until the next call."""
        return self._showing.raw(self._detector.as_allowed(self._showing.lit(picture)))

    def _audit(self, share: Share, stages: Stages, answer: Answer) -> Audit | None:
        """Was anything left that should not have been: looked for in what was left, and by a whole run, each where it is due."""
        audits, change, ts = stages.audits, share.change, share.frame.ts
        is_all_taken = share.live is change.live or self._close_calls.outcome is not None
        is_all_taken &= self.settings.compare.confirm_frames == 1  # else something is left on purpose
        missed = None
        if is_all_taken and change.full_reason is None:
            is_part = share.frame.part_id is not None
            missed = audits.check_input(partial(self._detector.missed, change, share.live), ts, is_part)
        if not audits.is_map_due(ts):
            return None if missed is None else Audit(None, missed)
        audit = stages.second.look(share.frame, self._raw(share.seen.picture), change, answer)
        return audit._replace(trouble=audit.trouble or missed)

    def _start_over(self, frame: Frame, error: EngineFault, stages: Stages) -> Inspection:
        """Memory is not what it must be: forget it, and inspect the frame again with the whole network."""
        self.forget_scene()
        stages.audits.note_fault(error, frame.ts)
        return replace(self.look(frame), full_reason=str(error), audit="fault")

    def _unusable(self, frame: Frame, error: EngineFault | InputError, stages: Stages) -> Inspection:
        """Even the whole network's answer cannot be read: say so, and begin with the whole network again."""
        self.forget_scene()
        said = self.not_inspected(str(error), frame.ts, frame.seq, frame.part_id, frame.job_id)
        if isinstance(error, EngineFault):
            stages.audits.note_fault(error, frame.ts)
        return with_audit(said, None, stages.audits.take_notices(), stages.audits.is_dense(frame.ts))

    def not_inspected(
        self, reason: str, ts: float, seq: int | None = None, part_id: str | None = None, job_id: str | None = None
    ) -> Inspection:
        """What is said of a frame or a part that was not inspected: never OK. `seq` is None where it is not known."""
        known = {"frame_seq": -1 if seq is None else seq, "size_px": self.size_px[::-1], "part_id": part_id, "job_id": job_id}
        return Inspection.not_made(self.camera, reason, ts, self.settings.judge.ng, **known)

    def finish(self, ts: float, reason: str) -> tuple[Event, ...]:
        """End every open track: the source ended or the service stops."""
        return self.tracks.end_all(ts, reason)

    def prepare(self, image: Image, progress: Progress | None = None) -> None:
        """Load and compile for frames like this one (H, W[, 3]), whatever it shows, so that the first one does not wait.

        `progress` is called with the network's steps that are ready and how many there are.
        """
        self._stages_for(image, progress)
        self._detector.prepare(image)

    def teach(self, picture: Image) -> None:
        """Compare with this picture of a part without defects from now on, in place of the one that `compare.golden` names.

        For `recompute.template: golden`. The network stays, and runs whole once, on the picture beside itself. Raises InputError, BadFrame.
        """
        if self.settings.recompute.template == "none":
            raise InputError("recompute.template is none: this network is shown no template; set it to golden")
        self._detector.teach(golden.from_picture(picture))
        self._showing = Showing(self.settings, self._detector)
        self._standing.reset()
        self.forget_scene()
        self._showing.begin(self._stages_for(picture).network, picture)

    def take_over(self, old: Pipeline, has_same_files: bool = True) -> None:
        """Go on from another pipeline of this camera: with its open defects, and with its network and scene where both see alike.

        Without `has_same_files`, the files that both name have changed in between, and nothing of what was loaded serves on.

        `old` is not used any more. Raises InputError for defects that cannot go on; the rest is done then.
        """
        if has_same_files and sees_alike(self.settings, old.settings):
            self._detector, self._refresh, self._showing, self._full_ts = old._detector, old._refresh, old._showing, old._full_ts
            self._stages = None if old._stages is None else old._stages.judged_by(self._rules[0], self.settings)
            self._detector.retune(self.settings.compare)
            self._detector.has_foreground = asks_for_foreground(self.settings, self._rules)
        self._standing.reset(old._standing.has_said)
        self.tracks.restore(old.tracks.snapshot())

    def reset(self) -> None:
        """Forget everything: the next frame is a first one. Open tracks are forgotten, not ended."""
        self.forget_scene()
        self.tracks.reset()

    def forget_scene(self) -> None:
        """The next frame is a first one, from which the reference is learnt; open tracks go on."""
        self._detector.reset()
        self._refresh.reset()
        self._close_calls.reset()
        if self._stages is not None:
            self._stages.forget_scene()

    def shown(self, image: Image, as_taken: bool = False) -> Image:
        """All of the frame inspected last as the network is given it, uint8; beside its template, and in its light, where it is shown one.

        `as_taken`: in its own light even there. Valid until the next call.
        """
        return self._showing.raw(image if as_taken else self._showing.lit(self._entered(image)))

    def _entered(self, image: Image) -> Image:
        return image if self._stages is None else self._showing.in_even_light(image, self._stages.network)

    @property
    def size_px(self) -> tuple[int, int]:
        """(height, width) of the frames, (0, 0) before the first one."""
        return (0, 0) if self._stages is None else self._stages.size_px

    @property
    def noise_measured(self) -> float | None:
        """The camera's noise (gray levels, one sigma) as measured from its frames; None where it is not yet, or was told."""
        return self._detector.noise_measured

    @property
    def shake_px(self) -> float | None:
        """How far the last frame lay off the picture that it was compared with, in pixels, as far as that is sure; None: not looked for."""
        return self._detector.shake_px

    @property
    def network(self) -> CameraNetwork | None:
        """The engine, once the first frame's size is known."""
        return None if self._stages is None else self._stages.network

    @property
    def outputs(self) -> Mapping[str, NDArray[np.float32]]:
        """The network's own answer to the last frame, without what was run beside; valid until the next one; {} before the first."""
        return self._outputs

    def change_on(self, frame: Frame) -> ChangeMap:
        """What the last inspection found changed, for the whole network's answer on its raw frame. Raises InputError before the first."""
        if self._change is None:
            raise InputError("no frame was inspected yet; call inspect first")
        return replace(self._change, corrected=self._entered(frame.image))

    def _stages_for(self, image: Image, progress: Progress | None = None) -> Stages:
        """What sees, made for the first frame's size. Raises BadFrame for a frame of another size."""
        size_px = image.shape[0], image.shape[1]
        if self._stages is None:
            self._stages = Stages.made_for(size_px, self.settings, self._rules[0], progress)
        self._stages.check(size_px)
        return self._stages

    def _inspection(self, share: Share, stages: Stages, regions: tuple[Region, ...], **said: Any) -> Inspection:
        ts, costs = share.frame.ts, self._costs or stages.network.costs
        account = account_of(
            share.frame,
            share.change,
            regions,
            self._detector.has_foreground,
            camera=self.camera,
            mode=costs.mode,
            costs=costs,
            threshold=self.settings.judge.ng,
            since_full_ms=(ts - (ts if self._full_ts is None else self._full_ts)) * 1e3,
            **said,
        )
        return replace(account, full_reason="audit") if share.is_whole and account.full_reason is None else account


def asks_for_foreground(settings: CameraConfig, rules: tuple[Rule, ...]) -> bool:
    """Whether anybody wants to know what differs from the reference. Beside a template the network sees that for itself."""
    return settings.recompute.template == "none" or settings.judge.min_foreground > 0 or len(rules) > 1
