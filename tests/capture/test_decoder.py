"""What the child loads."""

import subprocess
import sys


def test_the_child_loads_nothing_heavy():
    code = "import sys, edgevision.capture.decoder; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numba", "openvino", "torch", "paho", "cv2", "av", "onnx"} & set(loaded)
