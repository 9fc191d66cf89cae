"""What one camera's worker is put together from, in its own process. In: an Order. Out: a Setup. Keeps nothing.

The supervisor imports none of this: it needs no network, and starts in a fraction of the time and the memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgevision.capture.camera import Camera
from edgevision.capture.feed import Feed
from edgevision.capture.parts import PartRequest
from edgevision.compare.adjust import Adjuster
from edgevision.compare.encoder import Encoder
from edgevision.config import CameraConfig, Config, builtin_registry, load
from edgevision.daemon.build_rollout import Before, Stand, build_rollout, with_candidate
from edgevision.daemon.messages import Composer, speaker
from edgevision.daemon.scene_watch import SceneWatch
from edgevision.daemon.shift_watch import ShiftWatch
from edgevision.daemon.sinks import SinkRunner
from edgevision.daemon.talk import Order
from edgevision.daemon.worker import Setup
from edgevision.errors import EdgevisionError, UnsupportedNetwork
from edgevision.pipeline import Pipeline
from edgevision.publish.payload import Identity
from edgevision.publish.pictures import Pictures
from edgevision.publish.topics import Topics
from edgevision.recompute.arguments import Progress
from edgevision.recompute.load import check_network, network_path
from edgevision.registry import Registry
from edgevision.stages import sees_alike

log = logging.getLogger("edgevision")

MAX_NETWORK_BYTES = 4_000_000_000
USUAL_SIZE_PX = (720, 1280)  # (height, width), for the warm-up of a camera that tells its size with its first frame only
FED = frozenset({"source", "trigger", "capture"})
JUDGED = frozenset({"judge", "rules", "compare"})


@dataclass(frozen=True)
class Site:
    """What a Setup is built for: the camera, the run of the service, and who is told of parts, counts and comparisons."""

    camera: str
    boot_id: str
    on_part: Callable[[PartRequest], None]
    count: Callable[[str], None]
    progress: Progress | None = None
    compared: Callable[[str], None] = lambda result: None


def build_setup(site: Site, order: Order, old: Setup | None = None) -> Setup:
    """The camera's Setup by this order, loaded and compiled; of `old` goes on what is configured as before.

    Raises ConfigError or UnsupportedNetwork.
    """
    registry = builtin_registry()
    config = load(order.written, registry=registry)
    name, camera = site.camera, config.cameras[site.camera]
    identity = identity_of(config, name, site.boot_id, order)
    _refuse_huge(network_path(camera.recompute))
    check_network(camera.recompute)  # a file that is no network is found now, not with the first frame
    before = None if old is None else old.pipeline.settings
    files = order.files.get(name, "")
    has_same_files = old is not None and old.files == files
    is_plugin = registry.origin("source", camera.source.type) is not None
    keeps_feed = before is not None and _is_same(camera, before, FED) and (has_same_files or not is_plugin)
    feed = old.feed if old is not None and keeps_feed else open_feed(config, name, registry, site.on_part)
    keeps_sight = before is not None and has_same_files and sees_alike(camera, before)
    if old is not None and before is not None and keeps_feed and keeps_sight and _is_same(camera, before, JUDGED):
        pipeline = old.pipeline
    else:
        pipeline = Pipeline.from_config(config, name, registry)
        if not keeps_sight:
            _make_ready(pipeline, config, registry, site, old.pipeline.size_px if old is not None and keeps_feed else (0, 0))
    keeps_sinks = has_same_files and before is not None and _is_same(camera, before, frozenset({"sinks"}))
    sinks = old.sinks if old is not None and keeps_sinks else _sinks(camera, name, registry, site.count)
    scene = old.scene if old is not None and keeps_feed else _scene(camera, name, order)
    pictures = None if old is None else old.pictures
    if pictures is None or pictures.settings != camera.pictures:
        pictures = Pictures(order.node.state_dir / "pictures" / name, camera.pictures, count=site.count, tell=_tell)
    composer = Composer(Topics(order.base, order.node.id), identity)
    encoder = (
        old.encoder if old is not None and before is not None and before.compare.encoder == camera.compare.encoder else _encoder(camera)
    )
    keeps_adjuster = keeps_feed and before is not None and before.compare.adjust == camera.compare.adjust
    adjuster = old.adjuster if old is not None and keeps_adjuster else Adjuster(camera.compare.adjust, camera.compare.pixel_threshold)
    keeps_shift = keeps_feed and before is not None and before.recompute.shift == camera.recompute.shift and keeps_sight
    shift = old.shift if old is not None and keeps_shift else ShiftWatch.of(_path_of("shift", camera, name, order, "json"), camera)
    stand = Stand(name, site.boot_id, site.compared)
    known = None if old is None or before is None else Before(old.rollout, before, has_same_files)
    rollout = build_rollout(config, stand, order, registry, known)
    if rollout is not None:
        composer = replace(composer, candidate=identity_of(with_candidate(config, name), name, site.boot_id, order))
    return Setup(feed, pipeline, composer, sinks, pictures, scene, encoder, adjuster, shift, rollout, files)


def _refuse_huge(network: Path) -> None:
    """A file is read into memory whole, several times over: what cannot be a network of ours is not read at all."""
    for path in (network, network.with_suffix(".bin")):
        if path.is_file() and path.stat().st_size > MAX_NETWORK_BYTES:
            limit = f"the limit is {MAX_NETWORK_BYTES}"
            raise UnsupportedNetwork(f"{path}: {path.stat().st_size} bytes; {limit}; is this the right file?")


def _is_same(one: CameraConfig, other: CameraConfig, parts: frozenset[str]) -> bool:
    first, second = (camera.model_dump(mode="json", include=set(parts)) for camera in (one, other))
    return first == second


def _make_ready(pipeline: Pipeline, config: Config, registry: Registry, site: Site, size_px: tuple[int, int]) -> None:
    """Load and compile what the camera will need, so that no part waits for it.

    Where the frames' size is not known yet it is guessed, on a pipeline that is thrown away.
    """
    if all(size_px):
        pipeline.prepare(np.zeros((*size_px, 3), np.uint8), site.progress)
        return
    settings = pipeline.settings.source.settings
    height, width = (getattr(settings, side, None) or usual for side, usual in zip(("height", "width"), USUAL_SIZE_PX, strict=True))
    with contextlib.suppress(EdgevisionError):  # what is wrong with the real size is told with the first frame
        trial = Pipeline.from_config(config, pipeline.camera, registry)
        trial.prepare(np.zeros((height, width, 3), np.uint8), site.progress)


def identity_of(config: Config, camera: str, boot_id: str = "", order: Order | None = None) -> Identity:
    """Who speaks in a camera's messages, its model included. Under an order, node and fingerprint are those in force."""
    model = network_path(config.cameras[camera].recompute)
    identity = replace(
        speaker(config, boot_id, camera),
        model_name=model.name,
        model_sha256=hashlib.sha256(model.read_bytes()).hexdigest() if model.is_file() else None,
    )
    return identity if order is None else replace(identity, node=order.node.id, config_sha256=order.config_sha256)


