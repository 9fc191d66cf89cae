"""What the network last used, and the reference: what a new frame is compared with. In: images, committed masks. Out: ChangeMap.

Keeps, per camera, in `Background`: `used` (the frame the network's Memory stands for), the tolerance of each of its values, the noise
measured from the stream, and the running reference. `live` is judged against `used` alone, `foreground` against the reference alone.
"""

from __future__ import annotations

import math
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevision.compare import measure
from edgevision.compare.area import allowed_pixels, where_allowed
from edgevision.compare.first import FirstFrame, check_first, may_wait, refuse_blind, whole
from edgevision.compare.golden import Golden, from_picture
from edgevision.compare.golden import load as load_golden
from edgevision.compare.golden_view import GoldenView
from edgevision.compare.image import checked, read_only
from edgevision.compare.light import refuse_colours
from edgevision.compare.masks import LiveMask
from edgevision.compare.missed import RUN_PX, Limits, missed_share
from edgevision.compare.restless import EVERY
from edgevision.compare.settings import ChangeSettings
from edgevision.compare.settle import TILE_PX
from edgevision.compare.state import BANDS, CALIBRATION_FRAMES, NOISE_MEMORY_FRAMES, Background
from edgevision.compare.steady import CELLS
from edgevision.compare.warm_up import warm_up_frames
from edgevision.compare.white import DIMMED, with_white
from edgevision.errors import BadFrame, InputError
from edgevision.kernels.compiled import change as compiled
from edgevision.records import ChangeMap, Image, Mask, Scene

__all__ = ["Background", "ChangeDetector", "ChangeSettings", "allowed_pixels"]

LEAST_SAMPLES = 50
POINTS_EVERY = 4
DAZZLED_SHARE = 0.25
DAZZLED_FRAMES = 30
CLOSER_LOOK = 0.25  # of golden_fraction: with more than that changed it is asked whether the frame shows the same product
BELT_VIBRATION_PX = 1.0  # two frames of a belt, each half a pixel off at most


class _Pending(NamedTuple):
    """A measured frame that waits for its commit. `corrected` and `image` are (row, column x channel)."""

    change: ChangeMap
    image: Image
    corrected: Image
    live: Mask
    run_count: int


