"""A part beside its template: what is run, what is refused, how another product is taught. On the network that ships with recipe pcb."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgevision as ev
from edgevision.compare.template import BesideTemplate
from edgevision.config import load
from edgevision.errors import ConfigError, InputError
from edgevision.records import Verdict
from edgevision.study.parts import pcb
from edgevision.study.parts.pcb_defects import draw_defects

RECIPE = Path(__file__).parents[1] / "plugins" / "recipe_pcb"
SIDE = 320


def board(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A template, and a board made after it with a few defects."""
    sample = pcb.make(np.random.default_rng(seed), (SIDE, SIDE), 3)
    return sample.template, sample.image


@pytest.fixture
def line(tmp_path) -> Path:
    """The recipe's file beside its network, for small boards."""
    for name, source in (("line.yaml", "sample.yaml"), ("network.onnx", "network.onnx")):
        (tmp_path / name).write_bytes((RECIPE / source).read_bytes())
    cv2.imwrite(str(tmp_path / "template.png"), board(1)[0])
    return tmp_path / "line.yaml"


def frame(image: np.ndarray, number: int = 0) -> ev.Frame:
    return ev.Frame(image, float(number), number)


def test_the_first_board_is_selective_and_the_answer_is_that_of_the_whole_network(line):
    template, image = board(1)
    line.write_text(re.sub("places_px: 5", "steady_px: 0", re.sub(r"gate: .+", "gate: 0", line.read_text())))
    pipe = ev.Pipeline.from_config(line)
    said = pipe.inspect(frame(image))
    assert (said.mode, said.full_reason) == ("partial", None)
    assert 0 < said.live_fraction < 0.1
    shown = BesideTemplate(template, None).of(template).copy()
    live = pipe.change_on(frame(image)).live
    shown[live] = BesideTemplate(template, None).of(image)[live]
    twin = pipe.network.sibling()
    whole = twin.first(shown)
    for name, value in pipe.outputs.items():
        assert (value == whole[name]).all()
    good = pipe.inspect(frame(template, 1))
    assert good.regions == ()
    assert good.verdict is Verdict.OK


def test_another_product_is_taught_without_loading_anything_anew(line):
    pipe = ev.Pipeline.from_config(line)
    pipe.inspect(frame(board(1)[1]))
    network, (template, image) = pipe.network, board(2)
    refused = pipe.inspect(frame(image, 1))
    assert refused.verdict is Verdict.NOT_INSPECTED
    assert "not the part of its template" in refused.reason
    assert "the limit is 12%" in refused.reason
    pipe.teach(template)
    taught = pipe.inspect(frame(image, 2))
    assert pipe.network is network
    fresh = ev.Pipeline.from_config(line)
    fresh.teach(template)
    assert taught.regions == fresh.inspect(frame(image, 2)).regions
    assert taught.mode == "partial"


def test_after_a_refused_frame_the_next_board_is_judged_as_ever(line):
    one, other = (ev.Pipeline.from_config(line) for _ in range(2))
    other.inspect(frame(board(2)[1]))
    assert one.inspect(frame(board(1)[1], 1)).regions == other.inspect(frame(board(1)[1], 1)).regions


def test_what_does_not_fit_the_template_is_not_inspected(line):
    small = board(1)[1][:160, :160].copy()
    said = ev.Pipeline.from_config(line).inspect(frame(small))
    assert said.verdict is Verdict.NOT_INSPECTED
    assert "is 320x320, gray, 8 bit, the camera gives 160x160, gray, 8 bit; teach it anew" in said.reason


def test_light_that_changes_is_no_defect(line):
    template, image = board(1)
    pipe = ev.Pipeline.from_config(line)
    for number, (gain, offset) in enumerate(((0.8, 10), (0.9, 0), (1.0, 0))):
        lit = np.clip(template * gain + offset, 0, 255).astype(np.uint8)
        assert pipe.inspect(frame(lit, number)).verdict in (Verdict.OK, Verdict.WARN)
    assert pipe.inspect(frame(np.clip(image * 0.9, 0, 255).astype(np.uint8), 9)).verdict is Verdict.NG


