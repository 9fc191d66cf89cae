"""The publishing side of the service in a process that can be killed anywhere: outbox, publisher, and cameras that commit defects' lives.

    python benchmarks/reliability/node.py --port PORT --outbox FILE --log FILE [--events 90] [--die-at PLACE:N] [--seed 0]

Each event id goes to the log after its commit has returned. `--die-at` kills the process with -9 at the N-th passage of a place:

    before-commit, in-commit (rows written, not committed), after-commit, after-publish (handed to the socket), after-answer (the broker's
    answer is read, the outbox does not know), in-ack (rows marked, not committed), after-ack, after-delete (history trimmed, not committed)

It ends by itself once everything was committed and delivered, or when it is killed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import edgevision.publish.outbox as outbox_module
from edgevision.identifiers import uuid7
from edgevision.publish.feeder import Feeder
from edgevision.publish.mqtt import MqttSettings, Publisher
from edgevision.publish.outbox import Outbox, OutboxSettings
from edgevision.publish.topics import Topics
from edgevision.records import Draft

PLACES = ("before-commit", "in-commit", "after-commit", "after-publish", "after-answer", "in-ack", "after-ack", "after-delete")
CAMERAS = tuple(f"cam-{number}" for number in range(4))
TOPICS = Topics("edgevision", "oracle")


class Fuse:
    """Kills the process at the N-th passage of one place."""

    def __init__(self, place: str, passages: int):
        self.place, self.left = place, passages

    def pass_by(self, place: str) -> None:
        if place == self.place:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def lay(self) -> None:
        """Wrap the code at every place; nothing of the product is changed otherwise."""
        self._around(Outbox, "commit", "before-commit", "after-commit")
        self._around(Outbox, "acked", None, "after-ack")
        self._around(Outbox, "_insert_all", None, "in-commit")
        self._around(Feeder, "sent", None, "after-publish")
        self._around(Feeder, "answered", None, "after-answer")
        self._around(outbox_module, "trim_history", "in-ack", "after-delete")

    def _around(self, owner: Any, name: str, before: str | None, after: str | None) -> None:
        call: Callable[..., Any] = getattr(owner, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            if before is not None:
                self.pass_by(before)
            result = call(*arguments, **named)
            if after is not None:
                self.pass_by(after)
            return result

        setattr(owner, name, wrapped)


class Lives:
    """Defects that come, change and go, by the dice."""

    def __init__(self, seed: int):
        self.dice = random.Random(seed)
        self.open: list[tuple[str, str, int]] = []  # camera, track, messages so far

    def next(self) -> list[Draft]:
        """What one inspection has to tell: one to three messages of one camera."""
        camera = self.dice.choice(CAMERAS)
        return [self._message(camera) for _ in range(self.dice.randint(1, 3))]

    def _message(self, camera: str) -> Draft:
        known = [life for life in self.open if life[0] == camera]
        if known and self.dice.random() < 0.7:
            life = self.dice.choice(known)
            self.open.remove(life)
            kind = "end" if life[2] >= 3 or self.dice.random() < 0.3 else "update"
            life = (camera, life[1], life[2] + 1)
        else:
            life, kind = (camera, uuid7(time.time()), 0), "new"
        if kind != "end":
            self.open.append(life)
        event_id = uuid7(time.time())
        body = {"event_id": event_id, "type": kind, "camera": camera, "track_id": life[1], "step": life[2], "historical": False}
        return Draft(event_id, camera, TOPICS.event(camera), body, self.dice.choice(("ok", "warn", "ng")))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--port", type=int, required=True)
    for name in ("outbox", "log"):
        arguments.add_argument(f"--{name}", required=True)
    arguments.add_argument("--events", type=int, default=90)
    arguments.add_argument("--die-at", default=":0")
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    place, _, passages = options.die_at.partition(":")
    Fuse(place, int(passages)).lay()
    log = os.open(options.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    outbox = Outbox(options.outbox, OutboxSettings(historical_after_s=0.3, history_mb=0.5))
    quick = {"reconnect_min_s": 0.01, "reconnect_max_s": 0.2, "connect_timeout_s": 0.5, "answer_timeout_s": 0.7, "backlog_per_s": 5000}
    publisher = Publisher(MqttSettings.model_validate({"port": options.port, **quick}), TOPICS, outbox)
    publisher.start()
    lives, committed = Lives(options.seed), 0
    while committed < options.events:
        drafts = lives.next()
        outbox.commit(drafts)
        os.write(log, "".join(f"{draft.event_id}\n" for draft in drafts).encode())
        committed += len(drafts)
        time.sleep(lives.dice.choice((0, 0, 0.001, 0.005)))
    while not publisher.wait_drained(0.2):
        pass
    publisher.stop(2)
    outbox.close()


if __name__ == "__main__":
    main()
