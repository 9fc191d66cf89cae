"""What a reload may change, and that it changes all or nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from edgevision.config import load, read
from edgevision.daemon.change import Change, differing, effective, enabled
from edgevision.daemon.keeper import Stage

BASE = """node: {id: test, state_dir: STATE}
mqtt: {host: a}
cameras:
  one: {source: {type: synthetic}}
  two: {source: {type: synthetic}}
"""


@pytest.fixture
def config(tmp_path):
    def make(text, **changes):
        path = tmp_path / "line.yaml"
        path.write_text(text.replace("STATE", str(tmp_path / "state")))
        return load(read(path, {}, {name.replace("__", "."): value for name, value in changes.items()}))

    return make


def test_what_needs_a_restart_is_listed_and_left_as_it_is(config):
    running = config(BASE)
    other = BASE.replace("host: a", "host: b, port: 1884").replace("id: test", "id: other, log_level: debug")
    found = config(other + "outbox: {limit_mb: 9}\n")
    now, keys = effective(running, found)
    assert keys == ("node.id", "mqtt.host", "mqtt.port", "outbox.limit_mb")
    assert (now.mqtt.host, now.node.id, now.node.log_level, now.outbox) == ("a", "test", "debug", running.outbox)
    assert now.sha256 != running.sha256
    assert effective(running, running)[0].sha256 == running.sha256


def test_only_cameras_that_differ_are_touched(config):
    found = config(BASE.replace("two: {", "two: {station: s, ") + "  three: {source: {type: synthetic}, enabled: false}\n")
    assert differing(config(BASE), found) == ("two", "three")
    assert differing(found, config(BASE)) == ("two", "three")
    assert enabled(found) == ("one", "two")


def test_what_was_set_while_running_stands_above_the_file_and_waits_for_its_camera(config):
    changed = config(BASE, cameras__one__judge__ng="0.9", cameras__gone__judge__ng="0.8")
    assert changed.cameras["one"].judge.ng == 0.9
    assert set(changed.cameras) == {"one", "two"}


class Keeper:
    """Notes what it is told; is ready at once unless it refuses."""

    def __init__(self, refusal=None, stage=Stage.RUNNING):
        self.name, self.stage, self.refusal, self.trouble = "k", stage, None, None
        self._refuses = refusal
        self.prepared = self.applied = 1
        self.told = []

    def prepare(self, order):
        self.told.append("prepare")
        self.refusal = self._refuses
        self.prepared = order.number if self._refuses is None else self.prepared

    def apply(self, order):
        self.told.append("apply")
        self.applied = order.number

    def abandon(self, order, old):
        self.told.append(("abandon", old and old.number))


def order(number):
    return SimpleNamespace(number=number)


def test_all_are_ready_before_any_applies(config):
    keepers = {"one": Keeper(), "old": Keeper()}
    change = Change(order(2), config(BASE), order(1), keepers, lambda name: Keeper(stage=Stage.READY))
    change.begin()
    assert change.is_prepared
    assert change.refusal is None
    assert [keeper.told for keeper in change.keepers.values()] == [["prepare"], ["prepare"]]
    assert list(change.leaving) == ["old"]
    change.apply()
    assert change.behind == ()
    assert keepers["old"].told == []


def test_one_refusal_and_nothing_has_happened(config):
    keepers = {"one": Keeper()}
    change = Change(order(2), config(BASE), order(1), keepers, lambda name: Keeper("two.onnx: no such file", Stage.LOADING))
    change.begin()
    assert not change.is_prepared
    assert change.refusal == "two: two.onnx: no such file"
    change.abandon()
    assert keepers["one"].told == ["prepare", ("abandon", 1)]
    assert change.keepers["two"].told == ["prepare", ("abandon", None)]
