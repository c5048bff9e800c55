"""Feast's HTTP contract."""
