"""Numba: the same operations, at the speed of the machine."""
