"""The service is put together here; what a worker is made of, in `build_worker.py`. In: a configuration. Out: a Supervisor ready to run."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import queue
from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path

from edgevision.capture.parts import PartRequest
from edgevision.config import Config, Written, builtin_registry, load, read
from edgevision.daemon.audit import Audit
from edgevision.daemon.board import Board
from edgevision.daemon.change import enabled
from edgevision.daemon.changes import Changes
from edgevision.daemon.committer import Committer
from edgevision.daemon.files import fingerprints
from edgevision.daemon.journal import start_journal
from edgevision.daemon.keeper import Desk, Keeper
from edgevision.daemon.left_over import tell_left_over
from edgevision.daemon.messages import speaker
from edgevision.daemon.node import Node
from edgevision.daemon.notify import Notifier
from edgevision.daemon.page import Page
from edgevision.daemon.requests import Requests
from edgevision.daemon.supervise import Parts, Supervisor
from edgevision.daemon.talk import Order
from edgevision.errors import ConfigError
from edgevision.publish.mqtt import Publisher
from edgevision.publish.outbox import Outbox, OwedPart
from edgevision.publish.topics import Topics

log = logging.getLogger("edgevision")


def build(path: Path) -> Supervisor:
    """Read the configuration, open the outbox; nothing is started yet, and no network is loaded.

    Raises ConfigError (exit 78), Unavailable (69) for a state folder that cannot be written.
    """
    written, registry = read(path), builtin_registry()
    config = load(written, registry=registry)
    start_journal(logging.getLevelNamesMapping()[config.node.log_level.upper()], config.node.log_format)
    state = config.node.state_dir
    outbox = Outbox(state / "outbox.sqlite", config.outbox, tell=_tell)  # with its lock: the rest of the folder is ours alone then
    changes = Changes(state / "changes.json")
    written, config = _with_changes(written, config, changes)
    topics = Topics(config.mqtt.base, config.node.id)
    wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
    wake = partial(wakes.put, None)
    board = Board(config.cameras, on_news=wake)
    keepers: dict[str, Keeper] = {}
    node = Node(path, keepers, lambda: tuple(board.snapshots()))
    requests = Requests(topics, node, changes, Audit(state / "audit.jsonl"), outbox)
    owing = partial(_owe, outbox), outbox.forgive
    desk = Desk(topics, outbox.boot_id, Committer(outbox.commit).commit, outbox.last_of_tracks, board, wake, requests.suggest, *owing)
    tell_left_over(outbox.owed(), config, topics, outbox.boot_id, desk.commit)
    keepers.update(_keepers(config, desk))
    publisher = Publisher(config.mqtt, topics, outbox, on_message=requests, tell=_tell)
    order = Order(1, written, config.sha256, config.node, config.mqtt.base, fingerprints(config, registry))
    parts = Parts(path, order, config, topics, outbox, publisher, requests, board, desk, keepers, Notifier(), wakes)
    supervisor = Supervisor(parts)
    node.wish = supervisor.reload
    supervisor.show_on(Page(supervisor, parts))
    return supervisor


def _with_changes(written: Written, config: Config, changes: Changes) -> tuple[Written, Config]:
    """The configuration with the values that were set over MQTT. Where they do not fit the file any more they are given up, loudly."""
    changes.read(_tell)
    changed = replace(written, changes=dict(changes.kept))
    try:
        return changed, load(changed, registry=builtin_registry())
    except ConfigError as error:
        log.error("values set over MQTT do not fit the file any more and are given up: %s", error)
        changes.keep({})
    return written, config


def _keepers(config: Config, desk: Desk) -> dict[str, Keeper]:
    """One for each camera that is enabled; the others are said to be disabled."""
    for name in config.cameras:
        if name not in enabled(config):
            desk.board.set_availability(name, "disabled")
    return {name: Keeper(name, desk, speaker(config, desk.boot_id, name)) for name in enabled(config)}


def share_folder(name: str) -> Path:
    """`configs`, `plugins` or `systemd`: beside the package in a checkout, inside it when installed."""
    inside = Path(str(files("edgevision"))) / "share" / name
    return inside if inside.is_dir() else Path(str(files("edgevision"))).parent / name


def versions() -> dict[str, str]:
    """The versions of what the service stands on."""
    names = ("numpy", "numba", "openvino", "opencv-python-headless", "paho-mqtt")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}


def _owe(outbox: Outbox, camera: str, request: PartRequest) -> None:
    outbox.owe(camera, OwedPart(request.part_id, request.ts, request.job_id))


def _tell(level: str, text: str) -> None:
    log.log(logging.getLevelNamesMapping()[level.upper()], "%s", text)
