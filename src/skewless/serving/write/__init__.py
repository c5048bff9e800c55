"""Writes over HTTP: pushes and jobs."""
