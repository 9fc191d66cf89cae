"""Keeps the service running: starts the stages in order, watches them, tells the world, changes them, stops them in order.

In: the built stages, signals. Out: retained states on MQTT, notices to systemd, an exit code. Stopping drains within ten seconds. One
thread does all this, the main one: workers die with it, so nothing is left behind however the service ends.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from edgevision.config import Config, builtin_registry, load, read
from edgevision.daemon.board import Board
from edgevision.daemon.change import APPLY_S, PREPARE_S, Change, Wish, differing, effective, enabled
from edgevision.daemon.changes import KEYS, states
from edgevision.daemon.files import candidate_of, fingerprints
from edgevision.daemon.journal import tell_held
from edgevision.daemon.keeper import Desk, Keeper, Stage
from edgevision.daemon.messages import speaker
from edgevision.daemon.notify import Notifier
from edgevision.daemon.requests import Requests
from edgevision.daemon.talk import Order
from edgevision.errors import EdgevisionError, Unavailable
from edgevision.publish.mqtt import Publisher
from edgevision.publish.orders import heed
from edgevision.publish.outbox import Outbox
from edgevision.publish.payload import camera_state_body, encode, health_body, state_body
from edgevision.publish.topics import Topics

log = logging.getLogger("edgevision")

TICK_S = 1.0
STOOD_STILL_S = 3.0  # from one turn to the next: so long it takes only who was stopped, alone or with the whole computer
HEALTH_S = 30.0
JOIN_S = 4.0
DRAIN_S = 3.0  # with the goodbye to the broker, the two stay below ten seconds
LISTEN_S = 20.0  # a commit may have to wait for a slow disk
CONNECT_S = 60.0  # beside its own time limits, connecting may have to wait for a name server
EXTEND_S = 30
LOADING_S = 10.0  # who waits for the first start is told so often how far it is
SWITCH_S = 0.0005  # for so long the page or a figure may keep the interpreter from a thread that passes on an alert


@dataclass(frozen=True)
class Parts:
    """What the supervisor runs. `order` and `config` are what is in force at the start; `keepers` is shared and kept up to date."""

    path: Path
    order: Order
    config: Config
    topics: Topics
    outbox: Outbox
    publisher: Publisher
    requests: Requests
    board: Board
    desk: Desk
    keepers: dict[str, Keeper]
    notifier: Notifier
    wakes: queue.SimpleQueue[None]


class Extra(Protocol):
    """What runs with the service and matters to no inspection, as `Page`. Called from the supervisor's thread; must not raise."""

    @property
    def alarms(self) -> tuple[str, ...]:
        """What does not work there."""

    def start(self) -> None:
        """The cameras run."""

    def stop(self) -> None:
        """Within a second or two."""


