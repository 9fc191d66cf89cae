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

import numpy as np
from numpy.typing import NDArray

from edgevision.close_calls import CloseCalls, Judging, together, with_outcome
from edgevision.compare import golden
from edgevision.compare.area import allowed_pixels
from edgevision.compare.background import ChangeDetector
from edgevision.compare.belt import Belt, Seen
from edgevision.compare.image import checked
from edgevision.compare.policy import AllPolicy
from edgevision.compare.settings import ChangeSettings
from edgevision.config import CameraConfig, Config, builtin_registry, load
from edgevision.errors import BadFrame, ConfigError, EngineFault, InputError
from edgevision.interfaces import Policy, Rule, TimedPolicy
from edgevision.judge.rules import AreaScoreRule
from edgevision.judge.tracks import Tracks
from edgevision.placing import displaced, placed
from edgevision.recompute.arguments import Progress
from edgevision.recompute.audit import Audit, Audits, AuditSettings
from edgevision.recompute.camera_network import CameraNetwork
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.load import labels_of, load_for_frames, network_path, span_px_of, threshold_of
from edgevision.recompute.refresh import RollingRefresh
from edgevision.records import ChangeMap, Costs, Defect, Event, Frame, Image, Inspection, Mask, Region, Verdict
from edgevision.registry import Registry
from edgevision.second_look import Answer, SecondLook, with_audit
from edgevision.segment.decoders import Decoder, decoder_for
from edgevision.segment.facts import NetworkFacts, Placement
from edgevision.segment.names import check_asked
from edgevision.showing import Showing

Found = tuple[tuple[Region, ...], tuple[Defect, ...]]

PROTECT_MARGIN_PX = 8
RESIZE_TAPS = 2
SEEING = frozenset({"compare", "recompute", "segment"})


