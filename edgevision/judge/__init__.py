"""From regions to defects, verdicts and events."""
