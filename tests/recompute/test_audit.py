"""The audits find a Memory that was tampered with and a map that missed a change; trust is lost by k of n, for the cool-down."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.errors import EngineFault, InputError
from edgevision.recompute.audit import AuditSettings, EngineAudit, MapAudit, Trust
from edgevision.recompute.engine import SelectiveNetwork


@pytest.fixture
def watching(unet, random):
    net = SelectiveNetwork.load(unet)
    net.set_preprocess()
    frame = random.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    net.first(frame)
    return net, frame


def test_a_sound_memory_passes_and_a_tampered_one_does_not(watching):
    net, _ = watching
    audit = EngineAudit(net, AuditSettings(patch=1.0))
    audit.check()
    step = net.plan.steps[3]
    net._memory.planes[step.target].values[2, 3, 1] += 1
    with pytest.raises(EngineFault, match=step.name):
        audit.check()


def test_random_patches_find_it_too(watching):
    net, _ = watching
    audit = EngineAudit(net, AuditSettings(patch=0.3, engine_every=2))
    assert [audit.next() for _ in range(4)] == [False, True, False, True]
    net._memory.planes[net.plan.steps[1].target].values[...] += 1
    with pytest.raises(EngineFault):
        audit.check()


def test_the_audit_leaves_what_changed_alone(watching, random):
    net, frame = watching
    live = np.zeros(frame.shape[:2], bool)
    live[10, 12] = True
    net.next(random.integers(0, 256, frame.shape, dtype=np.uint8), live)
    before = net.changed
    EngineAudit(net, AuditSettings(patch=1.0)).check()
    assert net.changed == before
    assert before["defect"] is not None


def test_a_change_that_the_map_missed_is_found(watching, random):
    net, frame = watching
    audit = MapAudit(net, AuditSettings(map_every=1, tolerance=1e-3))
    moved = frame.copy()
    moved[8:24, 8:24] = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    missed = net.next(moved, np.zeros(frame.shape[:2], bool))
    assert audit.failed(audit.next(moved, missed))
    live = np.zeros(frame.shape[:2], bool)
    live[8:24, 8:24] = True
    assert audit.next(moved, net.next(moved, live)) == 0.0


def test_trust_is_lost_by_two_of_three_and_returns_after_the_cool_down():
    trust = Trust(AuditSettings(k=2, n=3, cooldown_s=10))
    assert [trust.note(failed, ts) for ts, failed in enumerate([True, False, False, True, True])] == [False, False, False, False, True]
    assert trust.is_dense(13.9)
    assert not trust.is_dense(14.0)
    trust.note(True, 20)
    trust.reset()
    assert not trust.note(True, 21)


def test_more_failures_than_audits_cannot_be_asked_for():
    with pytest.raises(InputError, match="at most n"):
        Trust(AuditSettings(k=4, n=3))
