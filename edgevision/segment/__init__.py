"""From a network's outputs to regions: one file per kind of output, chosen by name in `decoders.py`."""
