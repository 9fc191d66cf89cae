"""The pipeline kept alive."""
