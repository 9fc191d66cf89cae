from __future__ import annotations

import pytest

from edgevision.daemon.track_file import TrackFile
from edgevision.errors import InputError


def test_what_was_written_is_read_by_the_next_start(tmp_path):
    path = tmp_path / "tracks" / "cam.json"
    TrackFile(path).write({"tracks": [1, 2]})
    assert TrackFile(path).read() == {"tracks": [1, 2]}


def test_no_file_is_nothing_open(tmp_path):
    assert TrackFile(tmp_path / "cam.json").read() is None


@pytest.mark.parametrize("text", ["{half", "[1]", ""])
def test_rubbish_is_told(tmp_path, text):
    path = tmp_path / "cam.json"
    path.write_text(text)
    with pytest.raises(InputError, match="start without it"):
        TrackFile(path).read()


def test_the_same_again_does_not_touch_the_disk(tmp_path):
    path = tmp_path / "cam.json"
    tracks = TrackFile(path)
    tracks.write({})
    path.unlink()
    tracks.write({})
    assert not path.exists()
