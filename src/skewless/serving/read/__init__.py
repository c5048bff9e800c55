"""Reads over HTTP: decode, read, encode."""