def open_feed(config: Config, name: str, registry: Registry, on_part: Callable[[PartRequest], None] = lambda request: None) -> Feed:
    """One camera and its trigger, not opened yet."""
    settings = config.cameras[name]
    source = settings.source
    camera = Camera(name, source.type, source.settings or {}, settings.capture, registry.origin("source", source.type))
    return Feed(camera, settings.trigger, on_part=on_part)


def _encoder(camera: CameraConfig) -> Encoder | None:
    return None if camera.compare.encoder.px_per_count is None else Encoder(camera.compare.encoder)


def _scene(camera: CameraConfig, name: str, order: Order) -> SceneWatch:
    return SceneWatch(_path_of("scenes", camera, name, order, "png"), camera.capture)


def _path_of(folder: str, camera: CameraConfig, name: str, order: Order, ending: str) -> Path:
    """Where something is remembered for a camera at a path: another path is another scene."""
    source = json.dumps(camera.model_dump(mode="json", include={"source"}), sort_keys=True)
    digest = hashlib.sha256(source.encode()).hexdigest()[:8]
    return order.node.state_dir / folder / f"{name}-{digest}.{ending}"


def _sinks(camera: CameraConfig, name: str, registry: Registry, count: Callable[[str], None]) -> tuple[SinkRunner, ...]:
    return tuple(SinkRunner(f"{name}/{sink.type}", registry.build("sink", sink.type, sink.settings), count) for sink in camera.sinks)


def _tell(level: str, text: str) -> None:
    log.log(logging.getLevelNamesMapping()[level.upper()], "%s", text)
