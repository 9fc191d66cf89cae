"""`edgevision evaluate RECIPE DATA`: a recipe on a public set or on own pictures, by the set's own protocol. START READING HERE.

In: a recipe, a folder in one of its layouts, perhaps other weights. Out: how good (against the truth), how fast (against the same network
whole in OpenVINO, in turn with ours in the same run) and whether selective and dense verdicts agree. Each picture goes through the recipe's
own Pipeline as the one camera of its sample.yaml; a Case's template is taught first; where a group begins, the scene is forgotten, and
for a recipe that compares with a golden reference a set that is ordered in time teaches it anew, from the group's first pictures.

As a camera would, what is busy runs whole in OpenVINO where that is faster (`recompute.foreign`); the report says how many pictures did.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgevision.compare.align import Limits
from edgevision.compare.golden import learn
from edgevision.config import CameraConfig, Config, builtin_registry
from edgevision.errors import BadFrame, ConfigError, InputError, Unavailable
from edgevision.pipeline import Pipeline
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.graph import read_graph, read_metadata
from edgevision.records import Frame, Image, Inspection, Region, Verdict
from edgevision.registry import Registry
from edgevision.segment.settings import SegmentSettings
from edgevision.stages import facts_of
from edgevision.study import growth
from edgevision.study.dense_answer import DenseAnswer
from edgevision.study.evaluate_page import Album, page_of
from edgevision.study.growth import courses, is_near
from edgevision.study.lights import LIGHTS, in_light
from edgevision.study.memory_growth import growth_mb
from edgevision.study.ranking import Ranker, Reading, marked
from edgevision.study.recipe import Recipe, find_recipe, refuse_other_recipe
from edgevision.study.report import check_page, write_whole
from edgevision.study.scores import MaskTally, auroc, average_precisions, best_f_score, f_score_at
from edgevision.study.sets import Case, layout_of, open_set
from edgevision.study.waiting import counting_bar

SIZES_KEPT = 4  # pipelines of other picture sizes are dropped, the longest unused first
MEMORY_FRAMES = 3
SETTLING_FRAMES = 12
TAUGHT_PICTURES = 6  # of a group, for its golden reference
TOLD_REASONS = 3
LEAST_DOUBTED = 3  # pictures of a kind, before anything is said against their truth
EXCHANGED_AUROC = 0.3


@dataclass(frozen=True, slots=True)
class EvaluateTask:
    """What is asked for. `groups`: only these of the set, () for all; `frames`: at most so many pictures;
    `has_lights`: in other lights, too."""

    recipe: str
    data: Path
    weights: Path | None = None
    groups: tuple[str, ...] = ()
    frames: int | None = None
    out: Path | None = None
    has_memory: bool = True
    has_lights: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came out for one Case. `inspection` is selective; `dense` the verdict of the whole network on the raw frame."""

    case: Case
    inspection: Inspection
    reading: Reading | None
    dense: Verdict
    dense_regions: tuple[Region, ...] = ()
    dense_ms: float | None = None


@dataclass(slots=True)
class Stand:
    """What inspects pictures of one size."""

    pipeline: Pipeline
    ranker: Ranker
    dense: DenseAnswer
    scene: str = ""


@dataclass(slots=True)
class Results:
    """All answers in order, and masks added up as they came, so that no map is kept."""

    answers: list[Answer] = field(default_factory=list)
    masks: MaskTally = field(default_factory=MaskTally)
    has_masks: bool = False
    precision: str = ""

    def add(self, answer: Answer, precision: str, settings: CameraConfig) -> None:
        """Enter the next one; its map is added up and let go."""
        self.precision = precision
        reading = answer.reading
        if reading is not None and reading.heat is not None:
            truth = answer.case.true_mask()
            if truth is not None:
                self.has_masks = True
                told = answer.inspection.regions
                if settings.judge.min_foreground or settings.judge.zones:  # there a region may be right and still no defect
                    told = tuple(defect.region for defect in answer.inspection.defects)
                self.masks.add(marked(reading.heat, told, settings.segment.low_threshold), truth)
            answer = replace(answer, reading=replace(reading, heat=None))
        self.answers.append(answer)


