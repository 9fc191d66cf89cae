"""A change of configuration while the service runs: made ready in every worker, then applied in all of them, or in none.

In: the configuration in force, another one, the keepers. Out: which keys need a restart; steps that the supervisor takes one by one.
Kept: the one change under way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from edgevision.config import Config
from edgevision.daemon.keeper import Keeper, Stage
from edgevision.daemon.talk import Order

PREPARE_S = 300.0
APPLY_S = 10.0
LIVE = frozenset({"cameras", "plugins", "node.log_level"})  # all else is put in force by a restart only


@dataclass(frozen=True)
class Wish:
    """Somebody wants the configuration looked at. `changes` are all values set while running, None: as they are; `on_done` is answered."""

    changes: Mapping[str, str] | None = None
    on_done: Callable[[Mapping[str, Any]], None] = lambda answer: None


def effective(running: Config, found: Config) -> tuple[Config, tuple[str, ...]]:
    """What of the found configuration can be put in force now, and the keys that need a restart."""
    keys = []
    parts: dict[str, Any] = {"cameras": found.cameras, "plugins": found.plugins}
    for section in Config.model_fields:
        before, after = getattr(running, section), getattr(found, section)
        if section in LIVE:
            continue
        live = {}
        for key in type(before).model_fields:
            if f"{section}.{key}" in LIVE:
                live[key] = getattr(after, key)
            elif getattr(before, key) != getattr(after, key):
                keys.append(f"{section}.{key}")
        parts[section] = before.model_copy(update=live)
    return Config.model_construct(**parts), tuple(keys)


def differing(running: Config, found: Config) -> tuple[str, ...]:
    """The cameras whose configuration is not what runs, new and removed ones included."""
    plain = [{name: _plain(camera) for name, camera in config.cameras.items()} for config in (running, found)]
    return tuple(name for name in {**plain[0], **plain[1]} if plain[0].get(name) != plain[1].get(name))


def enabled(config: Config) -> tuple[str, ...]:
    """The cameras that have a worker."""
    return tuple(name for name, camera in config.cameras.items() if camera.enabled)


class Change:
    """One order on its way into force. The supervisor's main thread calls it."""

    def __init__(self, order: Order, config: Config, before: Order, keepers: Mapping[str, Keeper], make: Callable[[str], Keeper]):
        """`before` is the order in force; `make` gives a keeper for a camera that has none."""
        self.order = order
        self.config = config
        self._before = before
        self.keepers = {name: keepers.get(name) or make(name) for name in enabled(config)}
        self._old = frozenset(keepers)
        self.leaving = {name: keeper for name, keeper in keepers.items() if name not in self.keepers}

    def begin(self) -> None:
        """Let every worker make ready; the ones that run go on meanwhile."""
        for keeper in self.keepers.values():
            keeper.prepare(self.order)

    @property
    def refusal(self) -> str | None:
        """Why it cannot be, as the first worker that said so has it."""
        for name, keeper in self.keepers.items():
            if keeper.refusal is not None:
                return f"{name}: {keeper.refusal}"
            if keeper.stage in (Stage.OVER, Stage.WAITING, Stage.RESTING) and keeper.prepared != self.order.number:
                return f"{name}: {keeper.trouble or 'its worker ended'}"
        return None

    @property
    def is_prepared(self) -> bool:
        """Every worker is ready to work by it."""
        return all(keeper.prepared == self.order.number for keeper in self.keepers.values())

    @property
    def behind(self) -> tuple[str, ...]:
        """The cameras whose worker is at work and has not come to the next frame since."""
        late = (keeper.applied != self.order.number and keeper.stage is Stage.RUNNING for keeper in self.keepers.values())
        return tuple(name for name, is_late in zip(self.keepers, late, strict=True) if is_late)

    def apply(self) -> None:
        """From here on it is in force."""
        for keeper in self.keepers.values():
            keeper.apply(self.order)

    def abandon(self) -> None:
        """Nothing has happened."""
        for name, keeper in self.keepers.items():
            keeper.abandon(self.order, self._before if name in self._old else None)


def _plain(settings: BaseModel) -> dict[str, Any]:
    return settings.model_dump(mode="json")
