"""`edgevision doctor`: each finding worked by hand, the broker's for real."""

from __future__ import annotations

import json
import os
import socket
from types import SimpleNamespace

import pytest

from edgevision.cli import main
from edgevision.config import load
from edgevision.daemon.doctor import broker, cameras, clock, disk, outbox, processor, secrets, streams
from edgevision.publish.connection import MqttSettings
from edgevision.publish.outbox import Outbox
from edgevision.publish.topics import Topics
from edgevision.records import Draft
from tests.publish.conftest import Mosquitto, free_port

TOPICS = Topics("edgevision", "press-1")


def graded(findings):
    return [(finding.what, finding.grade) for finding in findings]


@pytest.fixture
def start(present, tmp_path):
    """A function that starts a broker with more lines of configuration."""
    made = []

    def started(*extra):
        made.append(Mosquitto(present("mosquitto", "mosquitto"), tmp_path, extra))
        made[-1].start()
        return made[-1]

    yield started
    for one in made:
        one.kill()


def config_of(tmp_path, source="{type: synthetic}", more=""):
    path = tmp_path / "line.yaml"
    path.write_text(f"node: {{id: press-1, state_dir: {tmp_path / 'state'}}}\n{more}cameras:\n  cam:\n    source: {source}\n")
    return path


def test_a_broker_that_gives_a_message_back(start):
    findings = list(broker(start().settings(), TOPICS))
    assert graded(findings) == [("broker", "ok"), ("broker rights", "ok")]
    assert "reason code 0x00" in findings[1].text


@pytest.mark.parametrize(
    ("acl", "words"),
    [
        ("topic read #", ["commands may not be published: Not authorized (0x87)", "answers may not be published: Not authorized (0x87)"]),
        ("topic write #", ["did not come back; allow reading it"]),
    ],
)
def test_an_acl_that_forbids_is_named_with_its_reason_code(start, tmp_path, monkeypatch, acl, words):
    monkeypatch.setattr("edgevision.daemon.doctor.round_trip.__defaults__", (0.5,))
    (tmp_path / "acl").write_text(f"{acl}\n")
    texts = [finding.text for finding in broker(start(f"acl_file {tmp_path / 'acl'}").settings(), TOPICS) if finding.grade == "fail"]
    assert len(texts) == len(words)
    assert all(word in text for word, text in zip(words, texts, strict=True))


def test_a_broker_that_is_away_or_too_old(start):
    (finding,) = broker(MqttSettings(port=free_port()), TOPICS)
    assert (finding.grade, "nobody listens there" in finding.text) == ("fail", True)
    (first, *_) = broker(start().settings(protocol="3.1.1"), TOPICS)
    assert "MQTT 3.1.1" in first.text


def test_a_processor_without_wide_vectors_is_a_warning():
    (found, _) = processor(lambda: "flags : fpu sse2 avx\n")
    assert (found.grade, "several times slower" in found.text) == ("warn", True)
    assert next(processor(lambda: "flags : avx2 fma avx512f\n")).grade == "ok"


def test_the_clock(monkeypatch):
    assert [next(clock(lambda state=state: state)).grade for state in (True, False, None)] == ["ok", "warn", "ok"]
    monkeypatch.setattr("time.time", lambda: 100.0)
    assert next(clock(lambda: True)).grade == "fail"


def watching(device):
    """A configuration of one local camera; a real one takes paths below /dev only."""
    source = SimpleNamespace(settings=SimpleNamespace(device=str(device)))
    return SimpleNamespace(cameras={"cam": SimpleNamespace(enabled=True, source=source)})


def test_cameras_are_found_by_their_lasting_names(tmp_path):
    device = tmp_path / "video0"
    device.touch()
    (tmp_path / "by-id").mkdir()
    (tmp_path / "by-id" / "usb-Cam-index0").symlink_to(device)

    def look(source):
        return list(cameras(watching(source), tmp_path))

    assert graded(look(tmp_path / "by-id" / "usb-Cam-index0")) == [("camera cam", "ok")]
    (missing,) = look(tmp_path / "video7")
    assert (missing.grade, "usb-Cam-index0" in missing.text) == ("fail", True)
    other = tmp_path / "elsewhere"
    os.rename(tmp_path / "by-id", other)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "by-id").mkdir()
    (tmp_path / "dev" / "by-id" / "usb-Cam-index0").symlink_to(device)
    (bare,) = cameras(watching(device), tmp_path / "dev")
    assert (bare.grade, bare.text.endswith("use " + str(tmp_path / "dev" / "by-id" / "usb-Cam-index0"))) == ("warn", True)


def test_secrets_that_everybody_may_read_are_a_warning(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("x")
    config = load(config_of(tmp_path, more=f"mqtt: {{username: u, password_file: {secret}}}\n"))
    secret.chmod(0o644)
    assert graded(secrets(config)) == [("secrets", "warn")]
    secret.chmod(0o640)
    assert graded(secrets(config)) == [("secrets", "ok")]
    secret.unlink()
    assert graded(secrets(config)) == [("secrets", "fail")]


def test_disk_and_outbox(tmp_path):
    config = load(config_of(tmp_path, more="outbox: {limit_mb: 60000}\n"))
    assert graded(disk(config)) in ([("disk", "ok")], [("disk", "warn")], [("disk", "fail")])
    assert graded(outbox(config)) == [("outbox", "ok")]
    kept = Outbox(tmp_path / "state" / "outbox.sqlite")
    kept.commit([Draft("a", "cam", "b/n/cam/event", {}, "ng")])
    kept.set_aside(1, "too large")
    (found,) = outbox(config)
    assert (found.grade, "1 set aside" in found.text, "a service has it open" in found.text) == ("warn", True, True)
    kept.close()
    (tmp_path / "state" / "outbox.sqlite").write_bytes(b"nonsense" * 999)
    assert graded(outbox(config)) == [("outbox", "fail")]


def test_the_whole_of_it_says_what_is_wrong_and_how_it_ends(tmp_path, capsys):
    assert main(["doctor"]) in (0, 69)
    path = config_of(tmp_path, more=f"mqtt: {{port: {free_port()}}}\n")
    assert main(["doctor", str(path)]) == 69
    assert "FAIL  broker: " in capsys.readouterr().out
    path.write_text("cameras: {}\n")
    assert main(["doctor", str(path), "--json"]) == 78
    report = json.loads(capsys.readouterr().out)
    assert not report["ok"]
    assert "cameras is empty" in report["findings"][-1]["text"]


def test_a_network_camera_that_nobody_is_behind_is_named_without_its_password(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        url = f"rtsp://operator:geheim@127.0.0.1:{port}/x"
        (finding,) = streams(load(config_of(tmp_path, f"{{type: rtsp, url: '{url}'}}")))
        assert (finding.what, finding.grade) == ("camera cam", "ok")
    (finding,) = streams(load(config_of(tmp_path, f"{{type: rtsp, url: '{url}'}}")))
    assert finding.grade == "fail"
    assert "geheim" not in finding.text
    assert "Connection refused; check its power" in finding.text
