"""Loops that run plans: push, materialize, streams, compaction. Retries and progress live here."""