class Pipeline:
    """One camera's inspection. Not for two threads at once. Build it with `from_config`."""

    def __init__(self, camera: str, settings: CameraConfig, policy: Policy, rules: tuple[Rule, ...]):
        self.camera = camera
        self.settings = settings
        self._policy = policy
        self._rules = rules
        self._detector = ChangeDetector(settings.compare, has_foreground=_asks_for_foreground(settings, rules))
        self._showing = Showing(settings, self._detector)
        self._refresh = RollingRefresh(settings.recompute.keyframe_s)
        self.tracks = Tracks(settings.judge)
        self._is_all = isinstance(policy, AllPolicy)
        self._timed = policy if isinstance(policy, TimedPolicy) else None
        self._is_blind = self._is_all and settings.compare.global_fraction == 1.0  # nothing hangs on what has changed
        self._network: CameraNetwork | None = None
        self._decoder: Decoder | None = None
        self._audits: Audits | None = None
        self._second: SecondLook | None = None
        self._close_calls = CloseCalls(settings.recompute.settle)
        self._allowed: Mask = np.zeros((0, 0), np.bool_)  # where changes count
        self._costs: Costs | None = None
        self._belt: Belt | None = None
        self._size_px = (0, 0)  # (height, width)
        self._full_ts: float | None = None
        self._outputs: Mapping[str, NDArray[np.float32]] = MappingProxyType({})
        self._change: ChangeMap | None = None

    @classmethod
    def from_config(cls, config: str | PathLike[str] | Config, camera: str | None = None, registry: Registry | None = None) -> Pipeline:
        """The pipeline of one camera of a configuration: the named one, or the only one.

        Raises ConfigError for a bad file, an unknown camera, or a file of several cameras when none is named.
        """
        registry = registry or builtin_registry()
        loaded = config if isinstance(config, Config) else load(config, registry=registry)
        camera = camera or _only_camera(loaded)
        if camera not in loaded.cameras:
            raise ConfigError(f"camera is {camera!r}; it must be one of {', '.join(loaded.cameras)}")
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
        height, width = frame.image.shape[:2]
        try:
            network, decoder, audits = self._stages_for(height, width)
            is_dense = audits.is_dense(frame.ts)
            self._showing.make_ready(network, frame.image)
            rows = slice(0, height) if is_dense or self._is_blind else self._refresh.rows(frame.ts, height)
            seen = self._on_belt(frame, network)
            change = self._detector.measure(seen.picture, frame.ts, rows)
            watch.lap("compare")
            live = np.ones_like(change.live, subok=False) if is_dense else self._policy.select(change)
            if seen.entered is not None and change.full_reason is None:
                live = live | seen.entered
            if live is not change.live:
                self._detector.complete(change, live)
            is_full = change.full_reason is not None
            is_whole = is_full or is_dense
            picture = self._showing.used(change.corrected, None if is_whole else live)
            taken = live if is_whole else self._showing.renewed(live)
            outputs = network.first(picture) if is_whole else network.next(picture, taken)
            self._outputs, self._change, self._costs = outputs, change, None
            self._showing.note(live)
            elapsed_ms = watch.lap("recompute")
            if self._timed is not None:
                self._timed.spent(elapsed_ms)
        except (BadFrame, InputError) as error:
            return self.not_inspected(str(error), frame.ts, frame.seq, frame.part_id, frame.job_id)
        try:
            audits.check_engine(picture, outputs, taken, frame.ts)
            watch.lap("audit")
            marked = decoder.decode(outputs, network.changed)
            watch.lap("segment")
            is_moved = self._belt is not None
            place = partial(displaced, off_px=seen.off_px) if is_moved else partial(placed, off_px=self._detector.off_px)
            place = partial(place, shape=(height, width))
            is_deferred = live is not change.live and bool((change.live & ~live).any())
            judging = Judging(self._rules, frame, change, place, is_deferred)
            marked, live = self._nearer(marked, judging, is_whole, live)
            watch.lap("recompute")
        except EngineFault as error:
            return self._unusable(frame, error) if is_full else self._start_over(frame, error)
        except InputError as error:  # the settings do not fit the network's outputs
            return self._unusable(frame, error)
        regions, defects = place(marked), judging.defects(marked)
        said, reason = judging.said(defects)
        watch.lap("judge")
        audit = self._audit(frame, seen.picture, change, live, Answer(self._outputs, regions, defects, place))
        if not is_whole and self._wants_whole(decoder, judging, said):
            regions, defects = self._whole(seen.picture, judging, (regions, defects))
            said, reason = judging.said(defects)
            watch.lap("recompute")
        if audit is not None and said is Verdict.OK and (against := audit.trouble or audit.doubt) is not None:
            said, reason = Verdict.WARN, against
        watch.lap("audit")
        self._take_up(change, live, protected(marked, (height, width)))
        if self._belt is not None:
            self._belt.commit()
        watch.lap("compare")
        if is_whole:
            self._full_ts = frame.ts
        self._close_calls.note(said, marked)
        found = self._inspection(frame, change, said, reason, (regions, defects), watch)
        found = with_outcome(found, self._close_calls.outcome)
        if is_whole and not is_full:
            found = replace(found, full_reason="audit")
        return with_audit(found, audit, audits.take_notices(), is_dense or audits.is_dense(frame.ts))

    def tell(self, inspection: Inspection) -> Inspection:
        """The inspection with what it means for the lives of defects: the events. Call it once a frame, with one finding of it."""
        if inspection.mode == "none":
            return inspection
        since = time.perf_counter()
        events = self.tracks.update(inspection.defects, inspection.ts, inspection.part_id)
        laps, spent_ms = inspection.timing_ms, (time.perf_counter() - since) * 1e3
        timing_ms = {**laps, **{stage: laps.get(stage, 0.0) + spent_ms for stage in ("judge", "total")}}
        return replace(inspection, events=events, timing_ms=timing_ms)

    def _take_up(self, change: ChangeMap, live: Mask, protect: Mask | None) -> None:
        """The next frame is compared with what was used for this one, or, where each is shown its template, with that again."""
        if self._showing.goes_back:
            self._detector.pass_by(change, protect)
        else:
            self._detector.commit(change, live, protect)

    def _nearer(self, marked: tuple[Region, ...], judging: Judging, is_whole: bool, live: Mask) -> tuple[tuple[Region, ...], Mask]:
        """What is marked once the places that decide were taken anew, if the verdict is close; and all pixels that were taken."""
        network, decoder = self._network, self._decoder
        if is_whole or self._is_all or not self._close_calls.is_on or network is None or decoder is None:
            return marked, live
        taken = self._close_calls.nearer(decoder.candidates, marked, judging, self._allowed)
        if taken is None:
            return marked, live
        before, change = network.costs, judging.change
        self._detector.complete(change, taken)
        self._outputs = network.next(self._showing.used(change.corrected, taken), taken)
        self._costs = together(before, network.costs)
        live = live | taken
        self._showing.note(live)
        return decoder.decode(self._outputs, network.changed), live

    def _wants_whole(self, decoder: Decoder, judging: Judging, said: Verdict) -> bool:
        """Whether the whole network is to decide a frame of which that is said."""
        if not self._close_calls.is_on:
            return False
        has_twin = self._audits is not None and self._audits.has_twin
        return self._close_calls.wants_whole(decoder.candidates, judging, said, self._timed is not None or not has_twin)

    def _whole(self, picture: Image, judging: Judging, found: Found) -> Found:
        """What the whole network finds on the frame, `picture` as it lies for the network; what was `found` where it cannot be read."""
        if self._second is None:
            return found
        try:
            self._outputs, marked = self._second.whole(self._raw(picture))
        except EngineFault:
            self._close_calls.outcome = "left"
            return found
        return judging.place(marked), judging.defects(marked)

    def _raw(self, picture: Image) -> Image:
        """All of the frame that was measured last, as the network is asked about it when it is run whole; valid until the next call."""
        return self._showing.raw(self._detector.as_allowed(self._showing.lit(picture)))

    def _on_belt(self, frame: Frame, network: CameraNetwork) -> Seen:
        """The frame as it lies on the belt, what was used and computed moved along; the frame itself where nothing moves."""
        if self._belt is None or not isinstance(network, SelectiveNetwork):
            return Seen(frame.image)
        checked(frame.image, None)
        seen = self._belt.next(frame.image, frame.way_px)
        if seen.moved_px != (0, 0):
            self._detector.shift(*seen.moved_px, seen.picture)
            network.shift(*seen.moved_px)
        return seen

    def _start_over(self, frame: Frame, error: EngineFault) -> Inspection:
        """Memory is not what it must be: forget it, and inspect the frame again with the whole network."""
        self.forget_scene()
        if self._audits is not None:
            self._audits.note_fault(error, frame.ts)
        return replace(self.look(frame), full_reason=str(error), audit="fault")

    def _audit(self, frame: Frame, picture: Image, change: ChangeMap, live: Mask, answer: Answer) -> Audit | None:
        """Was anything left that should not have been: looked for in what was left, and by a whole run, each where it is due.

        `picture` is the frame as it lies for the network.
        """
        audits, second = self._audits, self._second
        if audits is None or second is None:
            return None
        is_all_taken = live is change.live or self._close_calls.outcome is not None
        is_all_taken &= self.settings.compare.confirm_frames == 1  # else something is left on purpose
        missed = None
        if is_all_taken and change.full_reason is None:
            missed = audits.check_input(partial(self._detector.missed, change, live), frame.ts)
        if not audits.is_map_due(frame.ts):
            return None if missed is None else Audit(None, missed)
        audit = second.look(frame, self._raw(picture), change, answer)
        return audit._replace(trouble=audit.trouble or missed)

    def _unusable(self, frame: Frame, error: EngineFault | InputError) -> Inspection:
        """Even the whole network's answer cannot be read: say so, and begin with the whole network again."""
        self.forget_scene()
        said = self.not_inspected(str(error), frame.ts, frame.seq, frame.part_id, frame.job_id)
        if self._audits is None:
            return said
        if isinstance(error, EngineFault):
            self._audits.note_fault(error, frame.ts)
        return with_audit(said, None, self._audits.take_notices(), self._audits.is_dense(frame.ts))

    def not_inspected(
        self, reason: str, ts: float, seq: int | None = None, part_id: str | None = None, job_id: str | None = None
    ) -> Inspection:
        """What is said of a frame or a part that was not inspected: never OK. `seq` is None where it is not known."""
        known = {"frame_seq": -1 if seq is None else seq, "size_px": self._size_px[::-1], "part_id": part_id, "job_id": job_id}
        return Inspection.not_made(self.camera, reason, ts, self.settings.judge.ng, **known)

    def finish(self, ts: float, reason: str) -> tuple[Event, ...]:
        """End every open track: the source ended or the service stops."""
        return self.tracks.end_all(ts, reason)

    def prepare(self, image: Image, progress: Progress | None = None) -> None:
        """Load and compile for frames like this one (H, W[, 3]), whatever it shows, so that the first one does not wait.

        `progress` is called with the network's steps that are ready and how many there are.
        """
        height, width = image.shape[:2]
        self._stages_for(height, width, progress)
        self._detector.prepare(image)

    def teach(self, picture: Image) -> None:
        """Compare with this picture of a part without defects from now on, in place of the one that `compare.golden` names.

        For `recompute.template: golden`. The network stays, and runs whole once, on the picture beside itself. Raises InputError, BadFrame.
        """
        if self.settings.recompute.template == "none":
            raise InputError("recompute.template is none: this network is shown no template; set it to golden")
        self._detector.teach(golden.from_picture(picture))
        self._showing = Showing(self.settings, self._detector)
        self.forget_scene()
        network, _, _ = self._stages_for(*picture.shape[:2])
        self._showing.begin(network, picture)

    def take_over(self, old: Pipeline, has_same_files: bool = True) -> None:
        """Go on from another pipeline of this camera: with its open defects, and with its network and scene where both see alike.

        Without `has_same_files`, the files that both name have changed in between, and nothing of what was loaded serves on.

        `old` is not used any more. Raises InputError for defects that cannot go on; the rest is done then.
        """
        if has_same_files and sees_alike(self.settings, old.settings):
            self._detector, self._refresh, self._network = old._detector, old._refresh, old._network
            self._decoder, self._audits, self._belt = old._decoder, old._audits, old._belt
            self._size_px, self._full_ts, self._allowed = old._size_px, old._full_ts, old._allowed
            self._showing = old._showing
            if self._audits is not None and old._network is not None:
                self._second = self._new_second_look(self._audits, old._network)
            self._detector.retune(self.settings.compare)
            self._detector.has_foreground = _asks_for_foreground(self.settings, self._rules)
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
        if self._belt is not None:
            self._belt.reset()
        if self._network is not None and self._decoder is not None:
            self._network.reset()
            self._decoder.reset()

    def shown(self, image: Image, as_taken: bool = False) -> Image:
        """All of the frame inspected last as the network is given it, uint8; beside its template, and in its light, where it is shown one.

        `as_taken`: in its own light even there. Valid until the next call.
        """
        return self._showing.raw(image if as_taken else self._showing.lit(image))

    @property
    def size_px(self) -> tuple[int, int]:
        """(height, width) of the frames, (0, 0) before the first one."""
        return self._size_px

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
        return self._network

    @property
    def outputs(self) -> Mapping[str, NDArray[np.float32]]:
        """The network's answer that the last inspection stands on, valid until the next one; {} before the first."""
        return self._outputs

    def change_on(self, frame: Frame) -> ChangeMap:
        """What the last inspection found changed, for the whole network's answer on its raw frame. Raises InputError before the first."""
        if self._change is None:
            raise InputError("no frame was inspected yet; call inspect first")
        return replace(self._change, corrected=frame.image)

    def _stages_for(self, height: int, width: int, progress: Progress | None = None) -> tuple[CameraNetwork, Decoder, Audits]:
        """The network, its decoder and its audits, made for the first frame's size. Raises BadFrame for a frame of another size."""
        if self._network is None or self._decoder is None or self._audits is None:
            is_belt = self.settings.compare.motion == "shift"
            self._network = load_for_frames(self.settings.recompute, height, width, progress, is_belt)
            if is_belt and isinstance(self._network, SelectiveNetwork):
                self._belt = _belt_for(self._network, self.settings.compare, (height, width))
            self._decoder = self._new_decoder(self._network, (height, width))
            self._audits = Audits(self._network, AuditSettings.of(self.settings.recompute))
            self._size_px = (height, width)
            self._allowed = allowed_pixels(self.settings.compare, height, width).astype(np.bool_)
            self._second = self._new_second_look(self._audits, self._network)
        if (height, width) != self._size_px:
            was_height, was_width = self._size_px
            raise BadFrame(
                f"frame is {width}x{height}, this camera gave {was_width}x{was_height} before; set the camera back or restart it"
            )
        return self._network, self._decoder, self._audits

    def _new_second_look(self, audits: Audits, network: CameraNetwork) -> SecondLook:
        return SecondLook(
            audits, self._new_decoder(network, self._size_px), self._rules[0], self.settings.segment.kind not in ("boxes", "names")
        )

    def _new_decoder(self, network: CameraNetwork, size_px: tuple[int, int]) -> Decoder:
        return decoder_for(self.settings.segment, size_px, facts_of(network, *size_px))

    def _inspection(self, frame: Frame, change: ChangeMap, said: Verdict, reason: str | None, found: Found, watch: Stopwatch) -> Inspection:
        regions, defects = found
        height, width = self._size_px
        costs = self._costs or (self._network.costs if self._network is not None else None)
        full_ts = frame.ts if self._full_ts is None else self._full_ts
        return Inspection(
            camera=self.camera,
            frame_seq=frame.seq,
            ts=frame.ts,
            size_px=(width, height),
            verdict=said,
            reason=reason,
            scene=change.scene,
            mode=costs.mode if costs else "none",
            live_fraction=change.fraction,
            foreground_fraction=np.count_nonzero(change.foreground) / change.foreground.size if self._detector.has_foreground else None,
            gain=change.gain,
            offset=change.offset,
            full_reason=change.full_reason,
            regions=regions,
            defects=defects,
            events=(),
            score=max((region.score for region in regions), default=0.0),
            threshold=self.settings.judge.ng,
            costs=costs,
            timing_ms=watch.read(),
            part_id=frame.part_id,
            job_id=frame.job_id,
            dropped_since_last=frame.dropped_since_last,
            simulated=frame.simulated,
            since_full_ms=(frame.ts - full_ts) * 1e3,
        )


