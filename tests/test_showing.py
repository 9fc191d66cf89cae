"""How a camera's frames come to its network: their own light taken out where settings or the network's file say so."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgevision as ev
from edgevision.errors import InputError
from edgevision.records import Verdict
from edgevision.showing import kind_of
from edgevision.study.lights import lit
from edgevision.study.parts import presence

RECIPE = Path(__file__).parents[1] / "plugins" / "recipe_presence"
FAULTS = ("none", "absent")


@pytest.fixture(scope="module")
def station(tmp_path_factory):
    """The recipe's file beside the template of one generated station, in which double light saturates; a whole and an absent part."""
    folder = tmp_path_factory.mktemp("station")
    for name, source in (("line.yaml", "sample.yaml"), ("network.onnx", "network.onnx")):
        (folder / name).write_bytes((RECIPE / source).read_bytes())
    drawn = list(presence.series(np.random.default_rng(3), presence.SeriesSettings(size_px=(208, 272), faults=FAULTS, light=0.0)))
    level = 90 / drawn[0].template.mean()
    good, absent, template = (cv2.convertScaleAbs(one, alpha=level) for one in (drawn[0].image, drawn[1].image, drawn[0].template))
    cv2.imwrite(str(folder / "template.png"), template)
    return folder / "line.yaml", good, absent


def test_what_is_asked_for_goes_before_what_the_file_says():
    assert kind_of(None, {}) == "none"
    assert kind_of(None, {"own_light": "colour"}) == "colour"
    assert kind_of("none", {"own_light": "colour"}) == "none"
    with pytest.raises(InputError, match=r"own_light 'red'; it must be one of none, gray, colour: set compare.own_light"):
        kind_of(None, {"own_light": "red"})


def test_light_from_one_side_is_no_fault_and_hides_none(station):
    path, good, absent = station
    pipe = ev.Pipeline.from_config(path)
    for light in ("half", "from one side"):
        said = [pipe.inspect(ev.Frame(lit(image, light), float(k), k)) for k, image in enumerate((good, absent))]
        assert [one.verdict for one in said] == [Verdict.OK, Verdict.NG], light
        assert pipe.shown(good).shape == (*good.shape[:2], 3)


def test_a_good_part_of_which_white_hides_much_is_not_ok(station):
    path, good, _ = station
    bright = np.clip(good.astype(np.int32) * 3, 0, 255).astype(np.uint8)
    assert 0.1 < (bright == 255).mean() < 0.9
    said = ev.Pipeline.from_config(path).inspect(ev.Frame(bright, 0.0, 0))
    assert said.verdict is Verdict.NOT_INSPECTED
    assert re.search(r"is white where its golden picture is not|has just become saturated|not the part of its template", said.reason)
