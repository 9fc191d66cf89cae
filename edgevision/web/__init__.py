"""The status page and the metrics: read only, on loopback unless told otherwise."""
