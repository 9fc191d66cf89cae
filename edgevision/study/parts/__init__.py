"""Parts that nobody photographed: generated pictures with their truth, for samples, for training and for tests."""
