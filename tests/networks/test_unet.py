"""The default network as plain data: its shapes and costs are pinned, because the speed figures rest on them."""

from edgevision.networks.unet import UNetSpec, layers, macs, parameters, shapes


def test_costs_are_those_the_card_states():
    steps = layers(UNetSpec())
    assert sum(macs(steps, 720, 1280).values()) == 3_328_819_200
    assert parameters(steps) == 113_444
    assert max(macs(steps, 720, 1280), key=macs(steps, 720, 1280).get) == "mix_half"


def test_output_is_one_map_a_label_at_half_size():
    sizes = shapes(layers(UNetSpec()), 720, 1280)
    assert sizes["defect"] == (4, 360, 640)
    assert sizes["eighth_3"] == (64, 90, 160)


def test_inner_channels_are_multiples_of_sixteen():
    assert all(step.channels % 16 == 0 for step in layers(UNetSpec())[:-1])


def test_every_input_is_made_before_it_is_used():
    made = {"image"}
    for step in layers(UNetSpec(widths=(32, 32, 48), deep=5)):
        assert set(step.inputs) <= made
        made.add(step.name)


def test_first_convolution_by_hand():
    steps = layers(UNetSpec())
    assert macs(steps, 16, 16)["half"] == 8 * 8 * 16 * 3 * 9
