"""Checks carried out over rows: what is expected of columns and features, and what was found."""