class Supervisor:
    """The service. `run` returns when it was stopped, or when every camera's source has ended."""

    def __init__(self, parts: Parts):
        self.config = parts.config
        self._parts = parts
        self._order = parts.order
        self._identity = speaker(parts.config, parts.outbox.boot_id)
        self._numbers = count(parts.order.number + 1)  # an order that was abandoned leaves its number unused
        self._is_stopping = False
        self._has_started = False
        self._wishes: queue.SimpleQueue[Wish] = queue.SimpleQueue()
        self._change: tuple[Change, Wish, float] | None = None
        self._is_applying = False
        self._restart_keys: tuple[str, ...] = ()
        self._refused: str | None = None  # why the file is not what runs
        self._page: Extra | None = None
        self.since_ts = time.time()
        self._health_s = float("-inf")
        self._turned_s = float("inf")

    def show_on(self, page: Extra) -> None:
        """Where people look; before `run`."""
        self._page = page

    @property
    def is_config_ok(self) -> bool:
        """False while a newer configuration was refused and the last good one is in force."""
        return self._refused is None

    def stop(self) -> None:
        """Ask for an ordered end; safe in a signal handler."""
        self._is_stopping = True
        self._parts.wakes.put(None)

    def reload(self, wish: Wish | None = None) -> None:
        """Ask for a look at the configuration; safe in a signal handler and from any thread."""
        self._wishes.put(wish or Wish())
        self._parts.wakes.put(None)

    def run(self) -> int:
        """The service's life; the exit code."""
        parts = self._parts
        sys.setswitchinterval(SWITCH_S)
        try:
            if self._load_all():
                self._begin()
                self._watch()
        finally:
            self._finish()
        if self._is_stopping and self._has_started:
            return 0
        return max((keeper.exit_code for keeper in parts.keepers.values()), default=0)

    def _load_all(self) -> bool:
        """Start the workers: first one for each network, which compiles it for the others. False when one cannot be, or a stop came."""
        parts = self._parts
        networks = [camera.recompute for name, camera in self.config.cameras.items() if name in parts.keepers]
        firsts = [name for index, name in enumerate(parts.keepers) if networks.index(networks[index]) == index]
        for wave in (firsts, [name for name in parts.keepers if name not in firsts]):
            for name in wave:
                log.info("loading the network of %s; the first start on a computer compiles its kernels", name)
                parts.keepers[name].start(self._order)
            told_s = time.monotonic()
            while any(parts.keepers[name].stage is not Stage.READY for name in wave):
                self._pause()
                if self._is_stopping:
                    return False
                for name in wave:
                    keeper = parts.keepers[name]
                    keeper.tend(time.monotonic())
                    if keeper.stage is Stage.OVER:
                        log.critical("%s", keeper.trouble)
                        return False
                status = f"loading {', '.join(parts.keepers[name].loaded for name in wave)}"
                if time.monotonic() - told_s >= LOADING_S:
                    told_s = time.monotonic()
                    log.info("still %s", status)
                parts.notifier.send(f"STATUS={status}", f"EXTEND_TIMEOUT_USEC={EXTEND_S * 1_000_000}")
        return True

    def _begin(self) -> None:
        """All is loaded: connect, let the cameras run, say so."""
        parts = self._parts
        parts.publisher.start()
        parts.requests.start(parts.publisher.reply, self._show_settings)
        self._show_settings()
        for keeper in parts.keepers.values():
            keeper.go()
        self._has_started = True
        if self._page is not None:
            self._page.start()
        parts.notifier.send("READY=1", f"STATUS={len(parts.keepers)} cameras")
        mqtt = self.config.mqtt
        names = ", ".join(parts.keepers) or "no camera"
        log.info("running: node %s, %s, broker %s:%d", parts.topics.node, names, mqtt.host, mqtt.port)

    def _watch(self) -> None:
        """Turn after turn until the end. A disk that fails for a while costs the figures, not the service."""
        while not self._is_stopping and self._is_needed():
            self._pause()
            try:
                self._turn(time.monotonic())
            except Unavailable as error:
                log.error("%s", error)

    def _pause(self) -> None:
        """Until something happens, at most a tick."""
        wakes = self._parts.wakes
        try:
            wakes.get(timeout=TICK_S)
            while True:
                wakes.get_nowait()
        except queue.Empty:
            return

    def _is_needed(self) -> bool:
        """False when every source has ended or cannot be used."""
        stages = [keeper.stage for keeper in self._parts.keepers.values()]
        return not stages or any(stage is not Stage.OVER for stage in stages)

    def _turn(self, now_s: float) -> None:
        """Look after the workers and the change under way; tell what is news, the figures when due, and systemd that all stages go on."""
        parts = self._parts
        heed(parts.outbox)
        stood_s = now_s - self._turned_s
        if stood_s > STOOD_STILL_S:
            log.warning("the service stood still for %.0f s; no camera is blamed for it", stood_s)
        for keeper in parts.keepers.values():
            if stood_s > STOOD_STILL_S:
                keeper.forgive(now_s)
            keeper.tend(now_s)
        self._step_change(now_s)
        self._announce()
        parts.outbox.tidy()
        tell_held()
        if now_s - self._health_s >= HEALTH_S:
            self._health_s = now_s
            self._publish_figures()
        is_alive = self._is_alive(now_s)
        parts.notifier.send(*(["WATCHDOG=1"] if is_alive else []), f"STATUS={self._status()}")
        self._turned_s = time.monotonic()

    def _is_alive(self, now_s: float) -> bool:
        """Does every stage go on: the listeners and with them the outbox, the way to the broker. A camera that hangs is another matter."""
        parts = self._parts
        listened = [keeper.listened_s for keeper in parts.keepers.values()]
        mqtt = self.config.mqtt
        limit_s = CONNECT_S + mqtt.connect_timeout_s + mqtt.answer_timeout_s
        return all(at is None or now_s - at < LISTEN_S for at in listened) and now_s - parts.publisher.advanced_s < limit_s

    def _announce(self) -> None:
        """Publish the availability and state of each camera that is news."""
        parts = self._parts
        changed = parts.board.take_changed()
        snapshots = parts.board.snapshots() if changed else {}
        for camera in changed:
            keeper = parts.keepers.get(camera)
            identity = keeper.voice.identity if keeper else speaker(self.config, parts.outbox.boot_id, camera)
            parts.publisher.retain(parts.topics.availability(camera), snapshots[camera].availability.encode())
            parts.publisher.retain(parts.topics.state(camera), encode(camera_state_body(snapshots[camera], identity)))

    def _publish_figures(self) -> None:
        parts = self._parts
        snapshots = parts.board.snapshots()
        memory = resident_bytes(os.getpid(), *(keeper.pid for keeper in parts.keepers.values() if keeper.pid is not None))
        figures = health_body(self._identity, time.time(), os.getloadavg(), memory, snapshots)
        parts.publisher.retain(parts.topics.health(), encode(figures), qos=0)
        stats = parts.outbox.stats()
        cameras = {name: snapshot.availability for name, snapshot in snapshots.items()}
        outbox = {"pending": stats.pending, "oldest_age_s": stats.oldest_age_s}
        body = state_body(self._identity, self.since_ts, self.is_config_ok, outbox, cameras, self.all_alarms())
        parts.publisher.retain(parts.topics.state(), encode(body))

    def _show_settings(self) -> None:
        """Publish what may be set over MQTT, as it is in force; from any thread."""
        parts = self._parts
        for (camera, key), text in states(self.config).items():
            parts.publisher.retain(parts.topics.setting(camera, key), text.encode())

    def all_alarms(self) -> tuple[str, ...]:
        """What an operator should look at, from every part of the service; from any thread. Raises Unavailable."""
        parts = self._parts
        page = () if self._page is None else self._page.alarms
        return (*parts.outbox.stats().alarms, *parts.publisher.stats().alarms, *self.alarms(), *page)

    def alarms(self) -> tuple[str, ...]:
        """What an operator should look at, beside what the outbox says."""
        found = [] if self._refused is None else [f"configuration: {self._refused}; what ran before runs on"]
        if self._restart_keys:
            found.append(f"configuration: {', '.join(self._restart_keys)} will change with the next restart")
        troubles = ((keeper.name, keeper.trouble) for keeper in self._parts.keepers.values())
        noticed = (f"{name}: {text}" for name, each in self._parts.board.snapshots().items() for text in each.notices.values())
        return (*found, *(f"{name}: {trouble}" for name, trouble in troubles if trouble is not None), *noticed)

    def _status(self) -> str:
        parts = self._parts
        online = sum(snapshot.availability == "online" for snapshot in parts.board.snapshots().values())
        more = f"; {self._refused}" if self._refused else ""
        return f"{online} of {len(parts.keepers)} cameras online, {parts.outbox.stats().pending} messages wait{more}"

    def _step_change(self, now_s: float) -> None:
        """Take the change of configuration that is under way one step on, or begin the next that is wished for."""
        if self._change is None:
            is_loading = any(keeper.stage is Stage.LOADING for keeper in self._parts.keepers.values())
            if not is_loading and not self._wishes.empty():
                self._begin_change(self._wishes.get(), now_s)
            return
        change, wish, since_s = self._change
        self._parts.notifier.send(f"EXTEND_TIMEOUT_USEC={EXTEND_S * 1_000_000}")
        if self._is_applying:
            behind = change.behind
            if behind and now_s - since_s > APPLY_S:
                log.warning("reload: %s: not at the next frame yet, from which on it is in force", ", ".join(behind))
            if not behind or now_s - since_s > APPLY_S:
                self._end_change(wish, None)
            return
        for keeper in change.keepers.values():
            if keeper.name not in self._parts.keepers:
                keeper.tend(now_s)
        refusal = change.refusal or ("it was not ready in time" if now_s - since_s > PREPARE_S else None)
        if refusal is not None:
            change.abandon()
            self._end_change(wish, refusal)
        elif change.is_prepared:
            self._put_in_force(change, wish, now_s)

    def _begin_change(self, wish: Wish, now_s: float) -> None:
        """Read and check the file; where it differs from what runs, let the workers make ready."""
        parts = self._parts
        parts.notifier.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=reading the configuration")
        registry = builtin_registry()
        try:
            written = read(parts.path, changes=self._order.written.changes if wish.changes is None else wish.changes)
            found = load(written, registry=registry)
        except EdgevisionError as error:
            self._end_change(wish, str(error))
            return
        config, self._restart_keys = effective(self.config, found)
        files = fingerprints(config, registry)
        known = self._order.files
        keys = {name: (name, candidate_of(name)) for name in enabled(config)}
        replaced = [name for name, both in keys.items() if any(files[key] != known.get(key, files[key]) for key in both)]
        if config.sha256 == self.config.sha256 and not replaced:
            self._end_change(wish, None)
            return
        cameras = dict.fromkeys((*differing(self.config, config), *replaced))
        log.info("reload: preparing %s", ", ".join(cameras) or "the node")
        order = Order(next(self._numbers), written, config.sha256, config.node, parts.topics.base, files)
        change = Change(order, config, self._order, parts.keepers, lambda name: self._new_keeper(config, name))
        self._change, self._is_applying = (change, wish, now_s), False
        change.begin()

    def _new_keeper(self, config: Config, name: str) -> Keeper:
        self._parts.board.add(name)
        return Keeper(name, self._parts.desk, speaker(config, self._parts.outbox.boot_id, name))

    def _put_in_force(self, change: Change, wish: Wish, now_s: float) -> None:
        """Every worker is ready: from here on there is no way back."""
        parts = self._parts
        before = self.config
        self.config, self._order = change.config, change.order
        self._identity = speaker(change.config, parts.outbox.boot_id)
        log.setLevel(change.config.node.log_level.upper())
        change.apply()
        for keeper in change.leaving.values():
            keeper.stop()
        for keeper in change.leaving.values():
            keeper.finish(JOIN_S)
        parts.keepers.clear()
        parts.keepers.update(change.keepers)
        self._forget(set(before.cameras) - set(change.config.cameras))
        for name, camera in change.config.cameras.items():
            if not camera.enabled:
                parts.board.add(name, "disabled")
        parts.board.touch_all()
        self._change, self._is_applying = (change, wish, now_s), True

    def _forget(self, cameras: Iterable[str]) -> None:
        """Nothing retained speaks any more of cameras that are gone."""
        parts = self._parts
        for camera in cameras:
            parts.board.remove(camera)
            settings = (parts.topics.setting(camera, key) for key in KEYS)
            for topic in (parts.topics.availability(camera), parts.topics.state(camera), *settings):
                parts.publisher.retain(topic, b"")

    def _end_change(self, wish: Wish, refusal: str | None) -> None:
        """The change is in force, or nothing is changed: say which."""
        parts = self._parts
        self._change, self._is_applying = None, False
        self._refused = refusal
        for name in set(parts.board.snapshots()) - set(self.config.cameras):
            parts.board.remove(name)
        for line in (refusal or "").splitlines():
            log.error("reload: %s; what runs stays as it is", line)
        if refusal is None:
            log.info("reload: in force: %s, sha256 %s", parts.path, self.config.sha256[:12])
        if self._restart_keys:
            log.warning("reload: %s will change with the next restart", ", ".join(self._restart_keys))
        parts.notifier.send("READY=1")
        answer: dict[str, Any] = {"status": "ok" if refusal is None else "error", "config_sha256": self.config.sha256}
        wish.on_done(answer | {"restart_keys": list(self._restart_keys)} | ({} if refusal is None else {"error": refusal}))
        self._show_settings()
        self._publish_figures()
        if not self._wishes.empty():
            parts.wakes.put(None)

    def _finish(self) -> None:
        """Cameras first, then what they produced, then the connection."""
        parts = self._parts
        parts.notifier.send("STOPPING=1", "STATUS=draining")
        parts.requests.stop(1.0)
        if self._page is not None:
            self._page.stop()
        keepers = {**parts.keepers, **(self._change[0].keepers if self._change else {})}
        for keeper in keepers.values():
            keeper.stop()
        deadline_s = time.monotonic() + JOIN_S
        for keeper in keepers.values():
            keeper.finish(max(0.1, deadline_s - time.monotonic()))
        try:
            if self._has_started:
                for camera in parts.board.snapshots():
                    if camera in keepers:
                        parts.board.set_availability(camera, "offline", "the service was stopped")
                self._announce()
                self._publish_figures()
                parts.publisher.stop(DRAIN_S)
                log.info("stopped: %d messages wait in the outbox for the next start", parts.outbox.stats().pending)
        except Unavailable as error:
            log.error("stopped: %s", error)
        parts.outbox.close()
        tell_held(is_over=True)


def resident_bytes(*pids: int) -> int:
    """The resident memory of these processes together; what they share counts for each."""
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:  # it has just ended
            continue
    return total * os.sysconf("SC_PAGE_SIZE")
