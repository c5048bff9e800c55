"""The tables of states of a repo: created, updated, completed, repaired."""
