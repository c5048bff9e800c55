"""Rows come in: validated, deduplicated, appended to the log, counted online."""
