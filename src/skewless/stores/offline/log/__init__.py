"""The event log of a source: its journal, its settled files."""
