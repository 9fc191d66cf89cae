"""Network outputs become regions."""
