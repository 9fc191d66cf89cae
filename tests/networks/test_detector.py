"""The detector as plain data."""

from edgevision.networks.detector import STRIDE, DetectorSpec, layers, sight_px
from edgevision.networks.unet import macs, parameters, shapes

SPEC = DetectorSpec(("one", "two"))


def test_both_outputs_lie_on_the_grid_of_cells():
    sizes = shapes(layers(SPEC), 64, 96)
    assert sizes["scores"] == (2, 64 // STRIDE, 96 // STRIDE)
    assert sizes["boxes"] == (4, 64 // STRIDE, 96 // STRIDE)


def test_sight_by_hand():
    assert sight_px(DetectorSpec(("one",), depths=(1, 1, 1))) == 1 + 2 * 1 + 2 * 2 + 2 * 4
    assert sight_px(SPEC) == 83


def test_work_and_weights_are_those_of_its_convolutions():
    few = DetectorSpec(("one",), (4, 4, 4), (1, 1, 1))
    assert parameters(layers(few)) == (4 * 3 * 9 + 4) + 2 * (4 * 4 * 9 + 4) + (4 + 1) + (4 * 4 + 4)
    assert macs(layers(few), 16, 16)["half_1"] == 8 * 8 * 4 * 3 * 9
