"""The arithmetic, one file per operation, the same file name in every backend."""
