"""How far answers lie from the reference's, in shares of each output's range."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.errors import InputError
from edgevision.study.deviation import Deviation


def test_the_largest_difference_over_the_range_of_all_frames():
    deviation = Deviation()
    assert deviation.worst is None
    deviation.add([np.array([0.0, 1.0])], [np.array([0.0, 1.5])])
    deviation.add([np.array([4.0, 10.0])], [np.array([4.0, 10.0])])
    assert deviation.worst == pytest.approx(0.05)
    assert deviation.rms == pytest.approx(0.5 / 2 / 10)


def test_the_worst_output_counts():
    deviation = Deviation()
    deviation.add([np.array([0.0, 2.0]), np.array([0.0, 90.0])], [np.array([0.0, 1.0]), np.array([0.0, 100.0])])
    assert deviation.worst == pytest.approx(1.0)


def test_what_is_not_finite_differs_unless_it_is_the_same():
    deviation = Deviation()
    deviation.add([np.array([np.nan, np.inf, 0.0, 1.0])], [np.array([np.nan, np.inf, 0.0, 1.0])])
    assert deviation.worst == 0
    deviation.add([np.array([np.nan, 0.0])], [np.array([1.0, 0.0])])
    assert deviation.worst == np.inf


def test_a_constant_output_is_measured_by_its_size():
    deviation = Deviation()
    deviation.add([np.full(3, 11.0)], [np.full(3, 10.0)])
    assert deviation.worst == pytest.approx(0.1)


def test_other_outputs_are_refused():
    with pytest.raises(InputError, match="one network"):
        Deviation().add([np.zeros(3)], [np.zeros(4)])
