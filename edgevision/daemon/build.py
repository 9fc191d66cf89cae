"""Objects are put together here and in `Pipeline.from_config`, nowhere else. In: a configuration. Out: a Supervisor ready to run."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import logging
import platform
from collections.abc import Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np

from edgevision import __version__
from edgevision.capture.camera import Camera
from edgevision.capture.feed import Feed
from edgevision.config import Config, builtin_registry, load
from edgevision.daemon.audit import Audit
from edgevision.daemon.board import Board
from edgevision.daemon.changes import Changes
from edgevision.daemon.journal import start_journal
from edgevision.daemon.messages import Composer
from edgevision.daemon.notify import Notifier
from edgevision.daemon.requests import Body, Done, Requests
from edgevision.daemon.sinks import SinkRunner
from edgevision.daemon.supervise import Parts, Supervisor
from edgevision.daemon.track_file import TrackFile
from edgevision.daemon.worker import Outlets, Worker
from edgevision.errors import EdgevisionError
from edgevision.pipeline import Pipeline
from edgevision.publish.mqtt import Publisher
from edgevision.publish.outbox import Outbox
from edgevision.publish.payload import Identity
from edgevision.publish.topics import Topics
from edgevision.recompute.graph import read_metadata
from edgevision.recompute.load import network_path
from edgevision.recompute.settings import RecomputeSettings
from edgevision.registry import Registry

log = logging.getLogger("edgevision")

LOADING_S = 120
USUAL_SIZE_PX = (720, 1280)  # (height, width), for the warm-up of a camera that tells its size with its first frame only


def build(path: Path) -> Supervisor:
    """Read the configuration, open the outbox, load every network; nothing is started yet.

    Raises ConfigError or UnsupportedNetwork (exit 78), Unavailable (69) for a state folder that cannot be written.
    """
    registry = builtin_registry()
    config = load(path, registry=registry)
    start_journal(logging.getLevelNamesMapping()[config.node.log_level.upper()])
    notifier = Notifier()
    topics = Topics(config.mqtt.base, config.node.id)
    outbox = Outbox(config.node.state_dir / "outbox.sqlite", config.outbox, tell=_tell)
    cameras = {name: camera for name, camera in config.cameras.items() if camera.enabled}
    board = Board(tuple(config.cameras))
    identities = {name: identity_of(config, name, outbox.boot_id) for name in config.cameras}
    workers, sinks = [], []
    warm: list[RecomputeSettings] = []
    for name in config.cameras:
        if name not in cameras:
            board.set_availability(name, "disabled")
    for name in cameras:
        notifier.send(f"STATUS=loading {name}", f"EXTEND_TIMEOUT_USEC={LOADING_S * 1_000_000}")
        read_metadata(network_path(config.cameras[name].recompute))  # a file that is no network is found now, not with the first frame
        runners = _sinks(config, name, registry, board)
        sinks += runners
        tracks = TrackFile(config.node.state_dir / "tracks" / f"{name}.json")
        outlets = Outlets(Composer(topics, identities[name]), outbox.commit, board, tuple(runners), tracks, outbox.last_of_tracks)
        if cameras[name].recompute not in warm:
            warm_up(config, name, registry, notifier)
            warm.append(cameras[name].recompute)
        workers.append(Worker(open_feed(config, name, registry), Pipeline.from_config(config, name, registry), outlets))
    state = config.node.state_dir
    node = _Node(config, {worker.name: worker.feed for worker in workers})
    requests = Requests(topics, node, Changes(state / "changes.json"), Audit(state / "audit.jsonl"), outbox)
    publisher = Publisher(config.mqtt, topics, outbox, on_message=requests, tell=_tell)
    requests.start(publisher.reply, lambda: None)
    parts = Parts(path, config, topics, identities, outbox, publisher, board, tuple(workers), tuple(sinks), notifier)
    return Supervisor(parts, identity_of(config, None, outbox.boot_id))


class _Node:
    """What commands can have done while all cameras are threads of this process."""

    def __init__(self, config: Config, feeds: Mapping[str, Feed]):
        self._config = config
        self._feeds = feeds

    def cameras(self) -> tuple[str, ...]:
        return tuple(self._feeds)

    def offer(self, camera: str, body: Body) -> bool:
        return self._feeds[camera].offer(body)

    def ask(self, camera: str, verb: str, body: Body, done: Done) -> None:
        done({"status": "error", "error": f"{verb} is not known yet"})

    def reload(self, changes: Mapping[str, str], done: Done) -> None:
        done({"status": "error", "error": "restart the service to use it"})

    def try_changes(self, changes: Mapping[str, str]) -> Config:
        return self._config


def warm_up(config: Config, name: str, registry: Registry, notifier: Notifier) -> None:
    """Compile what the camera will need, on a pipeline that is thrown away: a first start takes a while, and no part shall wait for it."""
    settings = config.cameras[name].source.settings
    height, width = (getattr(settings, side, None) or usual for side, usual in zip(("height", "width"), USUAL_SIZE_PX, strict=True))
    with contextlib.suppress(EdgevisionError):  # the size is a guess; what is wrong with the real one is told with the first frame
        Pipeline.from_config(config, name, registry).prepare(
            np.zeros((height, width, 3), np.uint8),
            lambda ready, steps: notifier.send(f"STATUS=loading {name}, step {ready} of {steps}"),
        )


def identity_of(config: Config, camera: str | None, boot_id: str = "") -> Identity:
    """Who speaks in a message: the node, and of the camera its model, station, recipe and product."""
    if camera is None:
        return Identity(config.node.id, boot_id, __version__, config.sha256)
    settings = config.cameras[camera]
    model = network_path(settings.recompute)
    return Identity(
        node=config.node.id,
        boot_id=boot_id,
        version=__version__,
        config_sha256=config.sha256,
        model_name=model.name,
        model_sha256=hashlib.sha256(model.read_bytes()).hexdigest() if model.is_file() else None,
        station=settings.station or None,
        recipe_id=settings.recipe_id or None,
        product_id=settings.product_id or None,
    )


def share_folder(name: str) -> Path:
    """`configs`, `plugins` or `systemd`: beside the package in a checkout, inside it when installed."""
    inside = Path(str(files("edgevision"))) / "share" / name
    return inside if inside.is_dir() else Path(str(files("edgevision"))).parent / name


def versions() -> dict[str, str]:
    """The versions of what the service stands on."""
    names = ("numpy", "numba", "openvino", "opencv-python-headless", "paho-mqtt")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}


def open_feed(config: Config, name: str, registry: Registry) -> Feed:
    """One camera and its trigger, not opened yet."""
    settings = config.cameras[name]
    source = settings.source
    camera = Camera(name, source.type, source.settings or {}, settings.capture, registry.origin("source", source.type))
    return Feed(camera, settings.trigger)


def _sinks(config: Config, name: str, registry: Registry, board: Board) -> list[SinkRunner]:
    chosen = config.cameras[name].sinks
    return [
        SinkRunner(f"{name}/{sink.type}", registry.build("sink", sink.type, sink.settings), partial(board.count, name)) for sink in chosen
    ]


def _tell(level: str, text: str) -> None:
    log.log(logging.getLevelNamesMapping()[level.upper()], "%s", text)
