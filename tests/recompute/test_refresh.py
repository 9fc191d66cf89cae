from __future__ import annotations

from edgevision.recompute.refresh import RollingRefresh


def rows_over(refresh, seconds, fps=30, height=100):
    return [rows for k in range(round(seconds * fps)) if (rows := refresh.rows(k / fps, height)) is not None]


def test_every_row_once_in_a_period():
    seen = [row for rows in rows_over(RollingRefresh(10.0), 10.1) for row in range(rows.start, rows.stop)]
    assert sorted(seen) == list(range(100))


def test_off_means_never():
    assert rows_over(RollingRefresh(0.0), 5.0) == []


def test_a_clock_that_jumps_back_does_not_stop_it():
    refresh = RollingRefresh(10.0)
    refresh.rows(5000.0, 100)
    assert refresh.rows(10.0, 100) is None
    assert refresh.rows(11.1, 100) == slice(0, 10)
