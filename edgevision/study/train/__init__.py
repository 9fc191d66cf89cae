"""Training: the only place that imports torch (extra `train`)."""
