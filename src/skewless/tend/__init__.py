"""Tending: everything that is done to a repo from time to time, in one command."""
