"""The online store in SQLite."""