def evaluate(task: EvaluateTask, is_quiet: bool = False) -> dict[str, Any]:
    """The report, with `text` for a person; a page with hits, misses and false alarms where one is asked for.

    Raises InputError, ConfigError or UnsupportedNetwork, one line, before anything runs.
    """
    recipe = find_recipe(task.recipe)
    layout, cases = open_set(task.data, recipe.card.sets, f"; or name the recipe that is made for it{_other(recipe)}")
    cases = _chosen(cases, task)
    camera, settings, registry = camera_of(recipe, task.weights)
    is_ordered = layout_of(layout).IS_ORDERED
    needs_template = settings.recompute.template != "none" or (settings.compare.reference == "golden" and not is_ordered)
    if needs_template and (bare := next((case for case in cases if case.template is None), None)):
        raise InputError(
            f"{task.data}: {bare.name} has no template, and recipe {recipe.card.name} compares with one; put a picture of a part without "
            "defects beside good/ and bad/ as template.png"
        )
    results, shown = Results(), Album()
    if task.out is not None:
        check_page(task.out)
    line = Line(camera, settings, registry, recipe.card.rank_threshold, is_ordered)
    try:
        with counting_bar(is_quiet) as bar:
            row = bar.add_task(f"{recipe.card.name}: {layout}", total=len(cases))
            for answer, image in answers(cases, line, results):
                if task.out is not None:
                    shown.add(answer.case, answer.inspection, image)
                bar.advance(row)
    except BadFrame as error:
        raise InputError(f"{error}, or take it out of {task.data}") from error
    report: dict[str, Any] = {"recipe": recipe.card.name, "data": str(task.data), "layout": layout}
    report["weights"] = str(task.weights or recipe.network)
    report |= measures(results, layout_of(layout).IOU, settings)
    report |= costs(results)
    report["doubts"] = doubts_of(report, needs_template)
    grown = courses(results.answers) if line.is_ordered else ()
    report |= growth.figures(grown) if grown else {}
    if task.has_lights:
        report["lights"] = in_lights(cases, line, is_quiet)
        report["light_drop"] = shares(report)["recall"] - min(found["recall"] for found in report["lights"].values())
    report["memory_mb"] = _memory_mb(task, cases) if task.has_memory else None
    text = text_of(report)
    if task.out is not None:
        write_whole(task.out, page_of(report, shown, growth.plots(grown)))
        text = f"{text}\nwith pictures: {task.out}"
    return {**report, "text": text}


def camera_of(recipe: Recipe, weights: Path | None = None) -> tuple[str, CameraConfig, Registry]:
    """The one camera of the recipe's sample.yaml, with other weights where they are given."""
    registry = builtin_registry()
    config: Config = recipe.config(registry)
    if len(config.cameras) != 1:
        raise ConfigError(f"{recipe.folder}: its sample.yaml has {len(config.cameras)} cameras; a recipe has one")
    name, camera = next(iter(config.cameras.items()))
    changes: dict[str, Any] = {}
    if weights is not None:
        if not weights.is_file():
            raise InputError(f"{weights}: no such file; give the .onnx or .xml that `edgevision train --recipe` wrote")
        read_graph(weights)
        refuse_other_recipe(weights, recipe)
        changes["network"] = weights
        camera = camera.model_copy(update={"segment": segment_of(weights, camera.segment)})
    return name, camera.model_copy(update={"recompute": camera.recompute.model_copy(update=changes)}), registry