class ChangeDetector:
    """Says which pixels of a frame moved. One camera, one thread.

    `update(image)` is measure and commit in one. A pipeline calls `measure`, runs the network on the pixels its policy chose, and then
    `commit`s exactly these. The masks of a ChangeMap stay as they are for as long as somebody holds them; `corrected` is valid until
    the next `measure`, at live pixels (`complete` extends it). Raises InputError for what is no image, BadFrame for what cannot be
    inspected: another size than before, all black, or saturated; nothing is changed then.

    There is no time of calibration: the first frame is run whole, and the noise is measured on the second frame before it is compared.
    """

    def __init__(self, settings: ChangeSettings | None = None, kernels: ModuleType = compiled, has_foreground: bool = True) -> None:
        self.settings = settings or ChangeSettings()
        self.has_foreground = has_foreground  # without it, against a golden picture, no pixel is foreground
        self._kernels = kernels
        least_px = BELT_VIBRATION_PX if self.settings.motion == "shift" else 0.0
        self._vibration_q8 = round(max(self.settings.vibration_px, least_px) * 256)
        self._bounds = tuple(round(v * 256) for v in (*self.settings.abs_threshold, *self.settings.var_threshold))
        self.golden = load_golden(self.settings.golden) if self.settings.reference == "golden" and self.settings.golden else None
        self._rate = max(1, round(math.log2(self.settings.reference_frames / BANDS)))
        self._asked = (
            self.settings.pixel_threshold,
            self.settings.min_area,
            self.settings.despeckle,
        )  # whatever becomes of those in force: for `missed`
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next frame is a first frame."""
        self._background: Background | None = None
        self._first: FirstFrame | None = None  # all there is before a second frame makes a background of it
        self._pending: _Pending | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether nothing was measured since it was made or reset."""
        return self._background is None and self._first is None and self._pending is None

    def teach(self, golden: Golden) -> None:
        """Judge against this picture from now on, where `compare.reference` is golden. Forgets everything."""
        self.golden = golden
        self.reset()

    def begin(self, like: Image) -> ChangeMap:
        """Take the golden picture itself for the first frame, to which frames `like` this one are compared. To be committed.

        From then on a frame of which more than `compare.golden_fraction` has changed is no such part: `measure` raises BadFrame. Raises
        InputError where there is no golden picture, or one of another size or type.
        """
        golden = self.golden
        if golden is None:
            raise InputError("there is no golden picture to begin with; set compare.reference: golden and compare.golden, or teach one")
        golden.refuse_unlike(like, self.settings.golden)
        change = self.measure(golden.mean)
        background = self._open()
        background.began_golden, background.taught_bright = True, background.bright
        return change

    @property
    def noise(self) -> NDArray[np.float64]:
        """The noise at each of the 256 gray levels (levels, one sigma), as measured so far or given."""
        return self._open().noise.copy()

    @property
    def used(self) -> Image | None:
        """What the network last used of each pixel, as of the last commit, in the frames' shape; None before a second frame is measured."""
        background = self._background
        return None if background is None or background.frames == 0 else read_only(background.used.reshape(background.shape))

    @property
    def noise_measured(self) -> float | None:
        """The whole picture's noise as measured from the stream (gray levels, one sigma), whatever thresholds stand on; None: not yet."""
        background = self._background
        is_known = background is not None and background.noise_counts.sum() >= measure.ENOUGH_SAMPLES
        return background.noise_measured if background is not None and is_known else None

    @property
    def shake_px(self) -> float | None:
        """How far the last frame, or its furthest place, lay off the picture in use; None where that is not looked for, or not yet."""
        if self._background is None:
            return None
        steady, places = self._background.steady, self._background.places
        return places.seen_px if places.is_on else steady.seen_px if steady.is_on else None

    def off_px(self, x: float, y: float) -> tuple[int, int]:
        """How much further (down, right) in the frame itself lies what `corrected` of the last measured one shows there: `places_px`."""
        return (0, 0) if self._background is None else self._background.places.off_px(x, y)

    def retune(self, settings: ChangeSettings) -> None:
        """Go on with settings that differ in `adjust` alone: thresholds move, nothing is forgotten."""
        self.settings = settings
        if self._background is not None:
            self._background.set_tables(settings, is_anew=True)

    def prepare(self, image: Image) -> None:
        """Compile what frames of this dtype and number of channels need, so that the first one does not wait. Forgets nothing."""
        free = {"roi": None, "ignore": (), "blind_fraction": 1.0, "golden": None}
        for reference in dict.fromkeys(("running", self.settings.reference)):
            other = ChangeDetector(self.settings.model_copy(update={**free, "reference": reference}), self._kernels)
            for step, frame in enumerate(warm_up_frames(image, self.settings.settle_frames)):
                if reference == "golden" and step == 0:
                    other.teach(from_picture(frame))
                with suppress(BadFrame):  # what moves about there is no part that was taught
                    change = other.measure(frame, force_rows=slice(0, 1) if step % 4 == 1 else None)
                    other.commit(change, change.live.copy())

    def update(self, image: Image) -> ChangeMap:
        """What changed in `image`, all of it taken as handed to the network."""
        change = self.measure(image)
        self.commit(change, change.live)
        return change

    def measure(self, image: Image, ts: float | None = None, force_rows: slice | None = None) -> ChangeMap:
        """What differs from the frame the network last used. Rows in `force_rows` are live whatever they show. Commits nothing."""
        flat = checked(image, self._background or self._first)
        if self._first is None and (self._background is None or self._background.frames == 0):
            return self._begin(image, flat)
        background = self._open()
        if background.likeness is not None and not background.began_golden:
            background.likeness.refuse_other(image, self.settings.golden_likeness)
        samples = self._fit_light(background, flat)
        steadied = self._steadied(background, image, flat)
        if steadied is not None:
            image, flat = steadied
            samples = self._fit_light(background, flat)
        refuse_colours(background.scratch.samples, samples, self.settings.colour_limit)
        limits = self._limits(background, flat, samples)
        if self._is_forced(background, force_rows):
            background.is_stale = True
            return self._partial(background, image, flat, *self._everything(background))
        if background.is_stale:
            self._renew(background)
        found = self._find(background, flat, limits)
        if background.began_golden:
            self._refuse_alien(background, found, image)
        if background.dazzled or found > self.settings.global_fraction * background.allowed_px:
            background.scratch.weak[:] = 0
            self._refuse_dazzled(background)
            return self._whole(background, image, flat, Scene.LIGHT_CHANGE, "global_change")
        taken, live_px = self._grow(background, flat, limits[0], found, force_rows)
        return self._partial(background, image, flat, taken, live_px)

    def _begin(self, image: Image, flat: Image) -> ChangeMap:
        """The first frame: all of it."""
        if self.golden is None and may_wait(self.settings):
            check_first(image, self.settings)
            change = whole(flat.reshape(image.shape))
            self._pending = _Pending(change, flat, flat, change.live, len(flat))
            return change
        background = Background(self.settings, image, self.golden)
        if background.likeness is not None:
            background.likeness.refuse_other(image, self.settings.golden_likeness)
        self._sample(background, flat, flat)
        self._background = background
        return self._whole(background, image, flat, Scene.NORMAL, "first")

    def complete(self, change: ChangeMap, live: Mask) -> None:
        """Make `change.corrected` valid at `live` too, for a policy that goes beyond `change.live`. It must be the last measured."""
        pending = self._last(change)
        if change.full_reason is None:
            self._fill(pending, live)

    def as_allowed(self, image: Image) -> Image:
        """The frame where changes count and, outside the ROI and in ignored polygons, what was used there; `image` itself without such."""
        background = self._background
        return image if background is None or background.frames == 0 else where_allowed(image, background.used, background.allowed)

    def in_light(self, image: Image) -> Image:
        """All of the frame last measured as `corrected` has it at live pixels: in the light of what it was compared with."""
        return image if self._background is None else self._background.lamp.relit(self._kernels, image)

    def missed(self, change: ChangeMap, live: Mask, levels: float, random: np.random.Generator | None) -> float:
        """Of the last measured frame, the share that is not handed over with `live` although it is plainly off: further than `levels`, or
        than the threshold that was asked for and some more. In rows drawn by `random`; None: all over."""
        pending, background = self._last(change), self._open()
        lit = partial(background.lamp.relit_rows, self._kernels, pending.image.reshape(background.shape))
        plain = measure.to_table(measure.plain_levels(self._asked[0], background.noise, levels), background.level_shift)
        limits = Limits(plain, background.level_shift, math.ceil(self._vibration_q8 / 256), max(RUN_PX, self._asked[1]), self._asked[2])
        return missed_share(lit, background.used.reshape(background.shape), (background.allowed, live), limits, random)

    def shift(self, down_px: int, right_px: int, image: Image) -> None:
        """The scene has moved so far in the picture: what was used moves along, and what `image` shows newly is taken for used.

        The next commit must hand that to the network. The running reference stays: it is what the camera usually sees at each place.
        """
        if self._first is not None or (self._background is not None and self._background.frames):
            background = self._open()
            background.shift(down_px, right_px, checked(image, background))
            self._renew(background)

    def commit(self, change: ChangeMap, live: Mask, protect: Mask | None = None) -> None:
        """These pixels of the last measured frame were handed to the network; all of them where `full_reason` is set.

        The reference learns elsewhere, but not at `protect`: the pixels under defects.
        """
        pending = self._last(change)
        if self._background is None:
            self._first, self._pending = FirstFrame(pending.image, change.corrected.shape), None
            return
        background = self._open()
        scratch = background.scratch
        is_whole = change.full_reason is not None
        if is_whole or live is change.live:
            chosen, runs, count = pending.live, scratch.runs, pending.run_count
        else:
            chosen, runs, count = live, scratch.chosen_runs, self._fill(pending, live)
        self._kernels.take_used(pending.corrected, runs, count, background.channels, background.used)
        if is_whole:
            self._renew(background)
            if background.golden is None:
                background.restart_reference(pending.corrected)
        else:
            if not background.is_stale:
                self._refresh_tolerances(background, chosen, runs, count)
            if background.frames % POINTS_EVERY == 0:
                background.steady.choose(self._kernels, background.used, background.allowed)
                background.places.choose(self._kernels, background.used, background.allowed)
            self._learn(background, pending, protect)
        self._end(background)

    def pass_by(self, change: ChangeMap, protect: Mask | None = None) -> None:
        """Instead of `commit`: the next frame, after `go_back`, is compared with what this one was. Noise is learnt from it."""
        pending, background = self._last(change), self._open()
        self._renew_tolerances(background)
        if change.full_reason is None:
            self._learn(background, pending, protect)
        self._end(background)

    def go_back(self) -> None:
        """The next frame's light does not depend on the last one's: for who passes by each, and compares all with the same."""
        self._open().lamp.reset()

    def _end(self, background: Background) -> None:
        background.frames += 1
        self._pending = None

    def _open(self) -> Background:
        if self._first is not None:
            self._background, self._first = self._of_first(self._first), None
        if self._background is None:
            raise InputError("no frame was measured yet; call measure first")
        return self._background

    def _of_first(self, first: FirstFrame) -> Background:
        """What stands once the first frame was committed."""
        background = Background(self.settings, first.flat.reshape(first.shape))
        self._sample(background, first.flat, first.flat)
        background.bright_before = background.bright
        background.used = first.flat
        self._renew(background)
        background.frames = 1
        return background

    def _renew(self, background: Background) -> None:
        """All that follows from what is used, all of which is new."""
        background.is_stale = False
        self._set_tolerances(background, (0, background.shape[0]))
        background.steady.choose(self._kernels, background.used, background.allowed, CELLS[0])
        background.places.choose(self._kernels, background.used, background.allowed, CELLS[0])

    def _last(self, change: ChangeMap) -> _Pending:
        if self._pending is None or self._pending.change is not change:
            raise InputError("this change map is not the one last measured, or was committed already; commit each once, before the next")
        return self._pending

    def _sample(self, background: Background, flat: Image, used: Image) -> int:
        """Take a grid of pixels of the frame and of what was used into scratch. Raises BadFrame when hardly any shows anything."""
        scratch = background.scratch
        place = ((background.allowed, background.tables[1]), background.depth, background.channels, *grid_of(background))
        n, seen, dark, bright = self._kernels.gather(flat, used, *place, scratch.samples)
        refuse_blind(seen, (dark, bright), self.settings.blind_fraction)
        background.bright = bright / max(seen, 1)
        return int(n)

    def _refuse_alien(self, background: Background, found: int, image: Image) -> None:
        """Raises BadFrame where so much has changed, or so little is alike, that the frame does not show the golden picture's part."""
        share, limit = found / background.allowed_px, self.settings.golden_fraction
        try:
            if share > limit:
                raise BadFrame(
                    f"not the part of its template: {share:.0%} of the picture differs, the limit is {limit:.0%} (compare.golden_fraction)"
                    "; is it another product, or does it lie elsewhere? Teach its template, or put it right"
                )
            if background.likeness is not None and share > CLOSER_LOOK * limit:
                background.likeness.refuse_other(image, self.settings.golden_likeness)
        except BadFrame:
            background.scratch.weak[:] = 0
            background.lamp.reset()  # the next frame's light does not begin with what another part was taken for
            raise

    def _refuse_dazzled(self, background: Background) -> None:
        """Raises BadFrame while much of the picture has just become saturated: the camera's exposure is still catching up."""
        more = background.bright - background.bright_before
        if more > DAZZLED_SHARE and background.dazzled < DAZZLED_FRAMES:
            background.dazzled += 1
            limit = f"the limit is {DAZZLED_SHARE:.0%} for {DAZZLED_FRAMES} frames"
            raise BadFrame(f"{more:.0%} of the picture has just become saturated; {limit}; check exposure, gain and lamp")

    def _fit_light(self, background: Background, flat: Image) -> int:
        """Sample the frame and take up its light; returns how many samples there are by which its noise may be measured."""
        n = lit = self._sample(background, flat, background.used)
        if background.began_golden and background.bright < DIMMED * background.taught_bright:
            shape = (*background.shape[:2], background.channels)
            pair = flat.reshape(shape), background.used.reshape(shape)
            lit = with_white(pair, background.allowed, background.depth, grid_of(background), background.scratch.samples, n)
        if self.settings.photometric == "gain_offset" and lit >= LEAST_SAMPLES:
            background.lamp.fit(self._kernels, background.scratch.samples, lit, self.settings.photometric_relax)
        else:
            background.lamp.reset()
        return n

    def _steadied(self, background: Background, image: Image, flat: Image) -> tuple[Image, Image] | None:
        """The frame moved back, as it is and as (row, column x channel), where it or its places lie off; None where they do not."""
        if background.places.is_on:
            moved = background.places.moved(self._kernels, flat, background.used, background.lamp.light)
            return None if moved is None else (moved.reshape(image.shape), moved)
        shift = background.steady.shift(self._kernels, flat, background.used, background.lamp.light)
        if shift == (0, 0):
            return None
        flat = background.steady.moved(self._kernels, flat, shift)
        return flat.reshape(image.shape), flat

    def _limits(self, background: Background, flat: Image, n: int) -> tuple[int, int, int, int]:
        """This frame's (extra, cut, faint, least), as `find_weak` takes them. Measures its noise by its `n` samples."""
        settings, scratch, lamp = self.settings, background.scratch, background.lamp
        extra = 0
        if n >= LEAST_SAMPLES and settings.noise_sigma is None:
            counts = lamp.count(self._kernels, scratch.samples, n)
            extra = measure.excess_levels(counts, background.noise_counts) << background.level_shift
            background.learn_noise(counts, settings)
            if background.frames < CALIBRATION_FRAMES:
                self._set_tolerances(background, (0, background.shape[0]))
        if isinstance(settings.pixel_threshold, float | int):
            return 0, background.cut, 0, 0
        least = int(background.weak_table.min())
        return extra, background.cut, self._faint(background, flat) if settings.faint_sigmas else 0, least

    def _faint(self, background: Background, flat: Image) -> int:
        """How many tolerances, in 1/256, the sum over a window must exceed on this frame."""
        settings, scratch = self.settings, background.scratch
        values = measure.FAINT_WINDOW_PX * background.channels
        tolerance = max(1, int(background.weak_table.min())) / (1 << background.level_shift)
        least = measure.FAINT_LEAST_LEVELS * values / tolerance
        if settings.noise_sigma is not None:
            sigma = settings.noise_sigma * math.sqrt(2 * values) / tolerance
            return measure.faint_limit(sigma, settings.faint_sigmas, least)
        step = scratch.faint_step
        start = (background.frames * 11 % step, background.frames * 5 % step)
        frame = (flat, background.used, background.tolerance, background.lamp.light, background.cut, background.channels)
        self._kernels.count_faint(*frame, start, step, scratch.faint)
        if scratch.faint.sum() < LEAST_SAMPLES:
            return 0
        if scratch.faint[1:].any():
            background.faint_counts *= 1 - 1 / NOISE_MEMORY_FRAMES
            background.faint_counts += scratch.faint
        return measure.faint_limit(measure.faint_sigma(scratch.faint, background.faint_counts), settings.faint_sigmas, least)

    def _find(self, background: Background, flat: Image, limits: tuple[int, int, int, int]) -> int:
        scratch = background.scratch
        frame = (flat, background.used, background.tolerance, background.lamp.light, limits, background.channels, background.span)
        return int(self._kernels.find_weak(*frame, scratch.rows, scratch.weak, scratch.points))

    def _is_forced(self, background: Background, rows: slice | None) -> bool:
        """Whether all of the frame is live whatever it shows, and nothing else hangs on what it shows: then nothing is looked for."""
        is_all = rows is not None and rows.indices(background.shape[0])[:2] == (0, background.shape[0])
        return is_all and self.settings.global_fraction == 1.0 and not background.began_golden and not background.dazzled

    def _everything(self, background: Background) -> tuple[LiveMask, int]:
        """All that is allowed, live."""
        taken = background.pool.take()
        np.copyto(taken.mask, background.allowed, casting="unsafe")
        return taken, int(self._kernels.find_extents(*taken))

    def _grow(self, background: Background, flat: Image, extra: int, found: int, force_rows: slice | None) -> tuple[LiveMask, int]:
        """The weak pixels that hold: beside a seed, in a large enough group, widened; with what hold, confirm and force add or take."""
        kernels, scratch, settings = self._kernels, background.scratch, self.settings
        taken = background.pool.take()
        kernels.clear_live(*taken)
        limits = (round(256 / settings.hysteresis), settings.despeckle, settings.min_area, settings.grow_px)
        frame = (flat, background.used, background.tolerance, background.lamp.light, extra, background.channels)
        live_px = kernels.grow_live(*frame, limits, scratch.weak, scratch.points, found, scratch.queue, background.allowed, *taken)
        if settings.confirm_frames > 1:
            kernels.confirm_live(taken.mask, background.streak, settings.confirm_frames)
        if settings.hold_frames:
            kernels.hold_live(taken.mask, background.held, settings.hold_frames)
        if settings.confirm_frames > 1 or settings.hold_frames:
            live_px = kernels.find_extents(*taken)
        if settings.settle_frames:
            due = background.settle.due(kernels, scratch.runs, int(kernels.find_runs(*taken, scratch.runs)))
            if due is not None:
                usual = float(background.noise.mean()) * (1 << background.level_shift)
                due = background.settle.worth(kernels, (*frame[:2], background.lamp.light), background.channels, usual, due)
                live_px += kernels.force_tiles(background.allowed, due, TILE_PX, *taken)
        if force_rows is not None:
            start, stop, _ = force_rows.indices(background.shape[0])
            live_px += kernels.force_live(background.allowed, start, stop, *taken)
        return taken, int(live_px)

    def _partial(self, background: Background, image: Image, flat: Image, taken: LiveMask, live_px: int) -> ChangeMap:
        scratch, lamp = background.scratch, background.lamp
        count = self._kernels.find_runs(*taken, scratch.runs)
        corrected = flat
        if not lamp.is_identity:
            corrected = read_only(background.corrected)
            self._kernels.correct_runs(flat, lamp.light, scratch.runs, count, background.channels, background.corrected)
        change = ChangeMap(
            live=read_only(taken.mask),
            foreground=self._foreground(background, image, flat, taken, count),
            fraction=live_px / taken.mask.size,
            gain=lamp.gain,
            offset=lamp.offset,
            scene=scene_of(background, Scene.NORMAL),
            corrected=read_only(corrected.reshape(image.shape)),
            golden=background.golden.picture if background.golden is not None else None,
        )
        self._pending = _Pending(change, flat, corrected, taken.mask, count)
        return change

    def _whole(self, background: Background, image: Image, flat: Image, scene: Scene, reason: str) -> ChangeMap:
        """Every pixel live, uncorrected: this frame is what later ones are brought to."""
        height, width = background.shape[:2]
        live = np.ones((height, width), np.bool_)
        background.scratch.runs[:height] = [(row, 0, width) for row in range(height)]
        background.lamp.reset()
        background.dazzled, background.bright_before = 0, background.bright
        background.raw_foreground[:] = 0
        foreground = background.foreground.clear()
        golden = None
        if background.golden is not None:
            background.golden.is_aligned = False  # so that all of the frame is judged
            taken = LiveMask(live, np.zeros(height, np.int32), np.full(height, width, np.int32))
            foreground = self._foreground(background, image, flat, taken, 0)
            golden, scene = background.golden.picture, scene_of(background, scene)
        corrected = read_only(flat.reshape(image.shape))
        change = ChangeMap(read_only(live), foreground, 1.0, 1.0, 0.0, scene, corrected, reason, golden)
        self._pending = _Pending(change, flat, flat, live, height)
        return change

    def _foreground(self, background: Background, image: Image, flat: Image, taken: LiveMask, count: int) -> Mask:
        """Judge anew the pixels that moved and the band that is due; elsewhere the last answer stands, because the picture does."""
        raw, band, channels, scratch = background.raw_foreground, background.band(), background.channels, background.scratch
        if background.golden is None:
            against = (background.lamp.light, (background.finer, background.mean, background.spread), self._bounds, background.allowed)
            self._kernels.judge_runs(flat, *against, scratch.runs, count, channels, scratch.flags, raw)
            self._kernels.judge_band(flat, *against, band, channels, scratch.flags, raw)
        elif not self.has_foreground:
            background.golden.align(image)
            return background.foreground.shown
        else:
            band = self._judge_golden(background.golden, background, image, flat, count)
        shown = background.foreground
        has_changed = self._kernels.despeckle(raw, taken.first, taken.last, band, self.settings.despeckle, shown.mask, shown.editions)
        return shown.copy() if has_changed else shown.shown

    def _judge_golden(self, golden: GoldenView, background: Background, image: Image, flat: Image, count: int) -> tuple[int, int]:
        """Judge against the golden picture; returns the rows that were judged whole. A part that is not found has no foreground."""
        scratch, height = background.scratch, background.shape[0]
        is_anew = golden.align(image)
        if not golden.is_aligned:
            background.raw_foreground[:] = 0
            return 0, height
        golden.fit(self._kernels, flat, background.tables[1], scratch.samples, grid_of(background))
        band = (0, height) if is_anew else background.band()
        golden.judge_runs(self._kernels, flat, (scratch.runs, count), scratch.flags, background.raw_foreground)
        golden.judge_band(self._kernels, flat, band, scratch.flags, background.raw_foreground)
        return band

    def _fill(self, pending: _Pending, live: Mask) -> int:
        """List the runs of `live`, which goes beyond or stays below what was measured, and make the corrected frame valid there."""
        background = self._open()
        scratch = background.scratch
        if live.shape != background.shape[:2] or live.dtype != np.bool_:
            raise InputError(f"live is {live.dtype} {live.shape}; it must be bool {background.shape[:2]}, as change.live")
        extents = LiveMask(np.ascontiguousarray(live), scratch.first, scratch.last)
        self._kernels.find_extents(*extents)
        count = int(self._kernels.find_runs(*extents, scratch.chosen_runs))
        if pending.corrected is not pending.image:
            background.lamp.extend(self._kernels)
            self._kernels.correct_runs(
                pending.image, background.lamp.light, scratch.chosen_runs, count, background.channels, background.corrected
            )
        return count

    def _learn(self, background: Background, pending: _Pending, protect: Mask | None) -> None:
        masks = (pending.live, background.scratch.none if protect is None else protect, background.allowed)
        light, rows = background.lamp.light, background.band()
        if background.golden is None:
            state = (background.scratch.flags, background.mean, background.spread)
            self._kernels.learn_rows(pending.image, light, background.finer, masks, rows, background.channels, self._rate, *state)
        if background.frames % EVERY == 0:
            background.restless.learn(self._kernels, (pending.image, background.used, light), masks, rows)
            self._set_tolerances(background, rows)

    def _refresh_tolerances(self, background: Background, live: Mask, runs: NDArray[np.int32], count: int) -> None:
        """Around what was committed, and where they are due anyway."""
        place = (background.allowed, live, runs, count, background.scratch.steep, background.tolerance)
        self._kernels.refresh_tolerances(background.used, background.channels, *self._rules(background), *place)
        self._renew_tolerances(background)

    def _renew_tolerances(self, background: Background) -> None:
        """In the band that is due, while the noise tables have just moved."""
        if background.stale_bands:
            background.stale_bands -= 1
            self._set_tolerances(background, background.band())

    def _set_tolerances(self, background: Background, rows: tuple[int, int]) -> None:
        place = (background.allowed, rows, background.scratch.steep, background.tolerance)
        self._kernels.set_tolerances(background.used, background.channels, *self._rules(background), *place)

    def _rules(self, background: Background) -> tuple[Any, ...]:
        return background.tables, background.restless.own, self._vibration_q8


def grid_of(background: Background) -> tuple[tuple[int, int], tuple[int, int]]:
    """The first row and column of this frame's samples, another on each frame, and the steps to the next ones."""
    down, across = background.scratch.steps
    return (background.frames * 7 % down, background.frames * 13 % across), (down, across)


def scene_of(background: Background, otherwise: Scene) -> Scene:
    """Misaligned where the part does not lie where it may, which is NOT_INSPECTED, whatever else the frame shows."""
    return Scene.MISALIGNED if background.golden is not None and not background.golden.is_aligned else otherwise
