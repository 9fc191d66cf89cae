"""Regions become defects, verdicts and events."""