def test_half_the_light_on_a_black_and_white_board_finds_what_all_of_it_does(line):
    template, image = board(1)
    template, image = (np.where(one > 127, 255, 0).astype(np.uint8) for one in (template, image))
    cv2.imwrite(str(line.parent / "template.png"), template)
    found = []
    for gain in (1.0, 0.5, 0.7):
        said = ev.Pipeline.from_config(line).inspect(frame((image * gain).astype(np.uint8)))
        found.append(sorted((defect.region.label, defect.region.box_px) for defect in said.defects))
        assert said.live_fraction < 0.1
    assert found[0]
    assert found[1] == found[2] == found[0]


def test_a_template_needs_a_golden_reference(line):
    text = line.read_text().replace("reference: golden", "reference: running").replace("places_px: 5", "places_px: 0")
    line.write_text(text)
    with pytest.raises(ConfigError, match=r"recompute\.template is each and compare\.reference is running; set compare\.reference: golden"):
        load(line)


def test_without_a_template_nothing_can_be_taught(tmp_path):
    (tmp_path / "line.yaml").write_text("cameras: {cam: {source: {type: synthetic}}}")
    with pytest.raises(InputError, match=r"recompute\.template is none"):
        ev.Pipeline.from_config(tmp_path / "line.yaml").teach(board(1)[0])


def test_a_reset_begins_with_the_template_again(line):
    pipe = ev.Pipeline.from_config(line)
    first = pipe.inspect(frame(board(1)[1]))
    pipe.reset()
    again = pipe.inspect(frame(board(1)[1]))
    assert (again.mode, again.regions) == ("partial", first.regions)


def test_defects_in_a_row_leave_nothing_behind(line):
    template, _ = board(1)
    pipe = ev.Pipeline.from_config(line)
    for number in range(4):
        image = template.copy()
        draw_defects(np.random.default_rng(number), image, 2)
        pipe.inspect(frame(image, number))
    assert pipe.inspect(frame(template, 9)).regions == ()


def test_the_last_board_leaves_no_bit_behind(line):
    line.write_text(re.sub(r"gate: .+", "gate: 0", line.read_text()))
    template, image = board(1)
    pipe = ev.Pipeline.from_config(line)
    other = template.copy()
    draw_defects(np.random.default_rng(3), other, 4)
    for number, one in enumerate((other, board(2)[1], other)):  # the second is refused, and is not what the network holds
        pipe.inspect(frame(one, number))
    pipe.inspect(frame(image, 3))
    change = pipe._change  # of this board, in the light and by the noise that are known by now
    beside = BesideTemplate(template, None)
    shown = beside.of(template).copy()
    shown[change.live] = beside.of(change.corrected, change.live)[change.live]
    whole = pipe.network.sibling().first(shown)
    assert 0 < change.live.mean() < 0.1
    assert all((value == whole[name]).all() for name, value in pipe.outputs.items())


def test_the_whole_network_is_asked_in_the_templates_light(line):
    template, _ = board(1)
    dim = np.clip(template * 0.7 + 20, 0, 255).astype(np.uint8)
    pipe = ev.Pipeline.from_config(line)
    pipe.inspect(frame(dim))
    lit, taken = (pipe.shown(dim, as_taken=way)[..., 2].copy() for way in (False, True))
    assert np.median(lit) <= 3 < 20 < np.median(taken)


def test_old_marks_need_a_reference_that_shows_them(tmp_path):
    (tmp_path / "line.yaml").write_text("cameras: {cam: {source: {type: synthetic}, judge: {known_px: 16}}}")
    with pytest.raises(ConfigError, match=r"judge\.known_px is 16 and compare\.reference is running"):
        load(tmp_path / "line.yaml")
