"""The audits find a Memory that was tampered with and a map that missed a change; trust is lost by k of n, for the cool-down."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.errors import EngineFault, InputError
from edgevision.recompute.audit import Audits, AuditSettings, EngineAudit, MapAudit
from edgevision.recompute.call import Call
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.trust import Trust


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
    assert [audit.next(None, 0.0) for _ in range(4)] == [False, True, False, True]
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


def test_the_engine_is_looked_at_where_it_worked_and_then_everywhere(watching):
    net, frame = watching
    seen = []
    net.verify = lambda window, call: seen.append(window) or {}
    audit = EngineAudit(net, AuditSettings(patch=0.25, engine_every=1))
    live = np.zeros(frame.shape[:2], bool)
    live[40, 60] = True
    for _ in range(32):
        audit.next(Call(frame, live, {}), 0.0)
    assert set(seen[::2]) == {(0.75, 0.71875, 1.0, 0.96875)}
    assert sorted(seen[1::2]) == [(x, y, x + 0.25, y + 0.25) for x in (0, 0.25, 0.5, 0.75) for y in (0, 0.25, 0.5, 0.75)]


def a_call(net, frame, random):
    """A call that took all that was live, and its answer."""
    moved, live = random.integers(0, 256, frame.shape, dtype=np.uint8), np.zeros(frame.shape[:2], bool)
    live[8:24, 8:24] = True
    return Call(moved, live, {name: array.copy() for name, array in net.next(moved, live).items()})


def test_what_went_in_and_what_came_out_is_looked_at_too(watching, random):
    net, frame = watching
    audit, before = EngineAudit(net, AuditSettings(patch=0.5)), {name: array.copy() for name, array in net.first(frame).items()}
    call = a_call(net, frame, random)
    changed = net.changed
    audit.check((0.1, 0.1, 0.6, 0.6), call)
    assert net.changed == changed
    with pytest.raises(EngineFault, match="'the answer'"):
        audit.check((0.0, 0.0, 0.5, 0.5), call._replace(outputs=before))
    lost = call.live.copy()
    lost[30, 40] = True  # live, and never taken
    audit.check((0.0, 0.0, 0.5, 0.5), call._replace(live=lost))  # not in this patch
    with pytest.raises(EngineFault, match="'the entrance' moved at 1 pixels"):
        audit.check((0.5, 0.5, 1.0, 1.0), call._replace(live=lost))


def test_a_memory_that_no_call_has_filled_is_a_fault_where_one_was_made(watching, random):
    net, frame = watching
    call = a_call(net, frame, random)
    net.reset()
    assert net.verify() == {}
    with pytest.raises(EngineFault, match="'an empty Memory'"):
        EngineAudit(net, AuditSettings()).check(None, call)


def test_a_patch_where_something_is_live_is_made_up_for(watching):
    net, frame = watching
    seen, still, live = [], np.zeros(frame.shape[:2], bool), np.zeros(frame.shape[:2], bool)
    net.verify = lambda window, call: seen.append(call.live.any()) or {}
    live[40, 60] = True
    audit = EngineAudit(net, AuditSettings(patch=0.25, engine_every=4, engine_every_s=1.0))
    shown = ((still, 0.0), (still, 0.9), (still, 1.1), (live, 1.2), (live, 1.3), (live, 1.4))
    due = [audit.next(Call(frame, mask, {}), ts) for mask, ts in shown]
    assert due == [False, False, True, True, False, False]
    assert seen == [False, True]


def test_what_was_lost_before_it_came_to_rest_is_missed_where_somebody_has_kept_it(watching, random):
    net, frame = watching
    call, still = a_call(net, frame, random), np.zeros(frame.shape[:2], bool)
    kept = np.where(call.live[..., None], call.picture, frame)
    call = Call(kept, still, {name: array.copy() for name, array in net.next(kept, still).items()}, kept)
    audit = EngineAudit(net, AuditSettings(patch=0.5))
    audit.check((0.0, 0.0, 0.5, 0.5), call)
    lost = kept.copy()
    lost[10, 12] += 1  # handed over on an earlier frame, and never taken
    audit.check((0.5, 0.5, 1.0, 1.0), call._replace(kept=lost))
    with pytest.raises(EngineFault, match="'the entrance' moved at 1 pixels"):
        audit.check((0.0, 0.0, 0.5, 0.5), call._replace(kept=lost))


def test_where_nothing_is_live_a_place_is_looked_at_where_something_was(watching):
    net, frame = watching
    seen, still, live = [], np.zeros(frame.shape[:2], bool), np.zeros(frame.shape[:2], bool)
    net.verify = lambda window, call: seen.append(window) or {}
    live[32:48, 56:] = True
    audit = EngineAudit(net, AuditSettings(patch=0.25, engine_every=4, engine_every_s=0))
    for k in range(8):
        audit.next(Call(frame, live if k == 1 else still, {}), float(k))
    x1, y1, _, _ = seen[0]
    assert len(seen) == 2
    assert x1 == 0.75
    assert y1 > 0.5


def test_a_close_call_fails_only_where_it_is_there_again(watching):
    audits = Audits(watching[0], AuditSettings(map_every=100, map_every_s=0))
    assert not audits.is_map_due(0.0)
    one = audits.conclude({}, {}, "A shows a hole", 0.0, is_close=True)
    assert (one.trouble, one.doubt) == (None, "map audit: A shows a hole; it is a close call")
    assert audits.is_map_due(0.1)
    assert audits.conclude({}, {}, None, 0.1).trouble is None
    assert not audits.is_map_due(0.2)
    assert audits.take_notices() == ()
    audits.conclude({}, {}, "A shows a hole", 0.2, is_close=True)
    assert audits.conclude({}, {}, "A shows a hole", 0.3, is_close=True).trouble == "map audit: A shows a hole"
    assert len(audits.take_notices()) == 1


def test_a_change_that_the_map_missed_is_found(watching, random):
    net, frame = watching
    audit = MapAudit(net, AuditSettings(map_every=1, tolerance=1e-3))
    moved = frame.copy()
    moved[8:24, 8:24] = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    missed = net.next(moved, np.zeros(frame.shape[:2], bool))
    assert audit.failed(audit.disagreement(audit.run(moved), missed))
    live = np.zeros(frame.shape[:2], bool)
    live[8:24, 8:24] = True
    assert audit.disagreement(audit.run(moved), net.next(moved, live)) == 0.0


def test_a_map_audit_is_due_by_frames_or_by_time(watching):
    audit = MapAudit(watching[0], AuditSettings(map_every=4, map_every_s=10))
    due = [ts for ts in (0, 1, 2, 3, 4, 14, 15, 2.5, 5, 12.5) if audit.is_due(ts)]
    assert due == [3, 14, 12.5]
    assert [audit.is_due(ts, haste=4) for ts in (12.6, 15.2)] == [True, True]


def outcomes(trust, failed, ts=0.0):
    return [trust.note("it differs" if one else None, ts + k) for k, one in enumerate(failed)]


def test_a_first_failure_calls_for_more_at_once_and_a_second_one_loses_the_trust():
    trust = Trust(AuditSettings(k=2, n=3, cooldown_s=10))
    assert outcomes(trust, [False, True]) == [False, False]
    assert trust.is_doubted
    assert trust.is_wary
    assert outcomes(trust, [False, True], 2) == [False, True]
    assert [trust.is_dense(ts) for ts in (2.9, 3, 12.9, 13)] == [False, True, True, False]
    assert trust.is_doubted  # once it is over, too, until as many pass
    assert outcomes(trust, [False] * 3, 13) == [False] * 3
    assert not trust.is_doubted
    texts = [(notice.is_over, notice.text.split(";")[0]) for notice in trust.take_notices()]
    assert texts == [(False, "it differs"), (False, "2 audits failed, the last: it differs"), (True, "audits pass again")]
    assert trust.take_notices() == ()


def test_a_fault_that_shows_now_and_then_loses_the_trust_too():
    trust = Trust(AuditSettings(k=2, n=3))
    assert outcomes(trust, [True, False, False, False, False, True]) == [False] * 5 + [True]
    patient = Trust(AuditSettings(k=2, n=3))
    assert not any(outcomes(patient, [True, False, False] + [False] * 12 + [True]))
    trust.reset()
    assert not trust.is_dense(1)
    assert not trust.is_doubted


def test_more_failures_than_audits_cannot_be_asked_for():
    with pytest.raises(InputError, match="at most n"):
        Trust(AuditSettings(k=4, n=3))
