"""Replay: what was served, computed again, why they differ, and who else was given the same."""