def segment_of(weights: Path, settings: SegmentSettings) -> SegmentSettings:
    """The recipe's settings, but for what the file's metadata says under `segment` (JSON): weights may answer in boxes, not in a map.

    Raises InputError for metadata that makes no sense.
    """
    said = read_metadata(weights).get("segment")
    if said is None:
        return settings
    try:
        return SegmentSettings.model_validate({**settings.model_dump(), **json.loads(said)})
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{weights}: its metadata's segment is {said!r}; it must be settings of `segment:` as JSON; train it again"
        ) from error


@dataclass(frozen=True, slots=True)
class Line:
    """What a Stand is built of."""

    camera: str
    settings: CameraConfig
    registry: Registry
    rank_threshold: float
    is_ordered: bool = False

    @property
    def is_taught(self) -> bool:
        """Whether each group begins by teaching the golden reference."""
        return self.is_ordered and self.settings.compare.reference == "golden"

    def stand(self, image: Image, golden: Path | None = None) -> Stand:
        """For pictures of this one's size, beside that golden reference; compiled, and shown nothing yet."""
        settings = self.settings
        if golden is not None:
            settings = settings.model_copy(update={"compare": settings.compare.model_copy(update={"golden": golden})})
        config = Config.model_construct(cameras={self.camera: settings})
        pipeline = Pipeline.from_config(config, self.camera, self.registry)
        pipeline.prepare(image)
        if pipeline.network is None:
            raise InputError("the network could not be made ready")
        facts = facts_of(pipeline.network, *pipeline.size_px)
        ranker = Ranker(self.settings.segment, pipeline.size_px, facts, self.rank_threshold)
        return Stand(pipeline, ranker, DenseAnswer(pipeline, self.registry))


def answers(
    cases: tuple[Case, ...], line: Line, results: Results, taught_by: tuple[Case, ...] | None = None
) -> Iterator[tuple[Answer, Image]]:
    """Each Case's answer, entered in `results`, and its picture. References are taught by others, if given: those of the same groups."""
    stands: OrderedDict[tuple[int, ...], Stand] = OrderedDict()
    with tempfile.TemporaryDirectory() as folder:
        group = ""
        for number, case in enumerate(cases):
            image = case.image()
            if line.is_taught and case.group != group:
                group = case.group
                stands.clear()
                taught = reference_of(
                    [one for one in taught_by or cases if one.group == group], line.settings, Path(folder) / f"{number}.npz"
                )
                stands[image.shape] = line.stand(image, taught)
            if image.shape not in stands:
                golden = case.template if line.settings.compare.reference == "golden" else None
                if golden is not None:
                    refuse_other_size(case, image)
                stands[image.shape] = line.stand(image, golden)
                if len(stands) > SIZES_KEPT:
                    stands.popitem(last=False)
                if not line.is_ordered:
                    settle(stands[image.shape], case, image, audited_before(number, line.settings.recompute.audit_every_s))
            stands.move_to_end(image.shape)
            stand = stands[image.shape]
            begin(stand, case)
            answer = answer_of(stand, case, Frame(image, float(number), number))
            results.add(answer, stand.dense.precision, line.settings)
            yield answer, image


def in_lights(cases: tuple[Case, ...], line: Line, is_quiet: bool) -> dict[str, Any]:
    """By light: the share of bad pictures that are found, the share of good ones that are alarmed, how many were not inspected."""
    report: dict[str, Any] = {}
    with counting_bar(is_quiet) as bar:
        row = bar.add_task("in other lights", total=len(cases) * len(LIGHTS))
        for light in LIGHTS:
            results = Results()
            for _ in answers(in_light(cases, light), line, results, cases):
                bar.advance(row)
            report[light] = shares(_pictures(results.answers))
    return report


def shares(counts: Mapping[str, Any]) -> dict[str, float]:
    """Of the bad pictures found and of the good ones alarmed; and how many were not inspected."""
    found, alarmed = counts["bad_found"] / max(counts["bad"], 1), counts["good_alarmed"] / max(counts["good"], 1)
    return {"recall": found, "false_alarms": alarmed, "not_inspected": counts["not_inspected"]}


