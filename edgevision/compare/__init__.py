"""What moved: the live mask drives recomputation, the foreground mask is what judging sees."""
