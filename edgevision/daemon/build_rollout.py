"""What a camera's candidate is put together from, in its worker's process. In: a configuration, an Order. Out: a Rollout. Keeps nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from edgevision.config import CameraConfig, Config, as_candidate
from edgevision.daemon.files import candidate_of
from edgevision.daemon.rollout import Page, Rollout
from edgevision.daemon.rollout_book import RolloutBook
from edgevision.daemon.talk import Order
from edgevision.daemon.understudy import Understudy
from edgevision.errors import EdgevisionError
from edgevision.pipeline import Pipeline
from edgevision.recompute.load import check_network
from edgevision.registry import Registry


@dataclass(frozen=True)
class Before:
    """What the camera had until now: its rollout, its settings; `has_same_files`: what both name is still the same."""

    rollout: Rollout | None
    settings: CameraConfig
    has_same_files: bool


@dataclass(frozen=True)
class Stand:
    """Where it is built: the camera, the service's run, who is told of comparisons."""

    camera: str
    boot_id: str
    compared: Callable[[str], None]


def with_candidate(config: Config, name: str) -> Config:
    """The configuration as the candidate of this camera would have it."""
    return config.model_copy(update={"cameras": {**config.cameras, name: as_candidate(config.cameras[name])}})


def build_rollout(config: Config, stand: Stand, order: Order, registry: Registry, before: Before | None) -> Rollout | None:
    """The camera's candidate, not loaded yet; one that goes on keeps its pipeline.

    One that cannot run is refused while the camera works (raises ConfigError or UnsupportedNetwork), and stays out where it starts.
    """
    name, camera = stand.camera, config.cameras[stand.camera]
    files = order.files.get(candidate_of(name), "")
    book = RolloutBook(order.node.state_dir / "rollout" / name)
    if not camera.candidate.enabled:
        _forgive(book)
        return None
    page = Page(name, _digest(camera, files), stand.boot_id, compared=stand.compared)
    old = None if before is None or not before.has_same_files or not _is_same(before.settings, camera) else before.rollout
    if old is not None and old.page.candidate == page.candidate:
        return Rollout(camera.candidate, old.understudy, old.book, page)
    trouble = None
    try:
        check_network(as_candidate(camera).recompute)
    except EdgevisionError as error:
        if before is not None:
            raise
        trouble = str(error)
    if book.read().running == stand.boot_id and before is None:
        trouble = "the camera's worker ended badly while the candidate was at work"
    build = partial(Pipeline.from_config, with_candidate(config, name), name, registry)
    return Rollout(camera.candidate, Understudy(build), book, replace(page, trouble=trouble))


def _forgive(book: RolloutBook) -> None:
    """A candidate that was switched off may try again when it is switched on."""
    if book.read().out is not None:
        book.state.out = None
        book.write()


def _is_same(one: CameraConfig, other: CameraConfig) -> bool:
    first, second = (as_candidate(camera).model_dump(mode="json") for camera in (one, other))
    return first == second


def _digest(camera: CameraConfig, files: str) -> str:
    """Names a candidate over restarts: what differs in it, and the files that it stands on."""
    plain = {name: section.model_dump(mode="json") for name, section in camera.candidate.otherwise.items()}
    return hashlib.sha256((json.dumps(plain, sort_keys=True) + files).encode()).hexdigest()[:16]
