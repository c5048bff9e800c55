"""Definitions, versions, finished intervals and progress: SQLite by default."""
