"""The parent dies; nothing of its children may stay."""

import os
import signal
import subprocess
import sys
import time

PARENT = """
import sys, time
from pathlib import Path
from edgevision.capture.camera import Camera
camera = Camera("cam", "hang", plugin=Path(sys.argv[1]))
camera.open()
while camera.next(0.1) is None: pass
print(camera.pid, flush=True)
time.sleep(1000)
"""
HANG = """
def read(self):
    self.n += 1
    if self.n > 2: time.sleep(1e6)
    return np.zeros((8, 8), np.uint8), time.time()
"""


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_kill_of_the_parent_leaves_no_child(plugin):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(plugin("hang", HANG))], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert is_alive(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until_s = time.monotonic() + 3
    while is_alive(child):
        assert time.monotonic() < until_s
        time.sleep(0.01)
