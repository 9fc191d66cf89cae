"""`edgevision outbox ...` as a user types it, with and without a service that has the outbox open."""

from __future__ import annotations

import json
import threading
import time

import pytest

from edgevision.cli import main
from edgevision.publish.orders import heed
from edgevision.publish.outbox import Outbox
from edgevision.records import Draft


@pytest.fixture
def line(tmp_path):
    path = tmp_path / "line.yaml"
    path.write_text(
        f"node: {{id: test, state_dir: {tmp_path / 'state'}}}\nmqtt: {{port: 1}}\ncameras:\n  cam:\n    source: {{type: synthetic}}\n"
    )
    outbox = Outbox(tmp_path / "state" / "outbox.sqlite")
    for number in range(4):
        body = {"type": "new", "verdict": "NG", "part_id": f"P{number}"}
        outbox.commit([Draft(f"m{number}", "cam", "edgevision/test/cam/event", body, "ng")])
    outbox.acked([1])
    outbox.set_aside(2, "Payload format invalid (0x99)")
    outbox.close()
    return path


def said(capsys, *words):
    code = main(["outbox", *map(str, words)])
    return code, capsys.readouterr().out


def test_numbers_and_messages_for_people_and_programs(line, capsys):
    code, text = said(capsys, "stats", line)
    assert code == 0
    assert "no service has it open" in text
    assert "waiting    2 messages" in text
    assert "set aside  1 messages" in text
    code, text = said(capsys, "stats", line, "--json")
    assert json.loads(text)["pending"]["messages"] == 2
    code, text = said(capsys, "list", line)
    assert [row.split()[0] for row in text.splitlines()] == ["3", "4"]
    assert "P2" in text
    code, text = said(capsys, "list", line, "--state", "aside", "--json")
    assert json.loads(text)["reason"] == "Payload format invalid (0x99)"
    assert said(capsys, "list", line, "--state", "gaps") == (0, "")
    assert said(capsys, "verify", line)[1].endswith("outbox.sqlite: sound\n")


def test_an_export_goes_to_a_new_file_only(line, capsys, tmp_path):
    out = tmp_path / "out.jsonl"
    assert main(["outbox", "export", str(line), "--state", "acked", "--out", str(out)]) == 0
    assert [json.loads(row)["event_id"] for row in out.read_text().splitlines()] == ["m0"]
    assert main(["outbox", "export", str(line), "--out", str(out)]) == 2
    assert "File exists" in capsys.readouterr().err


def test_retry_without_a_service(line, capsys, tmp_path):
    code, text = said(capsys, "retry", line)
    assert (code, text) == (0, "1 messages that were set aside will be sent again\n")
    assert json.loads(said(capsys, "stats", line, "--json")[1])["aside"]["messages"] == 0


def test_retry_is_taken_up_by_the_service(line, capsys, tmp_path):
    outbox = Outbox(tmp_path / "state" / "outbox.sqlite")
    is_over = threading.Event()

    def serve():
        while not is_over.is_set() and heed(outbox) == 0:
            time.sleep(0.01)

    service = threading.Thread(target=serve)
    service.start()
    code, text = said(capsys, "retry", line, "--json")
    is_over.set()
    service.join()
    assert (code, json.loads(text)) == (0, {"queued": 1})
    assert outbox.stats().set_aside == 0
    outbox.close()


def test_drain_gives_up_in_one_line(line, capsys, tmp_path):
    assert main(["outbox", "drain", str(line)]) == 69
    assert "nobody listens there" in capsys.readouterr().err
    outbox = Outbox(tmp_path / "state" / "outbox.sqlite")
    assert main(["outbox", "drain", str(line), "--patience", "0.2"]) == 69
    assert "2 messages wait, and none went for 0.2 s" in capsys.readouterr().err
    outbox.close()


def test_what_is_not_there_is_one_line(capsys, tmp_path):
    assert main(["outbox", "stats", str(tmp_path / "none.sqlite")]) == 69
    assert main(["outbox", "verify", str(tmp_path)]) == 69
    (tmp_path / "line.yaml").write_text(f"node: {{state_dir: {tmp_path / 'nowhere'}}}\ncameras:\n  cam:\n    source: {{type: synthetic}}\n")
    assert main(["outbox", "stats", str(tmp_path / "line.yaml")]) == 69
    assert len(capsys.readouterr().err.splitlines()) == 3