class Stopwatch:
    """Milliseconds by stage; a stage entered twice adds up."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> float:
        """Put the time since the last lap down to this stage; returns it."""
        now = time.perf_counter()
        elapsed_ms = (now - self._last) * 1e3
        self._laps[stage] = self._laps.get(stage, 0.0) + elapsed_ms
        self._last = now
        return elapsed_ms

    def read(self) -> dict[str, float]:
        """Every stage's milliseconds, and `total`."""
        return {**self._laps, "total": (self._last - self._start) * 1e3}


def _asks_for_foreground(settings: CameraConfig, rules: tuple[Rule, ...]) -> bool:
    """Whether anybody wants to know what differs from the reference. Beside a template the network sees that for itself."""
    return settings.recompute.template == "none" or settings.judge.min_foreground > 0 or len(rules) > 1


def sees_alike(one: CameraConfig, other: CameraConfig) -> bool:
    """Do two configurations differ at most in judging and in what only watches: network, scene and reference of the one serve the other."""
    apart = {"compare": {"adjust"}, "recompute": {"shift"}}
    first, second = (camera.model_dump(mode="json", include=set(SEEING), exclude=apart) for camera in (one, other))
    return first == second


def protected(regions: tuple[Region, ...], shape: tuple[int, int]) -> Mask | None:
    """Pixels that the reference must not learn: the regions' boxes with a margin. None where there are none."""
    if not regions:
        return None
    mask = np.zeros(shape, np.bool_)
    for region in regions:
        x1, y1, x2, y2 = region.box_px
        mask[max(0, y1 - PROTECT_MARGIN_PX) : y2 + PROTECT_MARGIN_PX, max(0, x1 - PROTECT_MARGIN_PX) : x2 + PROTECT_MARGIN_PX] = True
    return mask


