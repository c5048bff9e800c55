"""The online store in MongoDB."""
