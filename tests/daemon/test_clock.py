from __future__ import annotations

from types import SimpleNamespace

import pytest

from edgevision.daemon import clock


@pytest.mark.parametrize(("kernel", "service", "says"), [(0, None, True), (5, "synchronized", False), (-1, None, None), (-1, "", False)])
def test_the_kernel_is_asked_first_then_who_keeps_the_clock(monkeypatch, tmp_path, kernel, service, says):
    monkeypatch.setattr(clock, "_library", lambda: SimpleNamespace(adjtimex=lambda buffer: kernel))
    folder = tmp_path / "timesync"
    if service is not None:
        folder.mkdir()
    if service:
        (folder / service).touch()
    assert clock.is_clock_synced(folder) is says


def test_a_synchronised_clock_that_the_kernel_may_not_tell_of(monkeypatch, tmp_path):
    monkeypatch.setattr(clock, "_library", lambda: SimpleNamespace(adjtimex=lambda buffer: -1))
    (tmp_path / "synchronized").touch()
    assert clock.is_clock_synced(tmp_path) is True