def _belt_for(network: SelectiveNetwork, settings: ChangeSettings, frame_px: tuple[int, int]) -> Belt:
    """The belt that a network follows. Raises InputError where its steps are too long to be of use."""
    axis = 1 if settings.motion_axis == "x" else 0
    step = network.shift_step_px[axis]
    if step > frame_px[axis] // 4:
        raise InputError(
            f"compare.motion is shift, but this network moves in steps of {step} px along {settings.motion_axis}, more than a quarter of "
            "the frame; use a fully convolutional network, or motion none"
        )
    return Belt(settings, step, 0 if network.input_shape[2:] == frame_px else RESIZE_TAPS)


def facts_of(network: CameraNetwork, height: int, width: int) -> NetworkFacts:
    """What a decoder must know of the network that watches frames of (height, width)."""
    said, settings = network.metadata, network.preprocess
    placement = Placement.of((height, width), network.input_shape[2:], settings.resize if settings is not None else "stretch")
    return NetworkFacts(labels_of(said), threshold_of(said), span_px_of(network, height, width), placement, said, network.sha256)


def _only_camera(config: Config) -> str:
    if len(config.cameras) != 1:
        raise ConfigError(f"the configuration has {len(config.cameras)} cameras ({', '.join(config.cameras)}); name the one that is meant")
    return next(iter(config.cameras))
