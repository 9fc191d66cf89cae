"""What a user types wrong, and what he gets: one line on standard error, the right exit code, no traceback, nothing lost."""

from __future__ import annotations

import json
import signal

import cv2
import numpy as np
import pytest

from edgevision.cli import main
from edgevision.publish.outbox import Outbox

BAD_NETWORK = b"\x08\x07 this is no network"


def write_config(tmp_path, source, more=""):
    path = tmp_path / "line.yaml"
    path.write_text(
        f"node: {{id: test, state_dir: {tmp_path / 'state'}}}\nmqtt: {{host: 127.0.0.1, port: 1}}\n"
        f"cameras:\n  cam:\n    source: {source}\n{more}"
    )
    return str(path)


@pytest.fixture(autouse=True)
def _signals():
    """`run` takes over signals of the process, which here is the tests' own."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = np.random.default_rng(0).integers(90, 110, (96, 128, 3), dtype=np.uint8)
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder


def failed(capsys, arguments, code, *words, lines=1):
    """Run a verb that must fail with `code` and one line that has all of `words`; what `run` logs of its loading comes before it."""
    assert main(arguments) == code
    said, errors = capsys.readouterr()
    assert said == ""
    assert len([line for line in errors.strip().splitlines() if not line.startswith("INFO ")]) == lines, errors
    for word in words:
        assert word in errors
    return errors


def test_replay_names_a_recording_that_is_missing_empty_or_none(tmp_path, capsys):
    failed(capsys, ["replay", str(tmp_path / "none.mp4")], 2, "none.mp4", "no such file")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    failed(capsys, ["replay", str(empty)], 69, "empty.mp4", "0 bytes")
    empty.write_text("these are words, not a video")
    failed(capsys, ["replay", str(empty)], 69, "empty.mp4", "cannot be opened")
    (tmp_path / "folder").mkdir()
    failed(capsys, ["replay", str(tmp_path / "folder")], 69, "holds no picture")


@pytest.mark.parametrize("name", ["missing/golden.jsonl", "."])
def test_replay_refuses_an_out_that_cannot_be_written_before_it_inspects(name, tmp_path, pictures, capsys):
    failed(capsys, ["replay", str(pictures), "--out", str(tmp_path / name)], 2, "may be written")


def test_replay_names_a_golden_file_that_is_missing_or_none(tmp_path, pictures, capsys):
    failed(capsys, ["replay", str(pictures), "--expect", str(tmp_path / "none.jsonl")], 2, "none.jsonl", "--out")
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe")
    failed(capsys, ["replay", str(pictures), "--expect", str(tmp_path / "bytes.jsonl")], 2, "not UTF-8")


def test_a_recording_that_cannot_be_read_leaves_the_old_answers(tmp_path, capsys):
    golden = tmp_path / "golden.jsonl"
    golden.write_text("kept\n")
    (tmp_path / "empty.mp4").touch()
    failed(capsys, ["replay", str(tmp_path / "empty.mp4"), "--out", str(golden)], 69, "0 bytes")
    assert golden.read_text() == "kept\n"


def test_a_picture_of_another_size_or_damaged_is_not_inspected_and_the_rest_is(tmp_path, pictures, capsys):
    cv2.imwrite(str(pictures / "1.png"), np.zeros((48, 64, 3), np.uint8))
    (pictures / "2.jpg").write_bytes(b"\xff\xd8\xff broken")
    out = tmp_path / "answers.jsonl"
    assert main(["replay", str(pictures), "--out", str(out)]) == 0
    said, errors = capsys.readouterr()
    assert errors == ""
    assert "2.jpg" in said
    assert "64x48" in said
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    assert [answer["seq"] for answer in answers] == [0, 1, 2, 3, 4]
    assert [answer["mode"] == "none" for answer in answers] == [False, True, True, False, False]


@pytest.mark.parametrize("verb", ["run", "check"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "name a readable YAML file"),
        (lambda path: path.mkdir(), "not a regular file"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "not UTF-8"),
        (lambda path: path.touch(), "empty"),
        (
            lambda path: path.write_text("cameras:\n  cam:\n    sorce: {type: file}\n    source: {type: synthetic}\n"),
            "did you mean 'source'?",
        ),
    ],
)
def test_a_bad_configuration_is_78(verb, make, words, tmp_path, capsys):
    path = tmp_path / "line.yaml"
    make(path)
    failed(capsys, [verb, str(path)], 78, "line.yaml", words)


@pytest.mark.parametrize(("content", "words"), [(None, "no such network file"), (BAD_NETWORK, "OpenVINO cannot read it")])
@pytest.mark.parametrize("verb", ["run", "check", "replay"])
def test_a_network_that_is_none_is_78(verb, content, words, tmp_path, pictures, capsys):
    network = tmp_path / "net.onnx"
    if content is not None:
        network.write_bytes(content)
    config = write_config(tmp_path, f"{{type: folder, path: {pictures}}}", f"    recompute: {{network: {network}}}\n")
    out = tmp_path / "answers.jsonl"
    arguments = ["replay", str(pictures), "--config", config, "--out", str(out)] if verb == "replay" else [verb, config]
    failed(capsys, arguments, 78, "net.onnx", words)
    assert not out.exists()


def test_a_replay_that_could_inspect_nothing_has_failed(tmp_path, pictures, capsys):
    config = write_config(tmp_path, f"{{type: folder, path: {pictures}}}", "    compare: {roi: [[500, 500], [600, 500], [600, 600]]}\n")
    golden = tmp_path / "golden.jsonl"
    assert main(["replay", str(pictures), "--config", config, "--out", str(golden)]) == 1
    assert "4 NOT_INSPECTED" in capsys.readouterr().out
    assert main(["replay", str(pictures), "--config", config, "--expect", str(golden)]) == 0  # as expected, that is


def test_replay_names_the_cameras_there_are(tmp_path, pictures, capsys):
    config = write_config(tmp_path, "{type: synthetic}")
    failed(capsys, ["replay", str(pictures), "--config", config, "--camera", "cma"], 78, "'cma'", "cam")


def test_two_services_never_share_a_state_folder(tmp_path, capsys):
    outbox = Outbox(tmp_path / "state" / "outbox.sqlite")
    try:
        failed(capsys, ["run", write_config(tmp_path, "{type: synthetic}")], 69, "another process", "node.state_dir")
    finally:
        outbox.close()


def test_a_missing_golden_picture_and_a_place_outside_the_picture_are_found_by_check(tmp_path, capsys):
    (tmp_path / "frames").mkdir()
    cv2.imwrite(str(tmp_path / "frames" / "one.png"), np.full((80, 120, 3), 90, np.uint8))
    source = f"{{type: folder, path: {tmp_path / 'frames'}}}"
    config = write_config(tmp_path, source, "    compare: {reference: golden, golden: none.npz}\n")
    failed(capsys, ["check", config], 78, "camera cam", "none.npz", "No such file")
    config = write_config(tmp_path, source, "    compare: {roi: [[500, 500], [600, 500], [600, 600]]}\n")
    failed(capsys, ["check", "--probe", config], 69, "cam: compare.roi lies outside the 120x80 picture", lines=5)


def test_probe_names_all_that_does_not_answer(tmp_path, capsys):
    (tmp_path / "state").write_text("a file where the folder should be")
    config = write_config(tmp_path, f"{{type: file, path: {tmp_path / 'none.mp4'}}}")
    errors = failed(capsys, ["check", "--probe", config], 69, "state folder", "nobody listens", "none.mp4", lines=5)
    assert "cam: cam:" not in errors


def test_tail_without_a_broker_is_69(tmp_path, capsys):
    failed(capsys, ["events", "tail", write_config(tmp_path, "{type: synthetic}")], 69, "127.0.0.1:1", "start the broker")


def test_demo_refuses_a_folder_it_cannot_make(tmp_path, capsys):
    (tmp_path / "file").touch()
    failed(capsys, ["demo", "--seconds", "1", "--out", str(tmp_path / "file")], 2, "--out")


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["demo", "--seconds", "0"], ["demo", "--seconds", "nan"], ["events", "tail", "--count", "0"]]
)
def test_wrong_usage_is_2(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "edgevision" in capsys.readouterr().err


def test_version_says_what_it_runs_on(capsys):
    assert main(["version", "--json"]) == 0
    assert {"edgevision", "python", "numba", "openvino"} <= json.loads(capsys.readouterr().out).keys()
