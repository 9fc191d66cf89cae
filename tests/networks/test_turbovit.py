"""TurboViT as plain data: what it counts to, what its layers are called, what is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from edgevision.errors import InputError
from edgevision.networks.turbovit import TurboViTSpec, layers, macs, parameters, refuse_unfit, sizes, weight_shapes


def test_the_stand_in_is_as_large_as_the_papers() -> None:
    spec = TurboViTSpec()
    assert parameters(spec) == 12_659_752  # 12.66 M
    assert sum(macs(layers(spec), 224, 224).values()) == 2_246_038_528  # 2.25 GMAC


def test_at_1024_px_most_of_the_work_is_in_the_global_stages() -> None:
    counts = macs(layers(TurboViTSpec()), 1024, 1024)
    attention = sum(count for name, count in counts.items() if name.endswith(".attention"))
    whole = sum(count for name, count in counts.items() if name.startswith(("stage3", "stage4")))
    assert whole / sum(counts.values()) == pytest.approx(0.88, abs=0.01)  # METHODS 5
    assert attention / sum(counts.values()) > 0.5


def test_one_small_block_by_hand() -> None:
    spec = TurboViTSpec((1,), (4,), (2,), (8,), (False,), ("unit",), unit=2, labels=("a", "b"), trained_px=16)
    assert [step.name for step in layers(spec)] == [
        "patch",
        "positions",
        *(f"stage1_block1.{name}" for name in ("norm", "qkv", "attention", "join", "mlp_norm", "mlp_in", "mlp_out")),
        "head.mean",
        "head.norm",
        "head.classes",
        "scores",
    ]
    assert sizes(layers(spec), 16, 24)["stage1_block1.qkv"] == (12, 4, 6)
    assert weight_shapes(spec)["positions.weight"] == (4, 4, 4)
    tokens = 4 * 6
    work = tokens * (4 * 3 * 49 + 4 * 12 + 2 * 4 * 4 + 4 * 4 + 4 * 8 + 8 * 4) + 4 * 2  # patch, qkv, attention, join, MLP; head
    assert sum(macs(layers(spec), 16, 24).values()) == work


def test_a_pooling_block_attends_as_the_stage_before_it() -> None:
    steps = {step.name: step for step in layers(TurboViTSpec())}
    kinds = [(steps[f"stage{stage}_block{block}.attention"].kind, steps[f"stage{stage}_block{block}.attention"].unit)
             for stage, block in ((1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (4, 1))]  # fmt: skip
    assert kinds == [("unit", 8), ("unit", 8), ("unit", 4), ("unit", 4), ("dense", 2), ("dense", 2)]
    assert steps["stage3_block1.attention"].inputs == ("stage3_block1.query_pool", "stage3_block1.qkv")
    assert steps["stage3_block1.join"].inputs[1] == "stage3_block1.skip_pool"
    assert steps["stage3_block2.join"].inputs[1] == "stage3_block1.mlp_out"


def test_the_segmentation_head_ends_at_a_quarter_of_the_picture() -> None:
    spec = TurboViTSpec(head="segmentation", labels=("scratch", "stain"))
    steps = layers(spec)
    assert steps[-1].name == "defect"
    assert sizes(steps, 96, 64)["defect"] == (2, 24, 16)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"dims": (64, 128)}, "turbovit dims has 2 values, depths 4; give one for each stage"),
        ({"heads": (1, 2, 3, 8)}, "turbovit stage 3: 256 channels are not whole for 3 heads; give 2"),
        ({"kinds": ("unit", "unit", "sparse", "dense")}, "turbovit stage 3: attention is 'sparse'; it must be one of unit, dense, "),
        ({"unit": 4}, "turbovit unit is 4; its stages halve it to no whole tokens; give a multiple of 8"),
        ({"depths": (1, 0, 7, 2)}, "turbovit depths is [1, 0, 7, 2]; it must be whole numbers above 0"),
        ({"trained_px": 230}, "turbovit trained_px is 230; it must be a multiple of 32"),
        ({"pools": (True, True, True, True)}, "turbovit pools in its first stage"),
    ],
)
def test_what_is_no_network_is_refused(wrong: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match="^" + re.escape(line)):
        TurboViTSpec(**wrong)


def test_a_picture_that_is_not_whole_units_is_refused_with_the_nearest_that_is() -> None:
    refuse_unfit(TurboViTSpec(), 704, 1280)
    with pytest.raises(InputError, match=r"is 720 x 1276 px; .* whole units of 32 px each way; the nearest size is 704 x 1280$"):
        refuse_unfit(TurboViTSpec(), 720, 1276)
