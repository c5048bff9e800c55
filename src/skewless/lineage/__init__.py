"""Lineage: from which columns every feature comes, and what is made of it."""
