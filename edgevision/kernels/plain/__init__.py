"""NumPy: slow, obvious, right. The oracle that `compiled` must match bit for bit."""
