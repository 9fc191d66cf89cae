"""The pipeline examined."""
