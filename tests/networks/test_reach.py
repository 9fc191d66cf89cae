from __future__ import annotations

from edgevision.networks.reach import REACH_STRIDE, ReachSpec, box_layers, reach_layers
from edgevision.networks.unet import macs, parameters, shapes

FINE = reach_layers(ReachSpec(labels=("a", "b"), fine=12))


def test_a_fine_one_sees_twice_as_far_and_marks_as_finely():
    sizes = shapes(FINE, 320, 192)
    assert sizes["deep_5"] == (64, 10, 6)
    assert sizes["defect"] == (2, 160, 96)


def test_it_marks_every_second_pixel():
    spec = ReachSpec(labels=("a", "b"))
    sizes = shapes(reach_layers(spec), 10 * REACH_STRIDE, 6 * REACH_STRIDE)
    assert sizes["deep_5"] == (64, 10, 6)
    assert sizes["defect"] == (2, 80, 48)
    assert parameters(reach_layers(spec)) < 400_000
    assert sum(macs(reach_layers(spec), 384, 512).values()) < 1.3e9


def test_what_joins_is_of_one_size():
    for step, sizes in ((step, shapes(steps, 64, 64)) for steps in (reach_layers(ReachSpec()), FINE) for step in steps):
        if step.op in ("concat", "add"):
            assert len({sizes[name][1:] for name in step.inputs}) == 1
            channels = [sizes[name][0] for name in step.inputs]
            assert step.channels == (sum(channels) if step.op == "concat" else channels[0] == channels[1] and channels[0])


def test_boxes_are_told_at_an_eighth():
    sizes = shapes(box_layers(ReachSpec(labels=("a", "b", "c"))), 208, 208)
    assert (sizes["sides"], sizes["labels"]) == ((4, 26, 26), (3, 26, 26))
