"""Experiments: which of two feature services a key is given, and what came of it later."""
