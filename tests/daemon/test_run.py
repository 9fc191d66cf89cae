"""`edgevision run` as a user runs it: a process, a configuration, a real broker."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevision.publish.outbox import Outbox

START_S = 90.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def broker(present, tmp_path):
    program = present("mosquitto", "mosquitto")
    port = free_port()
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen([program, "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until_s = time.monotonic() + START_S
    while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < until_s:
        time.sleep(0.02)
    yield port
    process.kill()
    process.wait()


def write_config(tmp_path, port, source, web_port=None):
    web = "{enabled: false}" if web_port is None else f"{{port: {web_port}}}"
    path = tmp_path / "line.yaml"
    path.write_text(
        f"node: {{id: test, state_dir: {tmp_path / 'state'}}}\n"
        f"mqtt: {{host: 127.0.0.1, port: {port}}}\nweb: {web}\n"
        f"cameras:\n  cam:\n    source: {source}\n    recompute: {{threads: 1}}\n"
    )
    return path


def start(path, **more):
    command = [sys.executable, "-m", "edgevision", "run", str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def listen(port, topic, count):
    """The first `count` messages of a topic, by Mosquitto's own client."""
    command = ["mosquitto_sub", "-p", str(port), "-t", topic, "-C", str(count), "-W", str(int(START_S)), "-F", "%t %p"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.timeout(240)
def test_a_finite_line_is_inspected_told_and_ends(broker, tmp_path, present):
    present("mosquitto_sub", "mosquitto-clients")
    path = write_config(tmp_path, broker, "{type: synthetic, realtime: false, frames: 100, seed: 4, defect_rate: 1.0}")
    states = listen(broker, "edgevision/test/availability", 1)
    process = start(path)
    said, errors = process.communicate(timeout=START_S * 2)
    assert process.returncode == 0, errors
    assert (said, "loading the network of cam" in errors) == ("", True)
    assert states.communicate(timeout=10)[0].strip() == "edgevision/test/availability online"
    outbox = Outbox(tmp_path / "state" / "outbox.sqlite")
    assert outbox.stats().pending == 0
    assert outbox.stats().history >= 1  # every part of this line carries a defect
    outbox.close()
    last = json.loads(retained(broker, "edgevision/test/cam/state"))
    assert last["camera"] == "cam"
    assert retained(broker, "edgevision/test/availability") == "offline"


def say(port, topic, text):
    subprocess.run(["mosquitto_pub", "-p", str(port), "-t", topic, "-m", text], check=True)


def retained(port, topic):
    command = ["mosquitto_sub", "-p", str(port), "-t", topic, "-C", "1", "-W", "5"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


@pytest.mark.timeout(240)
def test_a_value_is_set_the_page_shows_it_and_sigterm_drains_within_ten_seconds(broker, tmp_path, present):
    present("mosquitto_sub", "mosquitto-clients")
    news = listen(broker, "edgevision/test/cam/availability", 9)
    web_port = free_port()
    process = start(write_config(tmp_path, broker, "{type: synthetic, seed: 1}", web_port))
    assert any(line.endswith(" online\n") for line in iter(news.stdout.readline, ""))  # ends with mosquitto_sub's own time limit
    news.kill()
    assert retained(broker, "edgevision/test/cam/ng_threshold/state") == "0.7"
    values = listen(broker, "edgevision/test/cam/ng_threshold/state", 9)
    say(broker, "edgevision/test/cam/ng_threshold/set", "0.9")
    assert any(line.endswith(" 0.9\n") for line in iter(values.stdout.readline, ""))
    values.kill()
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{web_port}/metrics", timeout=10).read().decode()
    assert 'edgevision_camera_up{camera="cam"} 1.0' in metrics
    assert "edgevision_mqtt_connected 1.0" in metrics
    answers = listen(broker, "edgevision/test/response/snapshot", 1)
    for _ in range(50):  # a listener may come a moment too late
        say(broker, "edgevision/test/request/snapshot", '{"camera": "cam", "transaction": "t1"}')
        with contextlib.suppress(subprocess.TimeoutExpired):
            answers.wait(0.2)
            break
    answer = json.loads(answers.communicate()[0].partition(" ")[2])
    assert (answer["status"], answer["transaction"]) == ("ok", "t1"), answer
    assert Path(answer["path"]).stat().st_size > 1000
    asked_s = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert time.monotonic() - asked_s < 10
    assert retained(broker, "edgevision/test/cam/availability") == "offline"


@pytest.mark.timeout(240)
def test_a_belts_encoder_is_heard_and_its_loss_is_told(broker, tmp_path, present):
    present("mosquitto_sub", "mosquitto-clients")
    belt = np.random.default_rng(0).integers(0, 255, (192, 720), np.uint8)
    film = cv2.VideoWriter(str(tmp_path / "belt.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (320, 192))
    for k in range(60):
        film.write(cv2.cvtColor(np.ascontiguousarray(cv2.GaussianBlur(belt, (0, 0), 2)[:, 4 * k : 4 * k + 320]), cv2.COLOR_GRAY2BGR))
    film.release()
    path = write_config(tmp_path, broker, f"{{type: file, path: {tmp_path / 'belt.avi'}, realtime: true, loop: true}}")
    path.write_text(path.read_text() + "    compare: {motion: shift, encoder: {px_per_count: -2, stale_s: 0.5, when_lost: refuse}}\n")
    states = listen(broker, "edgevision/test/cam/state", 200)
    process = start(path)

    def wait_for(wanted):
        return any(wanted(json.loads(line.partition(" ")[2])) for line in iter(states.stdout.readline, ""))

    assert wait_for(lambda state: state["verdict"] == "NOT_INSPECTED" and "sent no count yet" in state["reason"])
    command = ["mosquitto_pub", "-p", str(broker), "-t", "edgevision/test/cam/encoder/set", "-l"]
    encoder = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    is_over = threading.Event()

    def turn():
        for count in itertools.count(0, 2):
            encoder.stdin.write(f"{count}\n")
            encoder.stdin.flush()
            if is_over.wait(0.05):
                return

    turning = threading.Thread(target=turn)
    turning.start()
    try:
        assert wait_for(lambda state: state["verdict"] not in ("NOT_INSPECTED", None))
    finally:
        is_over.set()
        turning.join()
    assert wait_for(lambda state: state["verdict"] == "NOT_INSPECTED" and "older than the frame" in state["reason"])
    encoder.stdin.close()
    encoder.wait()
    states.kill()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert "the encoder's counts come again" in errors
    assert "the encoder's last count is" in errors


@pytest.mark.timeout(120)
def test_a_bad_file_is_one_line_and_exit_78(tmp_path):
    path = tmp_path / "line.yaml"
    path.write_text("cameras:\n  cam:\n    sorce: {type: file}\n")
    process = start(path)
    said, errors = process.communicate(timeout=60)
    assert (process.returncode, said) == (78, "")
    assert "line.yaml:3" in errors
    assert "source" in errors
    assert "Traceback" not in errors


@pytest.mark.timeout(120)
def test_an_unwritable_state_folder_is_one_line_and_exit_69(tmp_path):
    (tmp_path / "state").write_text("a file where the folder should be")
    process = start(write_config(tmp_path, 1883, "{type: synthetic}"))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 69
    assert len(errors.strip().splitlines()) == 1
    assert "Traceback" not in errors