def reference_of(cases: list[Case], settings: CameraConfig, path: Path) -> Path:
    """The golden reference that a group's first pictures teach. Raises InputError where one of them shows a defect already."""
    first = cases[:TAUGHT_PICTURES]
    if bad := next((case for case in first if case.is_bad), None):
        raise InputError(f"{bad.name}: shows a defect, and is among the first {TAUGHT_PICTURES}, from which {bad.group} is taught")
    limits = Limits(settings.compare.align_px, settings.compare.align_degrees)
    learn((case.image() for case in first), limits).save(path)
    return path


def begin(stand: Stand, case: Case) -> None:
    """Make ready for a Case: its template is taught; else a new scene, which is a new group where the set does not tell."""
    template = case.template_image()
    if template is not None and stand.pipeline.settings.recompute.template != "none":
        stand.pipeline.teach(template)
    elif stand.scene != (case.scene or case.group):
        stand.pipeline.reset()
        stand.scene = case.scene or case.group


def refuse_other_size(case: Case, image: Image) -> None:
    """Raises InputError for a template that is not of its picture's size; one that cannot be read is left to whoever takes it up."""
    try:
        template = case.template_image()
    except BadFrame:
        return
    if template is not None and template.shape[:2] != image.shape[:2]:
        ours, wanted = (f"{width}x{height}" for height, width in (template.shape[:2], image.shape[:2]))
        raise InputError(f"{case.template}: is {ours}, its picture {case.picture} {wanted}; put one of its size in its place")


