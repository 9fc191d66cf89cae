"""A picture from outside into the network's first plane: as it is, or through the table of its 8-bit values, or resized."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Float, Intake, Plane, Resize, Runs, Take
from edgevision.kernels.plain.commit import Indices, commit, pixels
from edgevision.kernels.plain.resize import sample


def bind(intake: Intake, target: Plane) -> Take:
    """The kernel into this plane."""
    intake.check(target.padded.shape[2])

    def kernel(picture: NDArray[Any], runs: Runs, count: int, is_new: bool = False) -> None:
        rows, columns = pixels(runs, 0, count)
        if intake.table is None:
            new = np.ascontiguousarray(picture[:, rows, columns].T)
        elif intake.resize is None:
            new = _looked_up(intake, intake.table, picture[rows, columns])
        else:
            new = _resized(intake, intake.table, intake.resize, picture, rows, columns)
        commit(target, rows, columns, new, 0.0)
        if is_new:
            target.live[rows, columns] = 1

    return kernel


def _looked_up(intake: Intake, table: Float, picture: NDArray[Any]) -> Float:
    return np.stack([table[place][picture[..., channel]] for place, channel in enumerate(intake.order)], axis=-1)


def _resized(intake: Intake, table: Float, resize: Resize, picture: NDArray[Any], rows: Indices, columns: Indices) -> Float:
    outside = (resize.rows.first[rows] < 0) | (resize.columns.first[columns] < 0)
    new = sample(resize, _looked_up(intake, table, picture), rows, columns)
    new[outside] = intake.fill
    return new


def first_bad(picture: Float, runs: Runs, count: int) -> tuple[int, int]:
    """(row, column) of the first NaN or infinity inside the runs, or (-1, -1)."""
    rows, columns = pixels(runs, 0, count)
    bad = np.flatnonzero(~np.isfinite(picture[:, rows, columns]).all(axis=0))
    return (int(rows[bad[0]]), int(columns[bad[0]])) if bad.size else (-1, -1)
