"""The reliability scripts in short: the service as a process among processes that are frozen, killed and overrun."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "reliability"


def run(script, *arguments):
    """What the script found; its own judgement is part of it."""
    command = [sys.executable, str(SCRIPTS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["holds"], found
    return found


@pytest.fixture(autouse=True)
def _mosquitto(present):
    present("mosquitto", "mosquitto")


def test_a_frozen_worker_costs_its_camera_only_and_nothing_outlives_the_supervisor():
    found = run("freeze.py", "--short")
    assert found["supervisor_killed"]["processes"] == 4


def test_no_verdict_mixes_two_configurations():
    found = run("reload.py", "--configs", "4", "--seed", "3")
    assert found["valid"] >= 1
    assert found["refused"] >= 1


def test_every_part_gets_one_verdict_under_overload_and_a_killed_worker():
    found = run("overload.py", "--parts", "40", "--kill", "1")
    assert found["kills"] == 1
    assert found["verdicts"]["NOT_INSPECTED"] >= 1


def test_a_blind_change_map_is_caught_told_everywhere_and_recovered_from():
    found = run("faults.py", "--service", "blind_whole")
    assert found["notices"][0] == "new"
    assert "audit" in found["text"]  # of the input or of the map: whichever comes first
