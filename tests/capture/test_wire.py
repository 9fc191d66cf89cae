"""What two processes see of one page."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time

from edgevision.capture.wire import Beat

WRITER = """
import sys
from edgevision.capture.wire import Beat
beat = Beat.on(int(sys.argv[1]))
position = 0
while True:
    position += 1
    beat.mark(position, is_reading=position % 2 == 1)
"""


def test_whoever_looks_while_it_is_marked_sees_a_whole_beat():
    fd = os.memfd_create("beat")
    os.ftruncate(fd, mmap.PAGESIZE)
    beat = Beat.on(fd)
    assert beat.look() == (0, False, 0.0)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(fd)], pass_fds=(fd,))
    try:
        while beat.look()[2] == 0.0:
            pass
        looks = 0
        while looks < 20_000:
            before_s = time.monotonic()
            _, _, since_s = beat.look()
            assert before_s - 5.0 < since_s <= time.monotonic()  # a part of it would be 0, or years off
            looks += 1
    finally:
        writer.kill()
        writer.wait()
        os.close(fd)


def test_a_beat_says_what_was_marked():
    fd = os.memfd_create("beat")
    os.ftruncate(fd, mmap.PAGESIZE)
    beat, other = Beat.on(fd), Beat.on(fd)
    os.close(fd)
    for position, is_reading in ((3, True), (4, False)):
        begun_s = time.monotonic()
        beat.mark(position, is_reading)
        assert other.look()[:2] == (position, is_reading)
        assert begun_s <= other.look()[2] <= time.monotonic()
    beat.close()
    other.close()
