"""How far a probability is from a threshold, as both are learnt: in logarithms of odds. Keeps nothing.

A sigmoid's answer moves by hundredths where it is sure and by tenths where it is not, for the same change of what it is made of. The
logarithm of the odds moves alike in both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from edgevision.records import Candidate

NEAR = 2.5  # how far a candidate's odds may fall short of the threshold, as a logarithm: 0.5 becomes 0.08
_SURE = 1e-6
_LEAST = 1e-9  # what is below a threshold falls short of it, however little


def log_odds(probability: float) -> float:
    """log(p / (1 - p)), of a probability held within a millionth of 0 and 1."""
    held = min(1.0 - _SURE, max(_SURE, probability))
    return math.log(held / (1.0 - held))


def excess(probability: float, threshold: float) -> float:
    """By how much the logarithm of the odds exceeds the threshold's: at least 0 exactly where the threshold is reached."""
    far = log_odds(probability) - log_odds(threshold)
    return max(far, 0.0) if probability >= threshold else min(far, -_LEAST)


def reached(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Those that reach the threshold."""
    return tuple(one for one in candidates if one.excess >= 0)


def short_of(threshold: float) -> float:
    """The probability whose odds fall short of the threshold's by NEAR: what is less likely is no candidate."""
    return 1.0 / (1.0 + math.exp(NEAR - log_odds(threshold)))
