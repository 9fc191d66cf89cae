from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgevision.errors import ConfigError, InputError
from edgevision.study.replay import LineFile, compare, replay


@pytest.fixture
def recording(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), rng.integers(90, 110, (96, 128, 3), dtype=np.uint8))
    return folder


def test_every_frame_once_and_the_same_again(recording, tmp_path):
    golden = tmp_path / "golden.jsonl"
    first = replay(recording, None, None, golden, None, is_quiet=True)
    assert first["frames"] == 4
    assert len(golden.read_text().splitlines()) == 4
    again = replay(recording, None, None, None, golden, is_quiet=True)
    assert again["differences"] == 0


def test_a_difference_names_the_frame(recording, tmp_path):
    golden = tmp_path / "golden.jsonl"
    replay(recording, None, None, golden, None, is_quiet=True)
    lines = golden.read_text().splitlines()
    golden.write_text("\n".join([lines[0], lines[1].replace('"seq": 1', '"seq": 9'), *lines[2:]]) + "\n")
    found = replay(recording, None, None, None, golden, is_quiet=True)
    assert found["differences"] == 1
    assert "frame 1: expected" in found["text"]


def test_a_missing_frame_is_a_difference():
    assert compare(["a", "b"], ["a"]) == ["expected 2 frames, found 1"]


def test_a_golden_file_may_leave_out_what_differs_by_machine(recording, tmp_path):
    golden = tmp_path / "golden.jsonl"
    replay(recording, None, None, LineFile(golden, ("verdict", "events")), None, is_quiet=True)
    assert golden.read_text().splitlines()[0] == '{"verdict": "OK", "events": []}'
    assert replay(recording, None, None, None, golden, is_quiet=True)["differences"] == 0
    golden.write_text(golden.read_text().replace("OK", "NG", 1))
    assert replay(recording, None, None, None, golden, is_quiet=True)["differences"] == 1
    assert compare(["{}"], ['{"seq": 0}']) != []  # what asks nothing proves nothing
    with pytest.raises(InputError, match=r"--keys has 'verdicts'.*did you mean 'verdict'"):
        LineFile(golden, ("verdicts",))


def test_what_is_missing_is_named(recording, tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        replay(tmp_path / "none.mp4", None, None, None, None, is_quiet=True)
    with pytest.raises(InputError, match="make it with"):
        replay(recording, None, None, None, tmp_path / "none.jsonl", is_quiet=True)
    with pytest.raises(ConfigError):
        replay(recording, tmp_path / "none.yaml", None, None, None, is_quiet=True)
