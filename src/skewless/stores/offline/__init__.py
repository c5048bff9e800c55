"""Offline stores: all history, as columns by time."""
