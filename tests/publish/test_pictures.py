"""Pictures on disk: named in the inspection, inside their bounds at all times, never in the way of an event."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.publish.pictures import Pictures, PictureSettings
from edgevision.records import Inspection, Scene, Verdict

IMAGE = np.arange(64 * 48 * 3, dtype=np.uint8).reshape(48, 64, 3)


def inspection(verdict=Verdict.NG, part_id="A1", ts=1000.0, seq=7, events=()):
    return Inspection(
        camera="cam", frame_seq=seq, ts=ts, size_px=(64, 48), verdict=verdict, reason=None, scene=Scene.NORMAL, mode="partial",
        live_fraction=0.0, foreground_fraction=0.0, gain=1.0, offset=0.0, full_reason=None, regions=(), defects=(), events=events,
        score=0.0, threshold=0.5, costs=None, timing_ms={}, part_id=part_id,
    )  # fmt: skip


@pytest.fixture
def open_pictures(tmp_path):
    def opened(**values):
        more = {name: values.pop(name) for name in ("clock", "tell") if name in values}
        counts = Counter()
        made = Pictures(
            tmp_path / "pictures" / "cam",
            PictureSettings(**{"min_free_mb": 0, **values}),
            count=lambda name: counts.update([name]),
            **more,
        )
        return made, counts

    return opened


def test_a_part_that_is_ng_gets_a_picture_and_its_fingerprint(open_pictures):
    pictures, counts = open_pictures(url="http://press-1/pictures/")
    told = pictures.with_picture(inspection(), IMAGE).image
    content = Path(told["path"]).read_bytes()
    assert told["sha256"] == hashlib.sha256(content).hexdigest()
    assert told["url"] == f"http://press-1/pictures/cam/{Path(told['path']).name}"
    assert Path(told["path"]).name.startswith("19700101T001640000Z-NG-7-")
    assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape == IMAGE.shape
    assert pictures.with_picture(inspection(), IMAGE).image == told  # played again: one file
    assert (pictures.folder / "latest").resolve() == Path(told["path"])
    assert len(list(pictures.folder.iterdir())) == 2
    assert counts["pictures_kept"] == 2


def test_what_is_ok_or_no_news_gets_none(open_pictures):
    pictures, _ = open_pictures()
    for nothing in (inspection(Verdict.OK), inspection(part_id=None), inspection(Verdict.NOT_INSPECTED)):
        assert pictures.with_picture(nothing, IMAGE) is nothing
    assert not pictures.folder.exists()
    pictures, _ = open_pictures(keep=())
    assert pictures.with_picture(inspection(), IMAGE).image is None


def test_sixteen_bits_survive_as_png(open_pictures):
    deep = IMAGE[:, :, 0].astype(np.uint16) * 257
    pictures, _ = open_pictures(format="png")
    path = pictures.with_picture(inspection(), deep).image["path"]
    np.testing.assert_array_equal(cv2.imread(path, cv2.IMREAD_UNCHANGED), deep)
    pictures, _ = open_pictures()
    path = pictures.with_picture(inspection(), deep).image["path"]
    assert np.abs(cv2.imread(path, cv2.IMREAD_UNCHANGED).astype(int) - IMAGE[:, :, 0]).mean() < 8


def test_a_wanted_picture_is_kept_whatever_its_verdict(open_pictures):
    pictures, _ = open_pictures()
    answers = []
    pictures.want(answers.append)
    told = pictures.with_picture(inspection(Verdict.OK, None), IMAGE)
    assert told.image is None
    assert answers[0]["status"] == "ok"
    assert Path(answers[0]["path"]).is_file()
    pictures.with_picture(inspection(Verdict.OK, None, seq=8), IMAGE)
    assert len(answers) == 1


sizes = st.lists(st.tuples(st.integers(1, 60), st.floats(0, 40)), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None)
@given(shots=sizes, is_reopened=st.booleans())
def test_laws_of_the_bounds(tmp_path_factory, shots, is_reopened):
    """After every picture: bytes within the bound, nothing too old, the newest there, and what is not ours untouched."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "notes.txt").write_text("mine")
    now = [1e9]
    bounds = PictureSettings(limit_mb=0.02, limit_days=30 / 86400, min_free_mb=0, format="png")
    pictures = Pictures(folder, bounds, clock=lambda: now[0])
    rng = np.random.default_rng(0)
    for seq, (side, pause_s) in enumerate(shots):
        now[0] += pause_s
        image = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
        if is_reopened:
            pictures = Pictures(folder, bounds, clock=lambda: now[0])
        told = pictures.with_picture(inspection(ts=now[0], seq=seq), image)
        path = Path(told.image["path"])
        os.utime(path, (now[0], now[0]))
        mine = list(folder.glob("*.png"))
        assert path in mine
        assert sum(file.stat().st_size for file in mine) <= 20_000
        assert all(now[0] - file.stat().st_mtime <= 30 for file in mine)
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("limits", [{"limit_mb": 0}, {"min_free_mb": 1e7}])
def test_without_room_the_event_goes_without_its_picture(open_pictures, limits):
    told = []
    pictures, counts = open_pictures(tell=lambda level, text: told.append(text), **limits)
    answers = []
    pictures.want(answers.append)
    assert pictures.with_picture(inspection(), IMAGE) == inspection()
    assert (counts["pictures_missed"], answers[0]["status"]) == (1, "error")
    assert "no picture is kept" in told[0]
    assert list(pictures.folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_no_event(tmp_path):
    (tmp_path / "cam").write_text("a file")
    pictures = Pictures(tmp_path / "cam", PictureSettings(min_free_mb=0))
    assert pictures.with_picture(inspection(), IMAGE).image is None


def test_what_a_killed_worker_left_half_written_goes(open_pictures):
    pictures, _ = open_pictures()
    path = Path(pictures.with_picture(inspection(), IMAGE).image["path"])
    path.rename(path.with_name(f".{path.name}"))
    pictures, _ = open_pictures()
    pictures.with_picture(replace(inspection(), ts=2000.0), IMAGE)
    assert sorted(file.name[:6] for file in pictures.folder.iterdir()) == ["197001", "latest"]