def audited_before(number: int, every_s: float) -> float:
    """When, before the picture of this number, a camera of one picture a second is audited by a whole run.

    A stand that is new, for a size that was not seen yet, is as late for its next one as a camera that saw them all: else each is audited.
    """
    return max(0.0, (number - 1) // every_s * every_s) if every_s else float(number)


def settle(stand: Stand, case: Case, image: Image, ts: float) -> None:
    """Show a picture, at this time, until it is settled how such pictures are run, as it is after a camera's first ones. Forgets what
    was shown.

    Only where all of each is run there is a choice.
    """
    for number in range(SETTLING_FRAMES):
        begin(stand, case)
        mode = stand.pipeline.inspect(Frame(image, ts, number)).mode
        stand.pipeline.reset()
        if mode not in ("full", "foreign"):
            break
        if isinstance(stand.pipeline.network, SelectiveNetwork):
            stand.pipeline.network.wait()
    stand.scene = ""


def answer_of(stand: Stand, case: Case, frame: Frame) -> Answer:
    """Selective first, then the whole network in OpenVINO on the raw frame."""
    inspection = stand.pipeline.inspect(frame)
    if inspection.mode == "none":
        return Answer(case, inspection, None, inspection.verdict)
    reading = stand.ranker.read(stand.pipeline.outputs)
    verdict, regions, elapsed_ms = stand.dense.inspect(frame, stand.pipeline.shown(frame.image), stand.pipeline.change_on(frame))
    return Answer(case, inspection, reading, verdict, regions, elapsed_ms)


def measures(results: Results, iou: float, settings: CameraConfig) -> dict[str, Any]:
    """How good: those that the set's truth allows. A picture that was not inspected ranks as if nothing were on it, and is counted."""
    told = results.answers
    report: dict[str, Any] = {}
    if all(answer.case.boxes is not None for answer in told):
        found = [answer.reading.boxes if answer.reading else () for answer in told]
        truth = [answer.case.boxes or () for answer in told]
        classes = average_precisions(found, truth, iou)
        if classes:
            halves = classes if iou == 0.5 else average_precisions(found, truth, 0.5)
            report |= {"map": _mean(classes), "map50": _mean(halves), "iou_of_a_hit": iou, "classes": classes}
            shipped = f_score_at(found, truth, iou, settings.judge.warn)
            best = best_f_score(found, truth, iou)
            report |= {"f_score": shipped.f_score, "precision_of_boxes": shipped.precision, "recall_of_boxes": shipped.recall}
            report |= {"f_score_best": best.f_score, "f_score_best_threshold": best.threshold}
    scores = {is_bad: [_score(answer) for answer in told if answer.case.is_bad is is_bad] for is_bad in (False, True)}
    report["image_auroc"] = auroc(scores[False], scores[True])
    if results.has_masks:
        report["iou"] = results.masks.iou
    report |= _pictures(told)
    return {key: value for key, value in report.items() if value is not None}


def doubts_of(report: Mapping[str, Any], has_template: bool) -> list[str]:
    """What the figures say against the truth that was given, rather than against the recipe; [] as a rule."""
    found = []
    if min(report["good"], report["bad"]) >= LEAST_DOUBTED and report["image_auroc"] < EXCHANGED_AUROC:
        found.append(f"good ones look worse than bad ones (AUROC {report['image_auroc']:.2f}): were they exchanged?")
    if has_template and report["good"] >= LEAST_DOUBTED and report["good_alarmed"] == report["good"]:
        found.append("not one good one passes: is the template of another part, or does it show a defect?")
    return found


def _pictures(told: list[Answer]) -> dict[str, Any]:
    """Verdicts of pictures: how many bad ones were said to be, how many good ones too, what was not inspected."""
    alarms = (Verdict.NG, Verdict.WARN)
    bad = [answer for answer in told if answer.case.is_bad]
    good = [answer for answer in told if not answer.case.is_bad]
    reasons = Counter(str(a.inspection.reason) for a in told if a.inspection.verdict is Verdict.NOT_INSPECTED)
    return {
        "bad": len(bad),
        "bad_found": sum(_is_found(answer) for answer in bad),
        "good": len(good),
        "good_alarmed": sum(answer.inspection.verdict in alarms and bool(answer.inspection.defects) for answer in good),
        "verdicts": dict(Counter(answer.inspection.verdict.value for answer in told)),
        "not_inspected": sum(reasons.values()),
        "reasons": [reason for reason, _ in reasons.most_common(TOLD_REASONS)],
    }


def costs(results: Results) -> dict[str, Any]:
    """How fast: ours with the change map, decoding and judging in it; OpenVINO's inference alone."""
    inspected = [answer for answer in results.answers if answer.inspection.mode != "none"]
    total = np.array([answer.inspection.timing_ms["total"] for answer in inspected] or [np.nan])
    network = np.array([answer.inspection.timing_ms["recompute"] for answer in inspected] or [np.nan])
    dense = np.array([answer.dense_ms for answer in inspected if answer.dense_ms is not None] or [np.nan])
    live = np.array([answer.inspection.live_fraction for answer in inspected] or [np.nan])
    selective_ms, dense_ms = float(np.median(total)), float(np.median(dense))
    figures = {
        "selective_ms_mean": float(total.mean()),
        "selective_ms_p50": selective_ms,
        "selective_ms_p99": float(np.percentile(total, 99)),
        "network_ms_p50": float(np.median(network)),
        "dense_ms_p50": dense_ms,
        "times_faster": dense_ms / selective_ms,
        "live_fraction_median": float(np.median(live)),
    }
    return {
        "frames": len(results.answers),
        **{name: None if np.isnan(value) else value for name, value in figures.items()},  # where nothing was inspected
        "whole_in_openvino": sum(answer.inspection.mode == "foreign" for answer in inspected),
        "verdict_differences": sum(answer.inspection.verdict is not answer.dense for answer in results.answers),
        "precision": results.precision,
    }


def text_of(report: dict[str, Any]) -> str:
    """As a person reads it."""
    said = ", ".join(f"{count} {name}" for name, count in report["verdicts"].items())
    names = ("map", "map50", "f_score", "f_score_best", "image_auroc", "iou")
    lines = [
        f"{report['recipe']} on {report['data']} ({report['layout']}): {report['frames']} pictures: {said}",
        f"bad ones found {report['bad_found']} of {report['bad']}, good ones alarmed {report['good_alarmed']} of {report['good']}",
        "  ".join(f"{name} {report[name]:.3f}" for name in names if name in report),
    ]
    lines += growth.lines(report) if "courses" in report else []
    lines += [f"  {label:<16} average precision {value:.3f}" for label, value in report.get("classes", {}).items()]
    lines += [f"not inspected: {reason}" for reason in report["reasons"]]
    lines += [f"doubtful: {doubt}" for doubt in report["doubts"]]
    lines.append(speed_of(report))
    lines.append(f"verdicts other than the whole network's: {report['verdict_differences']} of {report['frames']}")
    for light, told in report.get("lights", {}).items():
        blind = f", not inspected {told['not_inspected']}" if told["not_inspected"] else ""
        lines.append(f"  light {light:<14} found {told['recall']:.1%}, good ones alarmed {told['false_alarms']:.1%}{blind}")
    if report.get("memory_mb") is not None:
        lines.append(f"memory {report['memory_mb']:.0f} MB")
    return "\n".join(lines)


def speed_of(report: dict[str, Any]) -> str:
    """The line that says how fast it was."""
    if report["times_faster"] is None:
        return "nothing was inspected, so nothing is known of its speed"
    speed = f"{report['selective_ms_p50']:.1f} ms a picture (p50) against {report['dense_ms_p50']:.1f} in OpenVINO ({report['precision']})"
    whole = f"; {report['whole_in_openvino']} ran whole in OpenVINO, as that is faster" if report["whole_in_openvino"] else ""
    return f"{speed}: {report['times_faster']:.1f}x; live {report['live_fraction_median']:.1%} (median){whole}"


def _mean(classes: dict[str, float]) -> float:
    return float(np.mean(list(classes.values())))


def _score(answer: Answer) -> float:
    return answer.reading.score if answer.reading is not None else 0.0


def _is_found(answer: Answer) -> bool:
    """Whether a defect was reported, and where the set says where: at one of its boxes."""
    boxes = answer.case.boxes
    defects = answer.inspection.defects
    return bool(defects) if boxes is None else any(is_near(defect, [box.box_px for box in boxes]) for defect in defects)


def _chosen(cases: tuple[Case, ...], task: EvaluateTask) -> tuple[Case, ...]:
    known = tuple(dict.fromkeys(case.group for case in cases))
    unknown = [group for group in task.groups if group not in known]
    if unknown:
        raise InputError(f"{task.data}: has no group {unknown[0]!r}; its groups are {', '.join(known)}")
    kept = tuple(case for case in cases if not task.groups or case.group in task.groups)
    return kept[: task.frames]


def _other(recipe: Recipe) -> str:
    return f" instead of {recipe.card.name}"


def _memory_mb(task: EvaluateTask, cases: tuple[Case, ...]) -> float | None:
    """Of the selective camera alone, in a process of its own, on the first pictures of one size; None where that cannot be measured."""
    try:
        return growth_mb(run_camera, task.recipe, task.weights, cases[:MEMORY_FRAMES])
    except Unavailable:
        return None


def run_camera(name: str, weights: Path | None, cases: tuple[Case, ...]) -> None:
    """What `memory_mb` measures: load the recipe's camera and show it a few pictures."""
    camera, settings, registry = camera_of(find_recipe(name), weights)
    golden = next((case.template or case.picture for case in cases), None)
    if settings.compare.reference == "golden" and golden is not None:
        settings = settings.model_copy(update={"compare": settings.compare.model_copy(update={"golden": golden})})
    pipeline = Pipeline.from_config(Config.model_construct(cameras={camera: settings}), camera, registry)
    for number, case in enumerate(cases):
        try:
            pipeline.inspect(Frame(case.image(), float(number), number))
        except BadFrame:
            continue
