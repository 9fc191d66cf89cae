from __future__ import annotations

from edgevision.daemon.track_file import TrackFile


def test_what_was_written_is_read_by_the_next_start(tmp_path):
    path = tmp_path / "tracks" / "cam.json"
    TrackFile(path).write({"tracks": [1, 2]})
    assert TrackFile(path).read() == {"tracks": [1, 2]}


def test_nothing_or_rubbish_is_nothing_open(tmp_path):
    path = tmp_path / "cam.json"
    assert TrackFile(path).read() is None
    path.write_text("{half")
    assert TrackFile(path).read() is None
    path.write_text("[1]")
    assert TrackFile(path).read() is None


def test_the_same_again_does_not_touch_the_disk(tmp_path):
    path = tmp_path / "cam.json"
    tracks = TrackFile(path)
    tracks.write({})
    path.unlink()
    tracks.write({})
    assert not path.exists()
