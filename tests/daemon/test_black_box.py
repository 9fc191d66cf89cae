"""The last inspections outlive a process that is killed, and one that ends well leaves no dump."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from edgevision.daemon.black_box import DUMPS_KEPT, SLOT_BYTES, SLOTS, BlackBox, dump, records_of
from tests.publish.test_pictures import inspection

CHILD = """
import os, signal, sys
from pathlib import Path
from edgevision.daemon.black_box import BlackBox
from tests.publish.test_pictures import inspection
box = BlackBox(Path(sys.argv[1]), "cam")
box.catch_faults()
for seq in range(100):
    box.note(inspection(seq=seq))
if sys.argv[2] == "fault":
    import ctypes
    ctypes.string_at(0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("end", ["kill", "fault"])
def test_after_a_bad_end_the_last_inspections_are_dumped_once(tmp_path, end):
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path), end], cwd=os.getcwd(), check=False, capture_output=True)
    assert done.returncode < 0
    box = BlackBox(tmp_path, "cam", clock=lambda: 0.0)
    head, *records = read(box.found)
    assert [record["frame_seq"] for record in records] == list(range(100 - SLOTS, 100))
    assert ("Segmentation fault" in (head["fault"] or "")) == (end == "fault")
    box.close()
    assert BlackBox(tmp_path, "cam").found is None


def test_a_good_end_leaves_nothing(tmp_path):
    box = BlackBox(tmp_path, "cam")
    box.note(inspection())
    box.close()
    assert dump(tmp_path, "cam", 0.0) is None
    assert not list(tmp_path.glob("*.jsonl"))


def test_dumps_are_few(tmp_path):
    for number in range(DUMPS_KEPT + 3):
        box = BlackBox(tmp_path, "cam", clock=lambda number=number: float(number))
        box.note(inspection(seq=number))
        box._memory.flush()
    assert len(list(tmp_path.glob("cam-*.jsonl"))) == DUMPS_KEPT


def test_a_damaged_ring_is_read_as_far_as_it_can_be(tmp_path):
    box = BlackBox(tmp_path, "cam")
    for seq in range(3):
        box.note(inspection(seq=seq))
    content = bytearray((tmp_path / "cam.ring").read_bytes())
    content[8 + SLOT_BYTES : 8 + SLOT_BYTES + 20] = b"\xff" * 20
    assert [json.loads(text)["frame_seq"] for text in records_of(bytes(content))] == [0, 2]
    assert records_of(b"") == records_of(b"x" * 100) == []
    box.close()


def test_a_record_that_is_too_long_is_cut_not_refused(tmp_path):
    from dataclasses import replace

    box = BlackBox(tmp_path, "cam")
    box.note(replace(inspection(), reason="x" * 2 * SLOT_BYTES))
    (text,) = records_of((tmp_path / "cam.ring").read_bytes())
    assert len(text) < SLOT_BYTES
    box.close()
