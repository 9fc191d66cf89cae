"""The oracle run, short: the outbox's promise while everything is killed; and an oracle that notices when it is not kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "benchmarks" / "reliability"


def run(script, *words):
    command = [sys.executable, str(SCRIPTS / script), *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("oracle")
    return folder, run("oracle.py", "--events", 40, "--kills", 4, "--seed", 3, "--keep", folder, "--json")


def test_the_promise_is_kept_while_everything_is_killed(kept, present):
    present("mosquitto", "mosquitto")
    _, done = kept
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert (report["never_taken"], report["broken_promises"]) == (0, [])
    assert report["committed"] >= 40
    assert report["kills_of_the_node"] >= 4
    assert report["repeated"] > 0


def tampered(lines, how):
    records = [json.loads(line) for line in lines]
    sent = [index for index, record in enumerate(records) if record["what"] == "sent"]
    acked = [index for index, record in enumerate(records) if record["what"] == "acked"]
    if how == "an ack that never came":
        lost = records[acked[5]]["event_id"]
        records = [record for record in records if not (record["what"] == "acked" and record["event_id"] == lost)]
    elif how == "another content":
        records.insert(sent[5] + 1, json.loads(json.dumps(records[sent[5]]).replace('"new"', '"end"').replace('"update"', '"end"')))
        records[sent[5] + 1]["payload"]["event_id"] = "other"
    else:  # an old message again
        records.append(records[sent[0]])
    return [json.dumps(record) for record in records]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("an ack that never came", "never taken by the broker"),
        ("another content", "two contents"),
        ("an old message again", "number"),
    ],
)
def test_the_oracle_notices(kept, tmp_path, how, words, present):
    present("mosquitto", "mosquitto")
    folder, _ = kept
    for name in ("committed.log", "outbox.sqlite"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    lines = (folder / "record.jsonl").read_text().splitlines()
    (tmp_path / "record.jsonl").write_text("\n".join(tampered(lines, how)) + "\n")
    done = run("oracle.py", "--judge", tmp_path, "--json")
    assert done.returncode == 1
    assert any(words in promise for promise in json.loads(done.stdout)["broken_promises"])


def test_bent_input_is_refused_and_nothing_crashes():
    done = run("fuzz.py", "--examples", 12)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == 6
